"""Have the C library keep memory that is freed, where it would give it back to the kernel.

A process that handles blocks of some MiB frees one and takes the next. By default glibc maps each
again, as pages that the kernel zeroes when they are first touched; with data that does not pack,
that took a third of a conversion. What is kept is no more than was in use at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

from imsprep.units import GIB, MIB

# <malloc.h> of glibc. More than 32 MiB is refused as a threshold by some of its versions.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST, _NEVER = 32 * MIB, GIB


def keep_freed_memory() -> None:
    """Keep it from now on, in this process; without glibc do nothing."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, _NEVER)
