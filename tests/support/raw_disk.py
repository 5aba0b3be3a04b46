"""A small RAW disk that is sparse, with some blocks of data."""

from __future__ import annotations

from pathlib import Path

from imsprep.units import MIB

BLOCK = 2 * MIB
DATA = (0, 3, 9)  # blocks of the disk that hold data; of each the last byte


def make_disk(path: Path) -> Path:
    """Write a disk of 10 blocks and a short one, and return its path."""
    with path.open("wb") as file:
        file.truncate(10 * BLOCK + 512)
        for block in DATA:
            file.seek((block + 1) * BLOCK - 1)
            file.write(b"x")
    return path


def write_byte(path: Path, offset: int) -> None:
    """Change a byte of a file in its place."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"y")
