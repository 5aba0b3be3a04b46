"""Raw disks, sparse but for what a test puts into them."""

from __future__ import annotations

import os
from pathlib import Path


def write_disk(path: Path, size: int, pieces: list[tuple[int, bytes]]) -> Path:
    """Write a disk of `size` bytes that holds each piece at its offset, and holes elsewhere."""
    with open(path, "wb") as file:
        file.truncate(size)
        for offset, data in pieces:
            os.pwrite(file.fileno(), data, offset)
    return path
