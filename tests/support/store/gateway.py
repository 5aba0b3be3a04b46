"""Real object stores on disk for end-to-end tests, on loopback.

The JuiceFS S3 gateway keeps to S3 as OBS does. SeaweedFS is a second opinion: the ETags of its
copied parts are no MD5s.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ACCESS_KEY, SECRET_KEY = "testak", "testsk123456"
START_LIMIT_S = 30
_REQUESTS = 64 << 10  # bytes; more is the body of a part


def program(name: str) -> str | None:
    """Where a program is: beside this Python, or on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """A server: started, killed and started again; its data stays in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        environment = {
            **os.environ,
            "HOME": str(self.folder),  # JuiceFS makes ~/.minio
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
        }
        self._process = subprocess.Popen(
            self.command(),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(f"{self.command()[0]} did not start")

    def cpu_s(self) -> float:
        """Seconds of processor time that the server has used so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Gateway(Server):
    """The JuiceFS S3 gateway."""

    def __init__(self, folder: Path, *, compress: str = "zstd") -> None:
        super().__init__(folder)
        self._meta = f"sqlite3://{folder}/meta.db"
        self._program = program("juicefs") or "juicefs"
        subprocess.run(
            [self._program, "format", "--storage", "file", "--bucket", f"{folder}/store",
             "--compress", compress, "--trash-days", "0", self._meta, "jfs"],
            check=True, capture_output=True,
        )  # fmt: skip

    def command(self) -> list[str]:
        # Without the two options it would report home and open a port for profiling.
        return [self._program, "--no-agent", "gateway", "--no-usage-report",
                "--metrics", "127.0.0.1:0", "--multi-buckets",
                "--keep-etag", "--object-meta", "--no-banner",
                "--log", f"{self.folder}/gateway.log", "--cache-size", "0",
                self._meta, f"127.0.0.1:{self.port}"]  # fmt: skip


class Seaweed(Server):
    """SeaweedFS: master, volume server, filer and S3 in one process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        key = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "test", "credentials": [key], "actions": actions}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        self._ports = [
            f"-{name}={free_port()}"
            for name in (
                "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
                "filer.port", "filer.port.grpc", "s3.port.grpc",
            )
        ]  # fmt: skip

    def command(self) -> list[str]:
        return [program("weed") or "weed", f"-logdir={self.folder}", "server",
                f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                "-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.max=500",
                *self._ports, f"-filer.localSocket={self.folder}/filer.sock",
                "-s3", f"-s3.port={self.port}", "-s3.port.iceberg=0", "-s3.port.lance=0",
                f"-s3.localSocket={self.folder}/s3.sock",
                f"-s3.config={self.folder}/s3.json"]  # fmt: skip


@contextmanager
def emulating(gateway: Gateway, folder: Path) -> Iterator[str]:
    """Run `imsprep emulator` over the gateway's buckets; give its address."""
    environment = {
        **os.environ, "HUAWEICLOUD_SDK_AK": ACCESS_KEY, "HUAWEICLOUD_SDK_SK": SECRET_KEY,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "imsprep", "emulator", "--data", folder,
        "--s3", gateway.endpoint, "--json",
    ]  # fmt: skip
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as emulator:
        try:
            assert emulator.stdout is not None
            yield json.loads(emulator.stdout.readline())["url"]
        finally:
            emulator.terminate()


class _Pipe(socketserver.BaseRequestHandler):
    """One connection through the relay."""

    server: Relay

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.onward)) as server:
            back = threading.Thread(target=self._pump, args=(server, self.request, lambda n: None))
            back.start()
            self._pump(self.request, server, self.server.note)
            back.join()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, note: Callable[[int], None]) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                note(len(data))
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class Line:
    """Counts what clients send. With `bytes_per_s` it is as slow, for all connections together.

    `begun_s` is when more had been sent than requests without a body come to.
    """

    def __init__(self, bytes_per_s: float | None = None) -> None:
        self.count, self._lock = 0, threading.Lock()
        self._bytes_per_s, self._free_at = bytes_per_s, time.monotonic()
        self.begun_s: float | None = None

    def note(self, count: int) -> None:
        with self._lock:
            self.count += count
            if self.begun_s is None and self.count > _REQUESTS:
                self.begun_s = time.monotonic()
            if self._bytes_per_s is None:
                return
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._bytes_per_s
            wait_s = self._free_at - now
        time.sleep(wait_s)

    def again(self) -> None:
        """Count from the beginning."""
        with self._lock:
            self.count, self.begun_s, self._free_at = 0, None, time.monotonic()


class Relay(Line, socketserver.ThreadingTCPServer):
    """A line that passes connections on to a port of this machine."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, onward: int, bytes_per_s: float | None = None) -> None:
        Line.__init__(self, bytes_per_s)
        socketserver.ThreadingTCPServer.__init__(self, ("127.0.0.1", 0), _Pipe)
        self.onward = onward

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()
