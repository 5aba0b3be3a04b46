"""A real object store on disk for end-to-end tests: the JuiceFS S3 gateway, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ACCESS_KEY, SECRET_KEY = "testak", "testsk123456"
START_LIMIT_S = 30


def program(name: str) -> str | None:
    """Where a program is: beside this Python, or on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Gateway:
    """The server: started, killed and started again; its data stays in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._meta = f"sqlite3://{folder}/meta.db"
        self._process: subprocess.Popen[bytes] | None = None
        self._program = program("juicefs") or "juicefs"
        subprocess.run(
            [self._program, "format", "--storage", "file", "--bucket", f"{folder}/store",
             "--compress", "zstd", "--trash-days", "0", self._meta, "jfs"],
            check=True, capture_output=True,
        )  # fmt: skip

    def start(self) -> None:
        environment = {
            **os.environ,
            "HOME": str(self.folder),  # it makes ~/.minio
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
        }
        self._process = subprocess.Popen(
            [self._program, "--no-agent", "gateway", "--metrics", "127.0.0.1:0", "--multi-buckets",
             "--keep-etag", "--object-meta", "--no-usage-report", "--no-banner",
             "--log", f"{self.folder}/gateway.log", "--cache-size", "0",
             self._meta, f"127.0.0.1:{self.port}"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("the gateway did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
