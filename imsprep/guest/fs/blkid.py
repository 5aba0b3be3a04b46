"""What libblkid says of a volume: kind, UUID and label, as every Linux finds them.

libblkid of util-linux is what udev and mount ask, so that its answer is the one that fstab and
the boot loader go by. It reads a file descriptor; a volume may be a slice of a packed image or a
logical volume, so it is given a file in memory of the volume's size that holds what it looks at:
the start, the end, and where the boot sectors of FAT, exFAT and NTFS say that the label lies. All
else is a hole there. Nothing is written to a disk. Only the sandboxed child calls this, since the
library reads what an image crafted for it may hold.

Source: libblkid's documentation (superblocks probing); its names of kinds are those of blkid(8).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from imsprep.image.volumes import signatures
from imsprep.units import KIB, MIB, SECTOR

Read = Callable[[int, int], bytes]  # offset, length -> bytes of the volume; fewer at the end

_LIBRARY = "libblkid.so.1"
_HEAD, _TAIL = 2 * MIB + 64 * KIB, MIB + 64 * KIB  # VMFS begins at 2 MiB; RAIDs end the disk
_DIRECTORY = 64 * KIB  # of a root directory; the label is one of its first entries
_LABEL, _UUID, _TYPE = 1 << 1, 1 << 3, 1 << 5  # BLKID_SUBLKS_*
_FOUND, _SEVERAL = 0, -2  # of blkid_do_safeprobe; 1 is nothing

# Where its name of a kind is not ours.
_KINDS = {
    "ext2": signatures.EXT2, "ext3": signatures.EXT3, "ext4": signatures.EXT4,
    "ext4dev": signatures.EXT4, "jbd": signatures.EXT_JOURNAL, "xfs": signatures.XFS,
    "btrfs": signatures.BTRFS, "ntfs": signatures.NTFS, "vfat": signatures.FAT,
    "exfat": signatures.EXFAT, "zfs_member": signatures.ZFS, "crypto_LUKS": signatures.LUKS,
    "BitLocker": signatures.BITLOCKER, "LVM2_member": signatures.LVM,
    "linux_raid_member": signatures.RAID, "swap": signatures.SWAP, "swsuspend": signatures.SWAP,
    "squashfs": "SquashFS", "iso9660": "ISO 9660", "reiserfs": "ReiserFS", "f2fs": "F2FS",
    "jfs": "JFS", "nilfs2": "NILFS2", "udf": "UDF", "erofs": "EROFS", "apfs": "APFS",
    "hfsplus": "HFS+", "hfs": "HFS",
}  # fmt: skip


class Answer(NamedTuple):
    """What libblkid found."""

    kind: str
    uuid: str | None
    label: str | None


class Silence(NamedTuple):
    """That it found nothing, or several kinds at once, which udev then names none of."""

    several: bool


def ask(read: Read, size: int) -> Answer | Silence | None:
    """Return what libblkid finds on a volume of `size` bytes; None if it cannot be asked."""
    library = load_library()
    if library is None or size <= 0:
        return None
    try:
        file = _file(read, size)
    except OSError:
        return None
    probe = library.blkid_new_probe()
    try:
        return _probe(library, probe, file) if probe else None
    finally:
        library.blkid_free_probe(probe)
        os.close(file)


def _probe(library: ctypes.CDLL, probe: int, file: int) -> Answer | Silence | None:
    if library.blkid_probe_set_device(probe, file, 0, 0):
        return None
    library.blkid_probe_enable_superblocks(probe, 1)
    library.blkid_probe_set_superblocks_flags(probe, _LABEL | _UUID | _TYPE)
    code = library.blkid_do_safeprobe(probe)
    if code != _FOUND:
        return Silence(code == _SEVERAL) if code in (1, _SEVERAL) else None
    name = _value(library, probe, b"TYPE")
    if name is None:
        return Silence(several=False)
    uuid, label = _value(library, probe, b"UUID"), _value(library, probe, b"LABEL")
    return Answer(_KINDS.get(name, name), uuid, label)


def _value(library: ctypes.CDLL, probe: int, name: bytes) -> str | None:
    data, length = ctypes.c_void_p(), ctypes.c_size_t()
    if library.blkid_probe_lookup_value(probe, name, ctypes.byref(data), ctypes.byref(length)):
        return None
    raw = ctypes.string_at(data.value, length.value) if data.value else b""
    return raw.rstrip(b"\0").decode("utf-8", "surrogateescape") or None


@cache
def load_library() -> ctypes.CDLL | None:
    """Load the library; None on a system without it, or without files in memory."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        library = ctypes.CDLL(_LIBRARY)
        library.blkid_new_probe.restype = ctypes.c_void_p
        library.blkid_free_probe.argtypes = [ctypes.c_void_p]
        library.blkid_probe_set_device.argtypes = [
            ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]  # fmt: skip
        library.blkid_probe_enable_superblocks.argtypes = [ctypes.c_void_p, ctypes.c_int]
        library.blkid_probe_set_superblocks_flags.argtypes = [ctypes.c_void_p, ctypes.c_int]
        library.blkid_do_safeprobe.argtypes = [ctypes.c_void_p]
        library.blkid_probe_lookup_value.argtypes = [
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]  # fmt: skip
    except (OSError, AttributeError):
        return None
    return library


def _file(read: Read, size: int) -> int:
    """Return a file in memory that looks like the volume where libblkid looks."""
    file = os.memfd_create("volume")
    try:
        with _any_size():
            os.ftruncate(file, size)
            head = read(0, min(_HEAD, size))
            for offset, length in (*_label_places(head), (size - _TAIL, _TAIL)):
                start, stop = max(offset, len(head)), min(offset + length, size)
                if start < stop:
                    os.pwrite(file, read(start, stop - start), start)
            os.pwrite(file, head, 0)
    except BaseException:
        os.close(file)
        raise
    return file


def _label_places(head: bytes) -> Iterator[tuple[int, int]]:
    """Yield offset and length of what holds a label, as the boot sector says; else nothing."""
    if len(head) < SECTOR or head[510:512] != b"\x55\xaa":
        return
    if head[3:11] == b"NTFS    ":
        sector, cluster = struct.unpack_from("<HB", head, 0xB)
        (table,) = struct.unpack_from("<Q", head, 0x30)
        yield table * cluster * sector, _DIRECTORY  # its fourth record is $Volume
    elif head[3:11] == b"EXFAT   " and head[108] <= 12 and head[109] <= 25:
        table, _, heap, _, root = struct.unpack_from("<5I", head, 80)
        yield (heap << head[108]) + (max(root, 2) - 2 << head[108] + head[109]), _DIRECTORY
        yield (table << head[108]) + root * 4, SECTOR
    else:
        sector, cluster, reserved, tables = struct.unpack_from("<HBHB", head, 0xB)
        long, _, root = struct.unpack_from("<III", head, 0x24)
        yield ((reserved + tables * long) + max(root - 2, 0) * cluster) * sector, _DIRECTORY
        yield reserved * sector + root * 4, SECTOR


class _any_size:  # noqa: N801 - used as a function
    """Let this process make a file of any size: the child may else write none that is large."""

    def __enter__(self) -> None:
        import resource

        self._kept = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._kept[1], self._kept[1]))

    def __exit__(self, *error: object) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, self._kept)
