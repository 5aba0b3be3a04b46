"""What tests of measurements share: a clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable


def ticking() -> Callable[[], float]:
    """Return a clock that is a second later whenever it is asked."""
    numbers = itertools.count()
    return lambda: float(next(numbers))
