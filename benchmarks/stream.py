"""Packing while sending, over a line of 20 and of 125 MB/s, and what a disk's size costs.

The bucket keeps nothing (`benchmarks.sink`), because a store on the machine that packs takes
processor time that in truth another machine has; only an import, whose service reads the object,
goes through a relay to the JuiceFS gateway. What receiving takes, and that store, is noted in
either side's run: `line_cpu_s`, `store_cpu_s`, `peer_line_cpu_s`.

One run packs while it sends (`imsprep convert IMAGE obs:…`); the others take the same steps one
after the other. Against *alone* the peer's seconds are the longer of packing alone (`imsprep
convert IMAGE FILE`) and of sending that file alone (`imsprep upload FILE`): no order of the steps
takes less. Against `qemu-img convert -c` and `aws s3 cp` both are made and sent. `first_byte_s`
runs from the start of the process to the first byte of a part on the line, `disk_mib` is what the
process wrote to files, `read_share` the bytes that it read from the image, by those of its data.

    python -m benchmarks.stream IMAGE CONTAINER ENDPOINT    # pack alone and send alone, as JSON
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.convert import PACKED
from benchmarks.harness import Bench, Case, Goal, warm
from benchmarks.inputs import GIB, MIB
from benchmarks.measure import Command, command
from benchmarks.sink import Sink
from benchmarks.upload import BUCKET, ENVIRONMENT, aws, data_bytes, empty
from imsprep.cloud.credentials import Credentials
from imsprep.store.obs import open_obs
from tests.support.store.gateway import ACCESS_KEY, SECRET_KEY, Gateway, Line, Relay, emulating

IMSPREP = (sys.executable, "-m", "imsprep")
MB = 1_000_000
# Bytes per second, the ratio to qemu-img and aws, and the level that suits such a line: on a slow
# one there is time to pack more, on a fast one packing is what takes time.
LINES = ((20 * MB, 1.2, 9), (125 * MB, 1.7, 1))
PEERS = "qemu-img convert -c, zstd, then aws s3 cp"
_LIGHT = Goal("memory_mib", "<=", 300)
# A read of the image in what strace prints: the call, the file behind its number, and the result.
_READ = re.compile(rb"(?:read|pread64|preadv2?|readv)\(\d+<([^>]*)>.*= (\d+)$")


def cases(bench: Bench) -> Iterator[Case]:
    """Yield the cases; the servers run from the first to the last."""
    folder = bench.folder.absolute() / "stream"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for rate, ratio, level in LINES:
        with Sink(rate) as line:
            yield from _over(line, rate, (ratio, level), bench, folder)
    with Sink(LINES[1][0]) as line:
        yield from _large(line, bench, folder)
    yield from _imported(bench, folder)
    yield from _sizes(bench, folder)
    shutil.rmtree(folder, ignore_errors=True)


def _over(
    line: Sink, rate: float, aim: tuple[float, int], bench: Bench, folder: Path
) -> Iterator[Case]:
    """Pack and send a server's disk over one line; each step alone, and other programs.

    `aim` is the ratio to those, and the level that suits the line.
    """
    ratio, level = aim
    held = bench.size(3892 * MIB, 400 * MIB)
    image = bench.inputs.ext4(bench.size(8 * GIB, GIB), held)
    name = f"{image.stat().st_size // GIB} GiB ext4, {held // MIB} MiB of files,"
    name += f" over {rate // MB:.0f} MB/s"
    run, container = _Run(line, image, folder, line.forget), folder / "alone.zvhd2"
    ours = _convert(image, line)
    yield Case(
        name, ours,
        command(sys.executable, "-m", "benchmarks.stream", image, container, line.endpoint,
                env=ENVIRONMENT, reports=True),
        "the longer of packing alone and sending alone", (Goal("ratio", ">=", 1 / 1.15),),
        run.before, run.costs, runs=3, memory=False, quick=True,
    )  # fmt: skip
    peer = _peer(image, folder, line)
    yield Case(
        name, ours, peer, PEERS,
        (Goal("ratio", ">=", ratio), Goal("first_byte_s", "<=", 2), Goal("disk_mib", "<=", 16),
         Goal("read_share", "<=", 1.05), Goal("memory_mib", "<=", 300)),
        run.before, run.figures(ours), run.costs, runs=3, quick=True,
    )  # fmt: skip
    yield Case(
        f"{name}, at level {level}", _convert(image, line, "--level", level), peer, PEERS,
        (Goal("ratio", ">=", ratio),), run.before, run.costs, run.costs, runs=3, memory=False,
        quick=True,
    )  # fmt: skip


def _large(line: Sink, bench: Bench, folder: Path) -> Iterator[Case]:
    """Send a disk of 1 TiB that does not pack."""
    data = bench.size(4 * GIB, GIB)
    image = bench.inputs.extents(1024 * GIB, 512, data)
    run = _Run(line, image, folder, line.forget)
    yield Case(
        f"1 TiB, {data // GIB} GiB that do not pack", _convert(image, line), None, "-",
        (Goal("first_byte_s", "<=", 2), Goal("memory_mib", "<=", 600)),
        run.before, run.figures(), runs=1, quick=True,
    )  # fmt: skip


def _imported(bench: Bench, folder: Path) -> Iterator[Case]:
    """Import a disk that is nearly empty by way of a real store, which the service reads."""
    sparse = bench.inputs.extents(1024 * GIB, 64, 256 * MIB)
    gateway = Gateway(folder, compress="none")
    gateway.start()
    try:
        keys = Credentials(ACCESS_KEY, SECRET_KEY)
        store = open_obs(BUCKET, endpoint=gateway.endpoint, region="us-east-1", credentials=keys)
        store.client.create_bucket(Bucket=BUCKET)
        with (
            Relay(gateway.port, bytes_per_s=LINES[1][0]) as line,
            emulating(gateway, folder / "emulator") as url,
        ):
            run = _Run(line, sparse, folder, lambda: empty(store), gateway)
            yield Case(
                "import of 1 TiB with 256 MiB of data to obs:",
                _import(sparse, f"obs:{BUCKET}", "--region", "us-east-1",
                        "--obs-endpoint", line.endpoint, "--endpoint", url, "--poll", "0.2"),
                None, "-", (Goal("first_byte_s", "<=", 2), _LIGHT), run.before, run.figures(),
                runs=3, quick=True,
            )  # fmt: skip
        store.close()
    finally:
        gateway.kill()


def _sizes(bench: Bench, folder: Path) -> Iterator[Case]:
    """Import to a folder, emulator and all: the cost follows the data, and not the disk's size."""
    sparse = bench.inputs.extents(1024 * GIB, 64, 256 * MIB)
    for via in ("zvhd2", "raw"):
        yield Case(
            f"import of 1 TiB with 256 MiB of data to local:, as {via}",
            _import(sparse, f"local:{folder}/cloud", "--via", via), None, "-",
            (Goal("seconds", "<=", 30), Goal("read_share", "<=", 1.05 if via == "zvhd2" else 1.1),
             _LIGHT),
            _afresh(sparse, folder), _read_once(sparse, folder, via), runs=3, quick=True,
        )  # fmt: skip
    data = bench.size(GIB, 256 * MIB)
    small = bench.inputs.extents(GIB, 256, data)
    for size in (32 * GIB, 1024 * GIB):
        image = bench.inputs.extents(size, 256, data)

        def before(image: Path = image) -> None:
            _afresh(image, folder)()
            warm(small)

        yield Case(
            f"import of {size // GIB} GiB with {data // MIB} MiB of data to local:",
            _import(image, f"local:{folder}/cloud"),
            _import(small, f"local:{folder}/cloud"), "the same data in 1 GiB",
            (Goal("ratio", ">=", 1 / 1.5),), before, runs=3, quick=True, memory=False,
        )  # fmt: skip


