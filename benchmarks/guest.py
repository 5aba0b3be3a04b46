"""`imsprep check --guest` of a real Debian with 2 GiB of files, RAW and ZVHD2, and of its layouts.

There is no peer: no other tool answers these questions without root. The images are those of `make
guest-images`; where they are not built, the family has no cases and says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Bench, Case, Goal, warm
from benchmarks.measure import Command, command

IMAGES = Path(os.environ.get("IMSPREP_GUEST_IMAGES", "build/guest-images"))
GOALS = (Goal("seconds", "<=", 5), Goal("memory_mib", "<=", 300))
LAYOUTS = ("xfs-uefi", "btrfs-zstd", "lvm-uefi")  # with fewer files; for how the readers differ


def cases(bench: Bench) -> Iterator[Case]:
    """Look into the whole Debian, the same as ZVHD2, and other file systems."""
    full = IMAGES / "debian-full.raw"
    if not full.exists():
        print(f"no {full}: make guest-images", file=sys.stderr)
        return
    yield _case("debian, ext4, 2 GiB of files", full, quick=True)
    packed = bench.folder / "debian-full.zvhd2"
    if not packed.exists():
        convert = (sys.executable, "-m", "imsprep", "convert", "--quiet", full, packed)
        subprocess.run([str(word) for word in convert], check=True)
    yield _case("the same as ZVHD2", packed)
    for layout in LAYOUTS:
        yield _case(f"debian, {layout}", IMAGES / f"debian-{layout}.raw")


def _case(name: str, image: Path, *, quick: bool = False) -> Case:
    return Case(name, _look_inside(image), None, "none", GOALS, before=lambda: warm(image),
                quick=quick)  # fmt: skip


def _look_inside(image: Path) -> Command:
    check = (sys.executable, "-m", "imsprep", "check", "--guest", "--quiet", image)
    return command(*check, codes=(0, 1))
