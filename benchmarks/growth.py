"""How the cost of a scan grows, by size and share of data. Seconds rise with data, memory stays."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.harness import Bench, Case, Goal, drop_caches
from benchmarks.inputs import GIB, MIB
from benchmarks.measure import command

SIZES = (1, 4, 16)  # GiB
SHARES = (1, 10, 50)  # per cent
LARGEST = 1024 * GIB


def cases(bench: Bench) -> Iterator[Case]:
    """Scan cold images of growing size, and one of a TiB that is nearly all holes."""
    for size in SIZES[:1] if bench.quick else SIZES:
        for share in SHARES:
            image = bench.inputs.share(size * GIB, share)
            yield _case(f"{size} GiB, {share} % data", image, size, share)
    image = bench.inputs.extents(LARGEST, 64, 64 * 4 * MIB)
    yield _case("1 TiB, 256 MiB of data", image, 1024, 100 * 256 * MIB / LARGEST)


def _case(name: str, image: object, size_gib: float, share: float) -> Case:
    return Case(
        f"scan of {name}",
        command(sys.executable, "-m", "imsprep", "bitmap", image, "--force", "--quiet"),
        None,
        "none",
        (Goal("memory_mib", "<=", 150),),
        before=drop_caches,
        after_ours=lambda: {"size_gib": size_gib, "share": share},
        runs=3,
        quick=True,
    )