class _Run:
    """What is done before a run over a line, and looked at after it."""

    def __init__(
        self, line: Line, image: Path, folder: Path, forget: Callable[[], None],
        gateway: Gateway | None = None,
    ) -> None:  # fmt: skip
        self._line, self._image, self._folder = line, image, folder
        self._forget, self._gateway = forget, gateway
        self._started = self._store_s = self._line_s = 0.0
        self._read: dict[str, float] = {}

    def before(self) -> None:
        self._forget()
        _afresh(self._image, self._folder)()
        self._line.again()
        self._store_s = self._gateway.cpu_s() if self._gateway else 0.0
        self._line_s = time.process_time()
        self._started = time.monotonic()

    def costs(self) -> Mapping[str, float]:
        """Return what the line, which this process is, and a real store took of the processors."""
        took = {"line_cpu_s": time.process_time() - self._line_s}
        if self._gateway:
            took["store_cpu_s"] = self._gateway.cpu_s() - self._store_s
        return took

    def figures(self, ours: Command | None = None) -> Callable[[], Mapping[str, float]]:
        """Return what looks at a run; of `ours` the bytes that it reads are counted once."""

        def look() -> Mapping[str, float]:
            begun, figures = self._line.begun_s, dict(self.costs())
            if begun:
                figures["first_byte_s"] = begun - self._started
            if ours is not None and not self._read:
                self._forget()
                self._read = read_share(ours, self._image)
            return {**figures, **self._read}

        return look


