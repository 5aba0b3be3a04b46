"""The scan against qemu-img, bmaptool, cat and plain memory: `imsprep bitmap`, whole process.

Some cases are no whole process of either side: what a pass over memory takes says how near the
scan of a cached file comes to the machine itself, with one core, and with all of them what no scan
can undercut. Run one of them with `python -m benchmarks.scan pass IMAGE` or `memory SIZE [CORES]`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.harness import LIMIT, Bench, Case, Goal, warm
from benchmarks.inputs import GIB, MIB
from benchmarks.measure import Command, command

_MEMORY = Goal("memory_mib", "<=", 150)
_BUFFER = 1 * GIB  # of memory, passed over as often as the size asks for


def cases(bench: Bench) -> Iterator[Case]:
    """Scan zeros, data and both, cached and cold; a TiB of holes; a small image."""
    size = bench.size(8 * GIB, GIB)
    yield from _zeros(bench, size)
    random, halves = bench.inputs.random(size), bench.inputs.halves(size)
    files = bench.inputs.ext4(size, size // 2)
    for name, image, ratio in (
        ("random data", random, 2.5),
        ("zeros and data in runs", halves, 1.5),
        ("an ext4 file system", files, 1.0),
    ):
        yield Case(
            f"{size // GIB} GiB of {name}, cold", _bitmap(image), command("cat", image),
            "cat", (Goal("ratio", ">=", ratio), _MEMORY),
            before=_forgetting(image), quick=True,
        )  # fmt: skip
    extents = bench.inputs.extents(1024 * GIB, 4096, GIB)
    yield Case(
        "1 TiB with 1 GiB of data in 4096 extents", _bitmap(extents),
        command("qemu-img", "map", "--output=json", "-f", "raw", extents), "qemu-img map",
        (Goal("seconds", "<=", 1.5), Goal("ratio", ">=", 1 / 3), _MEMORY),
        before=lambda: warm(extents), quick=True,
    )  # fmt: skip
    for name, image in (("an ext4 file system", files), ("4096 extents", extents)):
        # Both compute checksums of the data; ours looks for written zeros in it too.
        yield Case(
            f"a bmap of {name}, cached",
            _bitmap(image, "--format", "bmap", "--output", bench.folder / "ours.bmap"),
            command("bmaptool", "create", "-o", bench.folder / "peer.bmap", image),
            "bmaptool create", (_MEMORY,),
            before=partial(warm, image), quick=True,
        )  # fmt: skip
    small = bench.inputs.extents(2 * MIB, 1, 4096)
    yield Case(
        "a small image", _bitmap(small), command(sys.executable, "-c", "pass"),
        "python -c pass", (Goal("above_s", "<=", 0.2),), runs=15, quick=True,
    )  # fmt: skip


def _zeros(bench: Bench, size: int) -> Iterator[Case]:
    """Scan written zeros in the page cache, as writing and as reading a file leaves them there."""
    zeros, target = bench.inputs.zeros(size), bench.folder / "target.raw"
    copy = command("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", zeros, target)
    for how in ("written", "read"):
        if how == "written":
            zeros.unlink()
            bench.inputs.zeros(size)
        else:
            _forgetting(zeros)()
        name = f"{size // GIB} GiB of written zeros, cached since {how}"
        yield Case(
            name, _bitmap(zeros), copy, "qemu-img convert into a sparse file",
            (Goal("ratio", ">=", 2.0), _MEMORY),
            before=lambda: _afresh(zeros, target), quick=True,
        )  # fmt: skip
        target.unlink(missing_ok=True)
        yield Case(
            f"{name}, one reader at work", _itself("pass", zeros), _itself("memory", size),
            "one pass over memory, one core", (Goal("ratio", ">=", 0.8),),
            before=lambda: warm(zeros), memory=False, quick=True,
        )  # fmt: skip
    yield Case(
        f"{LIMIT}{size // GIB} GiB of memory, all cores, without a start",
        _itself("memory", size, os.cpu_count() or 1), copy, "qemu-img convert into a sparse file",
        (), before=lambda: _afresh(zeros, target), memory=False, quick=True,
    )  # fmt: skip
    target.unlink(missing_ok=True)


def _bitmap(image: Path, *options: object) -> Command:
    imsprep = Path(sys.executable).with_name("imsprep")
    return command(imsprep, "bitmap", image, "--force", "--quiet", *options)


def _itself(what: str, *arguments: object) -> Command:
    return command(sys.executable, "-m", "benchmarks.scan", what, *arguments, reports=True)


def _afresh(image: Path, target: Path) -> None:
    """Have the image in the page cache, and nothing in the target."""
    target.unlink(missing_ok=True)
    with open(target, "wb") as file:
        file.truncate(image.stat().st_size)
    warm(image)


def _forgetting(image: Path) -> Callable[[], None]:
    """Return what drops one file from the page cache; the rest of the machine keeps its own."""

    def forget() -> None:
        file = os.open(image, os.O_RDONLY)
        try:
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)

    return forget


def _pass(path: Path) -> float:
    """Return the seconds that a scan by one reader would take for all, by those after its start.

    Its start, to its first answer, is part of the cases that measure a whole process.
    """
    from imsprep.image.file import RawImage
    from imsprep.scan.scan import scan

    answers: list[tuple[float, int]] = []  # when, and for how many bytes
    with RawImage.open(path) as image:
        scan(
            image,
            jobs=1,
            progress=lambda count: answers.append((time.perf_counter(), count)) if count else None,
        )
        (first, begun), (last, _) = answers[0], answers[-1]
        return (last - first) * image.size / (image.size - begun)


def _memory(size: int, cores: int = 1) -> float:
    """Return the seconds that one pass over `size` bytes of zeros in memory takes."""
    import numpy as np

    buffer = np.ones(min(size, _BUFFER), dtype=np.bool_)
    buffer[:] = False  # written, so that every page is there
    rows = buffer.reshape(-1, 2 * MIB)

    def share(number: int) -> None:
        for _ in range(size // len(buffer)):
            rows[number::cores].any(axis=1)

    share(0)
    with ThreadPoolExecutor(cores) as pool:
        start = time.perf_counter()
        list(pool.map(share, range(cores)))
        return time.perf_counter() - start


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    seconds = _pass(Path(*arguments)) if what == "pass" else _memory(*map(int, arguments))
    print(json.dumps({"seconds": seconds}))
