"""RAW disks, sparse but for what a test puts into them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from imsprep.units import MIB

BLOCK = 2 * MIB
DATA = (0, 3, 9)  # blocks of `make_disk` that hold data; of each the last byte
RUNS = ((0, 4096), (40960, 12288), (1 << 20, 9000), (5 << 20, 700))  # of `make_runs`: offset, bytes


def write_disk(path: Path, size: int, pieces: Iterable[tuple[int, bytes]]) -> Path:
    """Write a disk of `size` bytes that holds each piece at its offset, and holes elsewhere."""
    with open(path, "wb") as file:
        file.truncate(size)
        for offset, data in pieces:
            os.pwrite(file.fileno(), data, offset)
    return path


def make_disk(path: Path) -> Path:
    """Write a disk of 10 blocks and a short one, and return its path."""
    return write_disk(path, 10 * BLOCK + 512, [((block + 1) * BLOCK - 1, b"x") for block in DATA])


def make_runs(path: Path) -> Path:
    """Write a disk with a short last block that holds data, and return its path."""
    return write_disk(path, sum(RUNS[-1]), [(offset, bytes([7]) * n) for offset, n in RUNS])


def make_uefi_disk(path: Path, *, bios: bool = False) -> Path:
    """Write a GPT with an EFI system partition, by sgdisk; with `bios` boot code before it too."""
    write_disk(path, 64 * MIB, [])
    subprocess.run(
        ["sgdisk", "-n1:0:+8M", "-t1:ef00", "-n2:0:0", path], check=True, capture_output=True
    )
    if bios:
        with path.open("r+b") as file:
            file.write(b"\xeb\x63\x90")
    return path


def write_byte(path: Path, offset: int) -> None:
    """Change a byte of a file in its place."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"y")
