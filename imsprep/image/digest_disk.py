"""Hash a disk: its digest with all cores, reading what is data and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from imsprep.image.digest import LEAF, DigestTree
from imsprep.image.disk import ByteExtent, Disk
from imsprep.system.threads import Workers
from imsprep.units import MIB, round_up

_STEP = 4 * MIB  # bytes that a thread reads at once
_PLAIN = 1 * MIB  # bytes hashed at once where the order counts


def digest_disk(
    disk: Disk,
    *,
    jobs: int,
    extents: Iterable[ByteExtent] | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> DigestTree:
    """Return the digests of a disk, read by `jobs` threads; see `image.digest`.

    `extents` are the disk's unless others are given, as one that is all data where holes are not
    to be believed. `progress` is called with bytes of the disk, in this thread. Raises what reading
    raises, and ImageChangedError.
    """
    tree, reported = DigestTree(disk.size), 0
    pieces = _pieces(disk.extents() if extents is None else extents, disk.size)
    with Workers(jobs) as workers:
        for stop in workers.map(partial(_add, disk, tree), pieces):
            progress(stop - reported)
            reported = stop
    progress(disk.size - reported)
    disk.check_unchanged()
    return tree


def sha256_disk(disk: Disk) -> str:
    """Return the plain SHA-256 of a disk in hex; zeros are hashed as well, by one core."""
    digest, zeros = hashlib.sha256(), memoryview(bytes(_PLAIN))
    buffer = memoryview(bytearray(_PLAIN))
    for start, length, is_data in disk.extents():
        for offset in range(start, start + length, _PLAIN):
            count = min(_PLAIN, start + length - offset)
            if is_data:
                disk.pread_into(offset, buffer[:count])
            digest.update(buffer[:count] if is_data else zeros[:count])
    disk.check_unchanged()
    return digest.hexdigest()


def _add(disk: Disk, tree: DigestTree, piece: tuple[int, int]) -> int:
    """Give the tree what lies between two offsets; return the second. Runs in a thread."""
    start, stop = piece
    buffer = bytearray(stop - start)
    disk.pread_into(start, memoryview(buffer))
    tree.add(start, buffer)
    return stop


def _pieces(extents: Iterable[ByteExtent], size: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of what is data, widened to whole leaves and cut into steps."""
    done = 0
    for start, length, is_data in extents:
        if not is_data:
            continue
        stop = min(size, round_up(start + length, LEAF))
        at = max(done, start // LEAF * LEAF)
        while at < stop:
            end = min(stop, (at // _STEP + 1) * _STEP)
            yield at, end
            at = end
        done = max(done, stop)
