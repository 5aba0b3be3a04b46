"""GRUB's core image on a BIOS: followed from the first sector to what is built into it.

The boot program in the first sector (`boot.img`) reads one sector more, `diskboot.img`, whose list
of blocks says where the rest is; that is a small program which unpacks GRUB's kernel and modules
from LZMA. Where its packed part begins is read from its code. What stands behind the code that
corrects errors can be protected by it: of each block, half as many bytes as its Reed-Solomon code
has. Sources: GRUB's include/grub/i386/pc/boot.h, include/grub/offsets.h,
boot/i386/pc/startup_raw.S, lib/reed_solomon.c, util/mkimage.c and util/setup.c, 2.00 to 2.12; the
layout is the same in all.
"""

from __future__ import annotations

import lzma
import struct

from imsprep.guest.chain.devices import UnknownStepError
from imsprep.guest.chain.grub.objects import Objects, find_objects
from imsprep.image.volumes.signatures import Read
from imsprep.units import MIB, SECTOR, counted

_KERNEL_ADDRESS = 0x8000  # where the boot program loads the sector that it reads
_BOOT_FIELDS = struct.Struct("<90xHQB")  # that address, the sector, the BIOS drive
_DRIVES = (0xFF, 0x80)  # the one that was started from; the first
_DISKBOOT_TEXT = b"Geom\0Read\0 Error"
_BLOCKS = struct.Struct("<QHH")  # first sector, sectors, segment; the list ends with no sectors
_BLOCKS_FROM, _BLOCKS_TO = 500, 256  # the list goes down from the sector's end
_CORE_LIMIT = 2 * MIB
_UNPACKED_LIMIT = 16 * MIB
_JUMP = 0xEA  # what every core image begins with: `ljmp`
_SIZES = struct.Struct("<8xIIIH")  # packed, unpacked, of the Reed-Solomon code, not protected
_LOADED_AT, _LOADED_TO = 0x8200, 0x9000  # the small program
_SEGMENT = _LOADED_AT >> 4
# `movl $0x100000, %edi; movl $decompressor_end, %esi`
_UNPACKS = b"\xbf\x00\x00\x10\x00\xbe"
_LZMA = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}


class NoCoreError(Exception):
    """The boot program goes on to where nothing is: the machine stops. The text says where."""


class DamagedCoreError(UnknownStepError):
    """GRUB's core image is not whole; it may be that GRUB repairs it. The text says what is so."""


def read_core(read: Read, first: bytes) -> Objects:
    """Return what is built into the core image that the first sector starts.

    NoCoreError if it is proved that there is none, or one that cannot start; DamagedCoreError where
    that is not known; UnknownStepError where it is of a kind that cannot be followed.
    """
    if b"GRUB" not in first or len(first) < SECTOR:
        raise UnknownStepError("the first sector is not GRUB's")
    address, sector, drive = _BOOT_FIELDS.unpack_from(first)
    if address != _KERNEL_ADDRESS or drive not in _DRIVES:
        raise UnknownStepError("the first sector is not that of a GRUB 2 on this disk")
    head = read(sector * SECTOR, SECTOR)
    if not head:
        raise DamagedCoreError(
            f"sector {sector}, where GRUB goes on, is beyond the end of the disk"
        )
    if not any(head):
        raise NoCoreError(f"the boot program goes on at sector {sector}, which holds zeros")
    if len(head) < SECTOR or _BLOCKS.unpack_from(head, _BLOCKS_FROM)[2] != _SEGMENT:
        raise DamagedCoreError(f"sector {sector}, where GRUB goes on, does not hold its next part")
    if _DISKBOOT_TEXT not in head:
        raise UnknownStepError(f"sector {sector}, where GRUB goes on, is not known")
    blocks = _blocks(head)
    body = b"".join(read(start, length) for start, length in blocks)
    if sum(length for _, length in blocks) - len(body) >= SECTOR:
        raise DamagedCoreError("GRUB's core image reaches past the end of the disk")
    _must_start(body, sector)
    objects = find_objects(_unpacked(body))
    if objects is None:
        raise DamagedCoreError("GRUB's core image has no modules where they are looked for")
    return objects


def _blocks(head: bytes) -> list[tuple[int, int]]:
    """Return the places and lengths of the rest, in bytes."""
    found = []
    for at in range(_BLOCKS_FROM, _BLOCKS_TO, -_BLOCKS.size):
        start, count, _ = _BLOCKS.unpack_from(head, at)
        if not count:
            break
        found.append((start * SECTOR, count * SECTOR))
    if sum(length for _, length in found) > _CORE_LIMIT:
        raise UnknownStepError("GRUB's core image is longer than any that is known")
    return found


def _must_start(body: bytes, sector: int) -> None:
    """Raise NoCoreError where zeros prove that the core image cannot start.

    No sector of the small program or of an LZMA stream is all zeros in a core image that is whole.
    """
    if not any(body[:SECTOR]):
        does = "begins with" if any(body) else "holds"
        raise NoCoreError(f"the core image of GRUB after sector {sector} {does} zeros")
    if not _is_known(body):
        return
    packed, _, code, bare = _SIZES.unpack_from(body)
    end = bare + packed  # of what is read at least
    zeros = [at for at in range(0, end - SECTOR + 1, SECTOR) if not any(body[at : at + SECTOR])]
    # One byte of 256 may have been a zero before.
    if zeros and (zeros[0] < bare or len(zeros) * SECTOR * 255 // 256 > code // 2):
        raise NoCoreError(
            f"the core image of GRUB after sector {sector} has {counted(len(zeros), 'sector')} of "
            "zeros, which GRUB cannot repair"
        )


def _is_known(body: bytes) -> bool:
    """Return whether the lengths at the beginning are those of a core image of GRUB 2.00 on."""
    if len(body) < SECTOR:
        return False
    packed, size, _, bare = _SIZES.unpack_from(body)
    fits = 0 < bare < _LOADED_TO - _LOADED_AT and 0 < packed <= len(body) - bare
    return body[0] == _JUMP and fits and 0 < size <= _UNPACKED_LIMIT


def _unpacked(body: bytes) -> bytes:
    """Unpack the kernel and its modules; the LZMA stream has neither header nor end mark."""
    at = body.find(_UNPACKS)
    end = at + len(_UNPACKS)
    if not _is_known(body) and at < 0 and body[0] == _JUMP:
        raise UnknownStepError("GRUB's core image is not packed by LZMA as grub-mkimage does")
    if not _is_known(body) or at < _SIZES.size or len(body) < end + 4:
        raise DamagedCoreError("GRUB's core image does not begin as one that is whole")
    (address,) = struct.unpack_from("<I", body, end)
    begin = address - _LOADED_AT
    packed, size, code, _ = _SIZES.unpack_from(body)
    if not end < begin < len(body):
        raise DamagedCoreError("GRUB's core image has no packed part where it says")
    repair = "; GRUB may repair it by its Reed-Solomon code" if code else ""
    try:
        unpack = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_LZMA])
        unpacked = unpack.decompress(body[begin : begin + packed], size)
    except lzma.LZMAError as error:
        raise DamagedCoreError(f"GRUB's core image cannot be unpacked: {error}{repair}") from None
    if len(unpacked) != size:
        raise DamagedCoreError(
            f"GRUB's core image unpacks to {len(unpacked)} bytes of {size}{repair}"
        )
    return unpacked
