"""Gather: look at an image, read-only, and return its Facts.

Only the first and last bytes, the partition tables, the start of each partition and the first
non-zero byte are read, so that a disk of a TiB takes no longer than a small one; holes are not
read. A whole scan happens only when it is asked for.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep import formats, partitions
from imsprep.errors import ImageChangedError, ReadError, show_path
from imsprep.facts import Cell, Facts, Zeros
from imsprep.image import Identity
from imsprep.request import RequestFields
from imsprep.sites import Site
from imsprep.units import GIB, MIB, SECTOR, ceil_div

if TYPE_CHECKING:
    from imsprep.guest.model import Guest

# Allocated zeros that are looked at before the question "only zeros?" is left to a scan: at the
# speed of one disk this is a second or two.
PROBE_LIMIT = 2 * GIB
_STEP = 4 * MIB
CELLS = 240  # of the picture of a disk
_MAX_RANGES = 1_000_000  # runs between holes that the picture takes into account


@dataclass(frozen=True)
class Look:
    """How closely to look; every step beyond the first costs time."""

    scan: bool = False  # read all data and make the block map
    guest: bool = False  # look inside the file systems
    probe_limit: int = PROBE_LIMIT  # bytes of allocated zeros after which the quick look gives up


QUICK = Look()


def gather(path: Path, *, request: RequestFields, site: Site, look: Look = QUICK) -> Facts:
    """Return what the rules need to know of the image at `path`.

    Raises ReadError if it is missing, not a file or a block device, or cannot be read, and
    ImageChangedError if it changed meanwhile.
    """
    with open_image(path) as fd:
        before = Identity.of(fd)
        facts = _look(fd, path, _size(fd, path), request, site, look.probe_limit)
        if look.guest:
            facts = replace(facts, guest=_guest(path))
        if Identity.of(fd) != before:
            raise ImageChangedError(f"{show_path(path)} changed while it was being checked")
    return facts


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[int]:
    """Open an image read-only and yield its file descriptor; refuse what cannot be an image."""
    shown = show_path(path)
    try:
        # O_NONBLOCK: a FIFO must be refused, not waited for.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise ReadError.from_os(error, "cannot read", path) from error
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise ReadError(f"cannot check {shown}: it is a directory, not a disk image")
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise ReadError(f"cannot check {shown}: it is neither a file nor a block device")
        yield fd
    except OSError as error:
        raise ReadError.from_os(error, "cannot read", path) from error
    finally:
        os.close(fd)


def _size(fd: int, path: Path) -> int:
    """Return the size in bytes; a block device tells it only by seeking to its end."""
    if stat.S_ISBLK(os.fstat(fd).st_mode):
        return os.lseek(fd, 0, os.SEEK_END)
    return os.fstat(fd).st_size


def _look(
    fd: int, path: Path, size: int, request: RequestFields, site: Site, probe_limit: int
) -> Facts:
    head = os.pread(fd, formats.HEAD_SIZE, 0)
    tail_start = max(0, size - formats.TAIL_SIZE)
    matches = formats.identify(head, os.pread(fd, formats.TAIL_SIZE, tail_start), size)
    is_raw = formats.primary(matches) in (formats.RAW, formats.VHD_FIXED, formats.ISO)
    disk = None
    if is_raw and size >= SECTOR:
        disk = partitions.read_disk(lambda offset, length: os.pread(fd, length, offset), size)
    return Facts(
        name=path.name,
        file_size=size,
        matches=matches,
        virtual_size=size if is_raw else None,
        stored_size=os.fstat(fd).st_blocks * SECTOR,
        zeros=_zeros(fd, size, probe_limit),
        cells=_cells(fd, size),
        disk=disk,
        request=request,
        site=site,
    )


def _guest(path: Path) -> Guest:
    """Look inside the file systems, in a child process; loaded only when it is asked for."""
    from imsprep.guest.sandbox import inspect_image

    return inspect_image(path)


def _zeros(fd: int, size: int, limit: int) -> Zeros:
    """Look for a non-zero byte, without reading holes and no more than `limit` bytes."""
    looked_at = 0
    for offset, length in _data_ranges(fd, size):
        position = offset
        while position < offset + length:
            if looked_at >= limit:
                return Zeros(None, complete=False, looked_at=looked_at)
            step = os.pread(fd, min(_STEP, offset + length - position), position)
            if not step:
                break
            rest = step.lstrip(b"\0")
            if rest:
                return Zeros(position + len(step) - len(rest), complete=False, looked_at=looked_at)
            position += len(step)
            looked_at += len(step)
    return Zeros(None, complete=True, looked_at=looked_at)


def _cells(fd: int, size: int) -> tuple[Cell, ...]:
    """Divide the file into equal cells and say how much of each is no hole; reads nothing."""
    if size == 0:
        return ()
    width = max(SECTOR, ceil_div(size, CELLS))
    kept = [0] * ceil_div(size, width)
    for offset, length in itertools.islice(_data_ranges(fd, size), _MAX_RANGES):
        position = offset
        while position < offset + length:
            cell = position // width
            end = min(offset + length, (cell + 1) * width)
            kept[cell] += end - position
            position = end
    return tuple(
        Cell(number * width, min(width, size - number * width), stored)
        for number, stored in enumerate(kept)
    )


def _data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges that are not holes; everything where the system cannot tell."""
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: nothing but a hole from here on
                yield position, size - position
            return
        except AttributeError:  # a system without SEEK_DATA
            yield position, size - position
            return
        yield start, min(end, size) - start
        position = end
