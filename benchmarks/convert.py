"""`imsprep convert` to ZVHD2 against qemu-img making the nearest to it: a qcow2 packed by zstd.

Both read a RAW image from the page cache, pack clusters of 2 MiB and leave a whole file; ours also
proves what it wrote and brings it to the disk before it says so. What the peers write is brought
there too, by `sync FILE` behind them. `size_ratio` is the bytes of our
file by those of the peer's. What the zstd library alone takes, on all cores and with nothing
written or proved, is what no conversion can undercut: `python -m benchmarks.convert IMAGE LEVEL`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import zstandard

from benchmarks.harness import LIMIT, Bench, Case, Goal, warm
from benchmarks.inputs import GIB, MIB
from benchmarks.measure import Command, command

_MEMORY = Goal("memory_mib", "<=", 300)
_NO_LARGER = Goal("size_ratio", "<=", 1)
_NO_LARGER_LEVEL = 2
_BLOCK = 2 * MIB
PACKED = ("-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=2M", "-m", "16", "-W")


def cases(bench: Bench) -> Iterator[Case]:
    """Pack a server's disk and random data; one thread against two; a TiB of holes."""
    made, peers = bench.folder / "made.zvhd2", bench.folder / "made.qcow2"
    held = bench.size(650 * MIB, 160 * MIB)
    files = bench.inputs.ext4(bench.size(8 * GIB, 2 * GIB), held)
    random = bench.inputs.random(bench.size(3 * GIB, 256 * MIB))
    for name, image, ratio in (
        (f"{files.stat().st_size // GIB} GiB ext4, {held // MIB} MiB of files", files, 2.0),
        (f"{random.stat().st_size // MIB} MiB of random data", random, 1.5),
    ):
        yield Case(
            name, _ours(image, made), _peer("qemu-img", "convert", *PACKED, image, peers),
            "qemu-img convert -c, zstd", (Goal("ratio", ">=", ratio), _NO_LARGER, _MEMORY),
            before=_afresh(image, made, peers), quick=True,
            after_ours=lambda: _size(made), after_peer=lambda: _size(peers),
        )  # fmt: skip
        if image is files:
            yield from _levels(name, image, made, peers)
    yield from _proof(bench, made, peers)
    yield Case(
        "one more thread, the ext4", _ours(files, made, "--jobs", 2),
        _ours(files, made, "--jobs", 1), "itself with one", (Goal("ratio", ">=", 1.7),),
        before=_afresh(files, made), memory=False, quick=True,
    )  # fmt: skip
    extents = bench.inputs.extents(1024 * GIB, 4096, GIB)
    yield Case(
        "1 TiB with 1 GiB of data in 4096 extents", _ours(extents, made), None, "-", (_MEMORY,),
        before=_afresh(extents, made), runs=1,
    )  # fmt: skip
    for path in (made, peers):
        path.unlink(missing_ok=True)


def _proof(bench: Bench, made: Path, peers: Path) -> Iterator[Case]:
    """Pack many files, proved against qemu-img and not proved against zstd itself."""
    held = bench.size(3892 * MIB, 400 * MIB)
    image = bench.inputs.ext4(bench.size(8 * GIB, GIB), held)
    name, packed = (
        f"{image.stat().st_size // GIB} GiB ext4, {held // MIB} MiB of files",
        made.parent / "made.zst",
    )
    before = _afresh(image, made, peers, packed)
    yield Case(
        f"{name}, proved", _ours(image, made),
        _peer("qemu-img", "convert", *PACKED, image, peers),
        "qemu-img convert -c, zstd", (Goal("ratio", ">=", 1), _NO_LARGER), before, runs=3,
        memory=False, quick=True,
        after_ours=lambda: _size(made), after_peer=lambda: _size(peers),
    )  # fmt: skip
    for peer, peer_name in (
        (_peer("zstd", "-q", "-f", "-T0", image, "-o", packed), "zstd -T0, brought to the disk"),
        (command(sys.executable, "-m", "benchmarks.convert", image, 3, reports=True),
         "the library on all cores, once read"),
    ):  # fmt: skip
        yield Case(
            f"{name}, not proved", _ours(image, made, "--verify", "none"), peer, peer_name,
            (Goal("ratio", ">=", 0.85),), before, runs=3, memory=False, quick=True,
        )  # fmt: skip
    packed.unlink(missing_ok=True)


def _levels(name: str, image: Path, made: Path, peers: Path) -> Iterator[Case]:
    """Pack at the fastest level whose file is no larger than the peer's, and by zstd alone."""
    peer = _peer("qemu-img", "convert", *PACKED, image, peers)
    yield Case(
        f"{name}, at level {_NO_LARGER_LEVEL}", _ours(image, made, "--level", _NO_LARGER_LEVEL),
        peer, "qemu-img convert -c, zstd", (Goal("ratio", ">=", 1), _NO_LARGER),
        before=_afresh(image, made, peers), memory=False, quick=True,
        after_ours=lambda: _size(made), after_peer=lambda: _size(peers),
    )  # fmt: skip
    for level in (3, _NO_LARGER_LEVEL):
        alone = command(sys.executable, "-m", "benchmarks.convert", image, level, reports=True)
        yield Case(
            f"{LIMIT}{name}, zstd alone at level {level}", alone, peer,
            "qemu-img convert -c, zstd", (), before=_afresh(image, made, peers), memory=False,
            quick=True,
        )  # fmt: skip


def _ours(image: Path, made: Path, *options: object) -> Command:
    return command(sys.executable, "-m", "imsprep", "convert", image, made, "--quiet", *options)


def _peer(*argv: object) -> Command:
    """Return a peer's command, whose last word is its file, and what brings that to the disk."""
    made = subprocess.list2cmdline([str(word) for word in argv])
    return command("sh", "-c", f"{made} && sync {argv[-1]}")


def _afresh(image: Path, *made: Path) -> Callable[[], None]:
    """Return what has the image in the page cache, and nothing of what was made from it."""

    def prepare() -> None:
        for path in made:
            path.unlink(missing_ok=True)
        warm(image)

    return prepare


def _size(path: Path) -> Mapping[str, float]:
    return {"size": path.stat().st_size}


def _pack(image: Path, level: int) -> float:
    """Return the seconds in which all cores pack the blocks that are not zeros, once read."""
    with open(image, "rb") as file:
        blocks = [block for block in iter(lambda: file.read(_BLOCK), b"") if block.strip(b"\0")]

    def some(batch: list[bytes]) -> None:
        library = zstandard.ZstdCompressor(level=level)
        for block in batch:
            library.compress(block)

    batches = [blocks[at : at + 16] for at in range(0, len(blocks), 16)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        start = time.perf_counter()
        list(pool.map(some, batches))
        return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps({"seconds": _pack(Path(sys.argv[1]), int(sys.argv[2]))}))
