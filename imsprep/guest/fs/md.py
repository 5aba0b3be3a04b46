"""Linux RAID: how many disks an array needs, from the superblock of one of its members.

The files of an array are not read here. Source: the Linux kernel's
include/uapi/linux/raid/md_p.h (versions 0.90 and 1.x) and drivers/md.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from imsprep.image.volumes.signatures import Read
from imsprep.units import KIB

_MAGIC = 0xA92B4EFC
_NEW = struct.Struct("<II8x16s40xii12xI")  # magic, major; set_uuid; level, layout; raid_disks
_OLD = struct.Struct("<II12xI4xI8xI8x3I")  # magic, major; set_uuid0; level; raid_disks; set_uuid1-3
_OLD_STEP, _END, _STEP = 64 * KIB, 8 * KIB, 4 * KIB
_COPIES = 0xFF  # of a layout of RAID 10: near, and in the next byte far


class Array(NamedTuple):
    """An array as one of its members describes it."""

    identifier: bytes  # the same in all members, 16 bytes
    level: int  # -1: linear
    disks: int  # that it is made of, spares left aside
    layout: int = 0

    @property
    def needed(self) -> int:
        """The number of disks without which there is no array."""
        if self.level in (0, -1):
            return self.disks
        if self.level == 10:
            copies = (self.layout & _COPIES) * (self.layout >> 8 & _COPIES)
            return -(-self.disks // max(copies, 1)) if copies else 1
        return max(self.disks - {4: 1, 5: 1, 6: 2}.get(self.level, self.disks - 1), 1)

    @property
    def name(self) -> str:
        """What it is called: `RAID 5 of 3 disks`."""
        kind = "linear array" if self.level == -1 else f"RAID {self.level}"
        return f"{kind} of {self.disks} disks"


def read_array(read: Read, size: int) -> Array | None:
    """Return the array that a volume of `size` bytes is a member of; None if it is not known."""
    for offset in (0, _STEP, (size - _END) // _STEP * _STEP):
        head = read(offset, _NEW.size) if offset >= 0 else b""
        if len(head) == _NEW.size:
            magic, major, identifier, level, layout, disks = _NEW.unpack(head)
            if (magic, major) == (_MAGIC, 1):
                return Array(identifier, level, disks, layout)
    offset = size // _OLD_STEP * _OLD_STEP - _OLD_STEP
    head = read(offset, _OLD.size) if offset >= 0 else b""
    if len(head) == _OLD.size:
        magic, major, first, level, disks, *rest = _OLD.unpack(head)
        if (magic, major) == (_MAGIC, 0):
            signed = level - (1 << 32) if level >> 31 else level
            return Array(struct.pack("<4I", first, *rest), signed, disks)
    return None
