"""`imsprep convert` to ZVHD2 beside qemu-img making the nearest to it: a qcow2 packed by zstd.

Both read a RAW image from the page cache, pack clusters of 2 MiB and leave a whole file; ours also
proves what it wrote and brings it to the disk before it says so. `size_ratio` is the bytes of our
file by those of the peer's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.harness import Bench, Case, Goal, warm
from benchmarks.inputs import GIB, MIB
from benchmarks.measure import Command, command

_MEMORY = Goal("memory_mib", "<=", 300)
_NO_LARGER = Goal("size_ratio", "<=", 1)
_PACKED = ("-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=2M", "-m", "16", "-W")


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
            name, _ours(image, made), command("qemu-img", "convert", *_PACKED, image, peers),
            "qemu-img convert -c, zstd", (Goal("ratio", ">=", ratio), _NO_LARGER, _MEMORY),
            before=_afresh(image, made, peers), quick=True,
            after_ours=lambda: _size(made), after_peer=lambda: _size(peers),
        )  # fmt: skip
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


def _ours(image: Path, made: Path, *options: object) -> Command:
    return command(sys.executable, "-m", "imsprep", "convert", image, made, "--quiet", *options)


def _afresh(image: Path, *made: Path) -> Callable[[], None]:
    """Return what has the image in the page cache, and nothing of what was made from it."""

    def prepare() -> None:
        for path in made:
            path.unlink(missing_ok=True)
        warm(image)

    return prepare


def _size(path: Path) -> Mapping[str, float]:
    return {"size": path.stat().st_size}