def _afresh(image: Path, folder: Path) -> Callable[[], None]:
    """Return what has the image in the page cache, and nothing of an earlier run."""

    def prepare() -> None:
        shutil.rmtree(folder / "cloud", ignore_errors=True)
        for left in image.parent.glob(f"{image.stem}.*"):
            if left != image:
                left.unlink()
        warm(image)

    return prepare


def _read_once(image: Path, folder: Path, via: str) -> Callable[[], Mapping[str, float]]:
    """Return what gives the share of the data that an import to a folder reads; counts once."""
    found: dict[str, float] = {}

    def count() -> Mapping[str, float]:
        if not found:
            _afresh(image, folder)()
            found.update(read_share(_import(image, f"local:{folder}/cloud", "--via", via), image))
        return found

    return count


def read_share(ours: Command, image: Path) -> dict[str, float]:
    """Return the bytes that a command reads from the image, by those of its data.

    By strace, which slows the command: a run of its own. What the readers of a scan look at is not
    counted, for they map the image: it is a page of 4 KiB in each block of 512 KiB that has data.
    """
    _evict(image)
    traced = ("strace", "-ff", "-q", "-y", "-e", "trace=read,pread64,preadv,preadv2,readv")
    name, read = os.fsencode(image.resolve()), 0
    with tempfile.TemporaryDirectory(dir=image.parent) as logs:
        subprocess.run(
            [*traced, "-o", f"{logs}/log", *ours.argv], env={**os.environ, **ours.env}, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for log in Path(logs).iterdir():  # one for each thread, so that every line is whole
            with log.open("rb") as lines:
                for line in lines:
                    found = _READ.search(line.rstrip())
                    if found and found[1] == name:
                        read += int(found[2])
    return {"read_share": read / data_bytes(image)}


def _evict(image: Path) -> None:
    """Take an image out of the page cache."""
    file = os.open(image, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def _convert(image: Path, line: Sink, *options: object) -> Command:
    return command(
        *IMSPREP, "convert", image, f"obs:{BUCKET}", "--region", "us-east-1",
        "--endpoint", line.endpoint, "-q", *options, env=ENVIRONMENT,
    )  # fmt: skip


def _import(image: Path, to: str, *options: object) -> Command:
    return command(
        *IMSPREP, "import", image, "--name", "bench", "--type", "DataImage", "--min-disk", 1024,
        "--to", to, "-q", *options, env=ENVIRONMENT,
    )  # fmt: skip


def _peer(image: Path, folder: Path, line: Sink) -> Command:
    """Return the peers' two steps as one command."""
    container = folder / "peer.qcow2"
    send = aws(container, line.endpoint, folder)
    made = subprocess.list2cmdline(["qemu-img", "convert", *PACKED, str(image), str(container)])
    sent = subprocess.list2cmdline(list(send.argv))
    return command("sh", "-c", f"rm -f {container} && {made} && exec {sent}", env=send.env)


def main() -> None:
    """Pack alone, send alone, and print the longer of both as JSON."""
    image, container, endpoint = sys.argv[1:]
    took = {}
    with ExitStack() as stack:
        stack.callback(Path(container).unlink, missing_ok=True)
        for name, words in (
            ("pack_s", ("convert", image, container, "--force")),
            ("send_s", ("upload", container, "--to", f"obs:{BUCKET}", "--key", "alone.zvhd2",
                        "--region", "us-east-1", "--endpoint", endpoint, "--force")),
        ):  # fmt: skip
            start = time.perf_counter()
            subprocess.run([*IMSPREP, *words, "-q"], check=True, stdout=subprocess.DEVNULL)
            took[name] = time.perf_counter() - start
    print(json.dumps({"seconds": max(took.values()), **took}))


if __name__ == "__main__":
    main()
