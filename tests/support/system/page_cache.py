"""What of a file lies in the page cache."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np

from imsprep.system.pagecache import PAGE


def drop(file: int) -> None:
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def cached_pages(path: Path) -> set[int]:
    """Return the pages of a file that are in the page cache."""
    with open(path, "rb") as file:
        mapped = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.bool_)
    vector = ctypes.create_string_buffer(-(-len(mapped) // PAGE))
    place, length = ctypes.c_void_p(mapped.ctypes.data), ctypes.c_size_t(len(mapped))
    assert ctypes.CDLL(None).mincore(place, length, vector) == 0
    return {number for number, there in enumerate(vector.raw) if there & 1}
