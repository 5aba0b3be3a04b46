"""What tests of measurements share: a clock, files of known content, and a cache that is empty."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path


def ticking() -> Callable[[], float]:
    """Return a clock that is a second later whenever it is asked."""
    numbers = itertools.count()
    return lambda: float(next(numbers))


def make_image(path: Path, size: int, data: dict[int, bytes]) -> Path:
    """Write a sparse file of `size` bytes with contents at places."""
    with path.open("wb") as file:
        file.truncate(size)
        for place, content in data.items():
            os.pwrite(file.fileno(), content, place)
    return path
