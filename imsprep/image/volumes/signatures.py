"""Signatures: what a partition holds, detected from its first bytes and a few places behind.

A *volume* is the content of a partition, or of a whole disk without a partition table: a file
system, an encrypted container, a member of a volume group. Only the name is found here; looking
inside file systems belongs to `guest`. Where nothing is known, that says nothing of the bytes that
were not looked at: no volume is called empty here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from imsprep.image.volumes.superblocks import (
    UNKNOWN_SUPERBLOCK,
    Superblock,
    journal_fault,
    superblock,
)
from imsprep.units import KIB, SECTOR

Read = Callable[[int, int], bytes]  # offset, length -> bytes; fewer at the end
PROBE_SIZE = 68 * KIB  # bytes from the start; btrfs keeps its superblock at 64 KiB

# The kinds of volumes, by the names that code, messages and JSON have for them.
EXT2, EXT3, EXT4, XFS, BTRFS = "ext2", "ext3", "ext4", "XFS", "btrfs"
NTFS, FAT, EXFAT, ZFS = "NTFS", "FAT", "exFAT", "ZFS"
LUKS, BITLOCKER, LVM, RAID, SWAP = "LUKS", "BitLocker", "LVM", "Linux RAID", "swap"
EXT_JOURNAL = "ext journal"  # holds another file system's journal and no files


class Volume(NamedTuple):
    """What lies in a partition."""

    kind: str
    encrypted: bool
    boot_sector: bool  # its first sector holds code that a BIOS could start
    superblock: Superblock = UNKNOWN_SUPERBLOCK  # what its superblock says of its size


_RAID_MAGIC = b"\xfc\x4e\x2b\xa9"

# Swap ends its first page with one of these; the later ones stand there while it holds a system
# that was put to sleep (util-linux's swap and kernel/power/swap.c, and the older patches).
_PAGES = (4 * KIB, 8 * KIB, 16 * KIB, 64 * KIB)
_SWAPS = (b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001")

# Offset, bytes there, name, encrypted. The first that matches decides, so what wraps something
# else (encryption) stands first. Offsets are those of each format's own documentation.
_SIGNATURES = (
    (0, b"LUKS\xba\xbe", LUKS, True),
    (0x4000, b"SKUL\xba\xbe", LUKS, True),  # LUKS 2: the second header, at its usual place
    (3, b"-FVE-FS-", BITLOCKER, True),
    (0xA0, b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01", BITLOCKER, True),
    (0x1A8, b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01", BITLOCKER, True),
    (3, b"NTFS    ", NTFS, False),
    (3, b"EXFAT   ", EXFAT, False),
    (0, b"XFSB", XFS, False),
    (0x10040, b"_BHRfS_M", BTRFS, False),
    (54, b"FAT12   ", FAT, False),
    (54, b"FAT16   ", FAT, False),
    (82, b"FAT32   ", FAT, False),
    (0, b"hsqs", "SquashFS", False),
    (0x8001, b"CD001", "ISO 9660", False),
    *((page - 10, magic, SWAP, False) for page in _PAGES for magic in _SWAPS),
    (4096, _RAID_MAGIC, RAID, False),
    (0, _RAID_MAGIC, RAID, False),
    (0x10034, b"ReIsEr", "ReiserFS", False),
    (0x400, b"\x10\x20\xf5\xf2", "F2FS", False),
    (0x8000, b"JFS1", "JFS", False),
    (0x406, b"\x34\x34", "NILFS2", False),
    (0x400, b"\xe2\xe1\xf5\xe0", "EROFS", False),
    (
        4096 + 24,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
        "bcache",
        False,
    ),
    (
        4096 + 24,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
        "bcachefs",
        False,
    ),
    (32, b"NXSB", "APFS", False),
    (0x400, b"H+\0\4", "HFS+", False),
    (0x8001, b"BEA01", "UDF", False),
)
_EXT_MAGIC = (0x438, b"\x53\xef")
_EXT_COMPAT = slice(0x45C, 0x460)
_EXT_INCOMPAT = slice(0x460, 0x464)
_EXT_JOURNAL, _EXT_EXTENTS_AND_64BIT = 0x4, 0x40 | 0x80
_EXT_JOURNAL_DEVICE = 0x8
_BOOT_CODE = slice(120, 510)  # of a boot sector: behind the longest fields, before the signature
_NOT_BOOTABLE = b"This is not a bootable disk"  # what mkfs.fat's boot sector prints
_LVM_LABEL, _LVM_TYPE = b"LABELONE", b"LVM2 001"

# ZFS has two labels at each end, and mounts by any of them. The magic (zec_magic of its zio_impl.h)
# ends the pool's description in each, in the byte order of the machine that wrote it.
_ZFS_LABEL, _ZFS_MAGIC_AT = 256 * KIB, 128 * KIB - 40
_ZFS_MAGIC = 0x0210DA7AB10C7A11.to_bytes(8, "little")
# Linux RAID 0.90 and 1.0 end their disks with the superblock: md_p.h and md.c of Linux.
_RAID_090, _RAID_10, _RAID_10_STEP = 64 * KIB, 8 * KIB, 4 * KIB


def find_volume(read: Read, size: int) -> Volume | None:
    """Name the volume of `size` bytes by its start, or by what lies deeper; None if unknown."""
    start = read(0, min(PROBE_SIZE, size))
    found = identify_volume(start)
    if found is not None:
        return _with_journal(found, read)
    for offset, magic, kind in _deeper(size):
        inside = 0 <= offset <= size - len(magic)
        if inside and read(offset, len(magic)) in (magic, magic[::-1]):
            return Volume(kind, False, is_boot_sector(start))
    return None


def _with_journal(found: Volume, read: Read) -> Volume:
    """Return the volume, with what is wrong with the journal of an ext3 or ext4 that is sound."""
    block = found.superblock
    if found.kind not in (EXT3, EXT4) or block.fault is not None:
        return found
    return found._replace(superblock=block._replace(fault=journal_fault(read)))


def _deeper(size: int) -> Iterator[tuple[int, bytes, str]]:
    """Yield where on a volume of `size` bytes which magic makes which kind.

    All that is there may be the rest of something older, so the start counts more.
    """
    end = size // _ZFS_LABEL * _ZFS_LABEL
    for label in (0, _ZFS_LABEL, end - 2 * _ZFS_LABEL, end - _ZFS_LABEL):
        yield label + _ZFS_MAGIC_AT, _ZFS_MAGIC, ZFS
    yield size // _RAID_090 * _RAID_090 - _RAID_090, _RAID_MAGIC, RAID
    yield (size - _RAID_10) // _RAID_10_STEP * _RAID_10_STEP, _RAID_MAGIC, RAID


def identify_volume(start: bytes) -> Volume | None:
    """Name the volume whose first bytes (up to PROBE_SIZE) are `start`; None if unknown."""
    boot_sector = (
        is_boot_sector(start)
        and _NOT_BOOTABLE not in start[:SECTOR]
        and len(set(start[_BOOT_CODE])) > 1  # mkfs.exfat fills it with one byte
    )
    for offset, magic, kind, encrypted in _SIGNATURES:
        if start[offset : offset + len(magic)] == magic:
            return Volume(kind, encrypted, boot_sector, superblock(kind, start))
    for sector in range(4):  # LVM puts its label into one of the first four sectors
        label = start[sector * SECTOR : sector * SECTOR + 32]
        if label.startswith(_LVM_LABEL) and label[24:32] == _LVM_TYPE:
            return Volume(LVM, False, boot_sector)
    offset, magic = _EXT_MAGIC
    if start[offset : offset + 2] == magic:
        version = _ext_version(start)
        return Volume(version, False, boot_sector, superblock(version, start))
    return None


def is_boot_sector(start: bytes) -> bool:
    """Return whether this is a file system's boot sector: a jump, and the signature at its end."""
    return start[:1] in (b"\xeb", b"\xe9") and start[510:512] == b"\x55\xaa"


def _ext_version(start: bytes) -> str:
    incompat = int.from_bytes(start[_EXT_INCOMPAT], "little")
    if incompat & _EXT_JOURNAL_DEVICE:
        return EXT_JOURNAL
    if incompat & _EXT_EXTENTS_AND_64BIT:
        return EXT4
    return EXT3 if int.from_bytes(start[_EXT_COMPAT], "little") & _EXT_JOURNAL else EXT2
