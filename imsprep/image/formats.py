"""Formats: which disk format a file is in, detected from its first and last bytes.

A *match* is one format whose signature is present. A file with no match is RAW: RAW has no
signature of its own. Several matches make a *polyglot*: different readers would see different
disks. Names are those of qemu-img where it knows the format, except `vhd` (qemu-img: `vpc`).

What lies inside a RAW disk (partition tables, file systems) belongs to `volumes`.
"""

from __future__ import annotations

import re
import shlex
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from imsprep.errors import ContentError, FormatError, show_path
from imsprep.image.not_a_disk import (
    KNOWN,
    SIGNATURES,
    Kind,
    Signature,
    is_program,
    tar_format,
    text_format,
)
from imsprep.units import KIB, MIB, SECTOR, TIB, exact_size

HEAD_SIZE = 128 * KIB  # bytes that `identify` wants from the start; ISO 9660 lies at 32 KiB
TAIL_SIZE = 64 * KIB  # bytes that it wants from the end; the ZIP directory ends within these

# Of an image that is imported: "cannot exceed 1 TB", read as 2^40 bytes; API reference,
# "Importing an Image File Quickly", 2024-08-09.
MAX_SIZE = TIB

RAW, ZVHD2, ZVHD = "raw", "zvhd2", "zvhd"
VHD_FIXED, VHD_DYNAMIC, VMDK, ISO = "vhd-fixed", "vhd-dynamic", "vmdk", "iso"
OVA, OVF = "ova", "ovf"

# What the end of a file's name says.
SUFFIXES = {
    ".raw": RAW, ".img": RAW, ".zvhd2": ZVHD2, ".zvhd": ZVHD,
    ".qcow2": "qcow2", ".qcow": "qcow", ".vmdk": "vmdk", ".vhd": "vhd", ".vhdx": "vhdx",
    ".vdi": "vdi", ".qed": "qed", ".iso": "iso", ".gz": "gzip", ".xz": "xz", ".zst": "zstd",
    ".bz2": "bzip2", ".lz4": "lz4", ".zip": "zip", ".7z": "7z", ".tar": "tar", ".ova": "ova",
    ".dmg": "dmg", ".hds": "parallels",
}  # fmt: skip

# What is read as a disk: RAW, and what differs from it only by something behind or in front. In all
# of them a partition table at the start is usual; discs have one to boot from USB sticks.
LIKE_RAW = (RAW, VHD_FIXED, ISO)

ZVHD2_RECORD = 4096  # bytes from the start of the final footer to the end of the file
VHD_OLD_FOOTER = 511  # bytes; footers written before Virtual PC 2004


class Match(NamedTuple):
    """A signature that is present: where it lies, in bytes from the start of the file."""

    format: str
    kind: Kind
    offset: int
    length: int


_D = Kind.DISK

# Sources: qemu's docs/interop and block drivers for the disk formats; RFC 1952, 8878 and the
# formats' own specifications for the rest; the published driver for zvhd and zvhd2 (docs/zvhd2.md).
_SIGNATURES = (
    Signature(ZVHD2, _D, 0, b"z2strm"),
    Signature(ZVHD2, _D, -ZVHD2_RECORD, b"z2strm\0\0"),
    Signature(ZVHD, _D, 0, b"stream\0\0"),
    Signature("qcow", _D, 0, b"QFI\xfb\0\0\0\1"),
    Signature("qcow2", _D, 0, b"QFI\xfb"),  # of whatever version but the first
    Signature("qed", _D, 0, b"QED\0"),
    Signature(VMDK, _D, 0, b"KDMV"),
    Signature(VMDK, _D, 0, b"COWD"),
    Signature(VMDK, _D, 0, b"# Disk DescriptorFile"),
    Signature("vhdx", _D, 0, b"vhdxfile"),
    Signature("vdi", _D, 64, b"\x7f\x10\xda\xbe"),
    Signature("parallels", _D, 0, b"WithoutFreeSpace"),
    Signature("parallels", _D, 0, b"WithouFreSpacExt"),
    Signature("dmg", _D, -SECTOR, b"koly\0\0\0\4"),
    Signature("bochs", _D, 0, b"Bochs Virtual HD Image"),
    Signature("cloop", _D, 0, b"#!/bin/sh\n#V2.0 Format\n"),
    Signature("android-sparse", _D, 0, b"\x3a\xff\x26\xed\1\0"),
    Signature(VMDK, _D, 0, b"\xbe\xba\xfe\xca\0\0\0\0"),  # of ESX, sparse
    # What stands behind the first signature, where that one is damaged.
    Signature(VMDK, _D, SECTOR, b"# Disk DescriptorFile"),
    Signature("vdi", _D, 0, b"<<< Oracle VM VirtualBox Disk Image"),
    Signature("vdi", _D, 0, b"<<< QEMU VM Virtual Disk Image"),
    Signature(VHD_DYNAMIC, _D, SECTOR, b"cxsparse"),
    Signature(ISO, Kind.OPTICAL, 0x8001, b"CD001"),
    *SIGNATURES,
)  # fmt: skip

_VHD_COOKIE = b"conectix"
_VHD_TYPE = slice(60, 64)  # big-endian disk type in the footer: 2 fixed, 3 dynamic, 4 differencing
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")  # first block, or the end of an empty stream
_ZIP_END, _ZIP_END_SIZE = b"PK\5\6", 22  # end of central directory; a comment may follow
_SKIPPABLE_FRAME = b"\x2a\x4d\x18"  # behind a byte 0x50 to 0x5f; RFC 8878, 3.1.2
_ZLIB_LOOK, _ZLIB_ENOUGH = 16 * KIB, MIB  # bytes that are unpacked, and of what comes out
_TAR_CHECKSUM = slice(148, 156)  # octal digits
_OLD_CPIO_MAGIC, _OLD_CPIO_SIZE = 0o070707, 26
_LZMA_PROPERTIES = b"\x5d\0\0"  # lc=3 lp=0 pb=2, then the dictionary size and the unpacked size
_LZMA_UNKNOWN_SIZE = b"\xff" * 8


def identify(head: bytes, tail: bytes, size: int) -> tuple[Match, ...]:
    """Return every format whose signature is there, in order of offset; none means RAW.

    `head` is the first min(size, HEAD_SIZE) bytes, `tail` the last min(size, TAIL_SIZE).
    """
    found: dict[str, Match] = {}
    for signature in _SIGNATURES:
        offset = signature.offset if signature.offset >= 0 else size + signature.offset
        if offset >= 0 and _bytes_at(head, tail, size, offset, len(signature.magic)) == (
            signature.magic
        ):
            match = Match(signature.format, signature.kind, offset, len(signature.magic))
            found.setdefault(signature.format, match)
    for match in (
        *_vhd(head, tail, size), *_streams(head), *_old_archives(head), *_zip_end(tail, size),
        *_others(head, size),
    ):  # fmt: skip
        found.setdefault(match.format, match)
    _settle(found, head)
    return tuple(sorted(found.values(), key=lambda m: (m.offset, m.format)))


def ends(read: Callable[[int, int], bytes], size: int) -> tuple[bytes, bytes]:
    """Return head and tail of a file as `identify` wants them; `read` takes offset and length."""
    tail = min(size, TAIL_SIZE)
    return read(0, min(size, HEAD_SIZE)), read(size - tail, tail)


def primary(matches: tuple[Match, ...]) -> str:
    """Return the name of the format that a reader would take it for; `raw` if nothing matched.

    An archive that lies behind something else does not name the whole.
    """
    named = [match for match in matches if match.kind is not Kind.ARCHIVE or in_front(match)]
    return named[0].format if named else RAW


def in_front(match: Match) -> bool:
    """Return whether the signature stands where the format begins, not somewhere behind."""
    return match.offset < SECTOR


def virtual_size(format_: str, head: bytes) -> int | None:
    """Return the size in bytes of the disk that a header in `head` speaks of; None if unknown.

    Nothing is checked: it is what the header says. RAW says nothing.
    """
    layout = _SIZE_FIELDS.get(format_)
    if layout is None or not head.startswith(layout.magic):
        return None
    field = head[layout.offset : layout.offset + 8]
    return int.from_bytes(field, layout.order) * layout.unit if len(field) == 8 else None


class _SizeField(NamedTuple):
    offset: int
    order: Literal["little", "big"]
    unit: int = 1  # bytes
    magic: bytes = b""


_SIZE_FIELDS = {
    ZVHD2: _SizeField(48, "little"),  # curr_size: rounded up to a whole GiB
    ZVHD: _SizeField(48, "little"),
    "qcow": _SizeField(24, "big"),
    "qcow2": _SizeField(24, "big"),
    "qed": _SizeField(48, "little"),
    "vdi": _SizeField(368, "little"),
    VMDK: _SizeField(12, "little", SECTOR, b"KDMV"),
}


def _bytes_at(head: bytes, tail: bytes, size: int, offset: int, length: int) -> bytes:
    if offset + length <= len(head):
        return head[offset : offset + length]
    start = offset - (size - len(tail))
    return tail[start : start + length] if start >= 0 else b""


def _vhd(head: bytes, tail: bytes, size: int) -> list[Match]:
    """Find VHD footers: a copy at the start means dynamic, one at the end alone means fixed."""
    if head.startswith(_VHD_COOKIE):
        fixed = int.from_bytes(head[_VHD_TYPE], "big") == 2
        return [Match(VHD_FIXED if fixed else VHD_DYNAMIC, _D, 0, len(_VHD_COOKIE))]
    for length in (SECTOR, VHD_OLD_FOOTER):
        offset = size - length
        if offset >= 0 and _bytes_at(head, tail, size, offset, 8) == _VHD_COOKIE:
            footer = tail[len(tail) - length :]
            dynamic = int.from_bytes(footer[_VHD_TYPE], "big") in (3, 4)
            return [Match(VHD_DYNAMIC if dynamic else VHD_FIXED, _D, offset, len(_VHD_COOKIE))]
    return []


def _streams(head: bytes) -> list[Match]:
    """Find compressed streams whose signature needs more than a fixed string to be believed."""
    if head[:3] == b"BZh" and head[3:4] in b"123456789" and head[4:10] in _BZIP2_BLOCKS:
        return [Match("bzip2", Kind.COMPRESSED, 0, 10)]
    if head[1:4] == _SKIPPABLE_FRAME and head[:1] and head[0] >> 4 == 5:
        return [Match("zstd", Kind.COMPRESSED, 0, 4)]  # pzstd begins so; LZ4 may too
    if head[:3] == _LZMA_PROPERTIES and head[5:13] == _LZMA_UNKNOWN_SIZE:
        return [Match("lzma", Kind.COMPRESSED, 0, 13)]
    return [Match("zlib", Kind.COMPRESSED, 0, 2)] if _is_zlib(head) else []


def _is_zlib(head: bytes) -> bool:
    """Unpack the beginning: the header has five bits of proof, the stream makes it certain."""
    if len(head) < 2:
        return False
    method, flags = head[:2]
    if method & 0xF != 8 or method >> 4 > 7 or flags & 0x20 or (method << 8 | flags) % 31:
        return False
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(head[:_ZLIB_LOOK], _ZLIB_ENOUGH)
    except zlib.error:
        return False
    # Not to its end, where the checksum stands: then that much without a fault has to do.
    return stream.eof or len(unpacked) >= _ZLIB_ENOUGH or len(head) >= _ZLIB_LOOK


def _old_archives(head: bytes) -> list[Match]:
    """Find archives from before there were signatures, by what their first header must hold."""
    if _is_old_tar(head):
        return [Match("tar", Kind.ARCHIVE, _TAR_CHECKSUM.start, 8)]
    return [Match("cpio", Kind.ARCHIVE, 0, 2)] if _is_old_cpio(head) else []


def _is_old_tar(head: bytes) -> bool:
    """Add up the header of Version 7: the checksum counts itself as spaces; POSIX.1, pax."""
    header = head[:SECTOR]
    said = re.fullmatch(rb" *([0-7]{1,6})[ \0]*", header[_TAR_CHECKSUM])
    if len(header) < SECTOR or said is None or not header[0]:
        return False
    spaces = header[: _TAR_CHECKSUM.start] + b" " * 8 + header[_TAR_CHECKSUM.stop :]
    return int(said[1], 8) == sum(spaces)


def _is_old_cpio(head: bytes) -> bool:
    """Look for the binary header of either byte order, a file type and a name; FreeBSD, cpio(5)."""
    if len(head) < _OLD_CPIO_SIZE:
        return False
    for order in "<>":
        magic, _, _, mode, _, _, links, _, _, _, named, *_ = struct.unpack_from(f"{order}13H", head)
        name = head[_OLD_CPIO_SIZE : _OLD_CPIO_SIZE + named]
        if (
            magic == _OLD_CPIO_MAGIC
            and mode >> 12 in (1, 2, 4, 6, 8, 10, 12)
            and links
            and 1 < named == len(name)
            and name.find(b"\0") == named - 1
            and min(name[:-1]) >= ord(" ")
        ):
            return True
    return False


def _zip_end(tail: bytes, size: int) -> list[Match]:
    """Find a ZIP directory that ends exactly with the file: readers of ZIP start from there."""
    at = tail.rfind(_ZIP_END)
    if at < 0 or at + _ZIP_END_SIZE > len(tail):
        return []
    comment = int.from_bytes(tail[at + 20 : at + 22], "little")
    if at + _ZIP_END_SIZE + comment != len(tail):
        return []
    return [Match("zip", Kind.ARCHIVE, size - len(tail) + at, len(_ZIP_END))]


def _others(head: bytes, size: int) -> list[Match]:
    """Find what is no image of anything, and is known by more than fixed bytes."""
    name = "pe" if is_program(head) else text_format(head, size)
    return [Match(name, Kind.OTHER, 0, min(size, 16))] if name else []


def _settle(found: dict[str, Match], head: bytes) -> None:
    """Drop a match that another one explains, and name what can be named better."""
    if "qcow" in found:
        found.pop("qcow2", None)
    if "dmg" in found:  # its first chunk is a stream without any wrapping
        for name in ("zlib", "bzip2"):
            found.pop(name, None)
    if "aff4" in found:
        found.pop("zip", None)
    if "tar" in found:
        first = head[:100].split(b"\0", 1)[0].decode("utf-8", "replace")
        name = tar_format(first)
        found[name] = found.pop("tar")._replace(format=name)
    others = [m for m in found.values() if m.kind is Kind.OTHER]
    for match in others[1:] if len(others) == len(found) else others:
        del found[match.format]  # what is something better, or named more exactly, is no text


def not_a_disk(path: Path, format_: str) -> str:
    """Return what a file is that cannot be read as a disk, and what helps."""
    name, known = show_path(path), KNOWN.get(format_)
    if known is None:
        advice = OTHER_TOOLS.get(format_, "")
        return f"{name} is {format_}, which cannot be read as a disk; {advice}"
    advice = known.advice.format(shlex.quote(name), "disk.raw")
    run = "run " if known.is_command else ""
    return f"{name} is {known.name}, which is not a disk image that can be read; {run}{advice}"


OTHER_TOOLS = {
    "iso": "install from it into a disk image, and use that",
    "android-sparse": "convert it to RAW: simg2img IMAGE disk.raw",
    ZVHD: "ZVHD is not ZVHD2; use Huawei's own tool: qemu-img-hw convert -O zvhd2",
}


# What a name says, where that is one of the formats that cannot be taken for RAW.
_NAMED = {
    ".qcow2": ("qcow2",), ".qcow": ("qcow", "qcow2"), ".qed": ("qed",), ".vmdk": (VMDK,),
    ".vhd": (VHD_FIXED, VHD_DYNAMIC), ".vhdx": ("vhdx",), ".vdi": ("vdi",), ".dmg": ("dmg",),
    ".hds": ("parallels",), ".zvhd2": (ZVHD2,),
}  # fmt: skip


def named(path: Path) -> str:
    """Return the format that a name says, of those that cannot be taken for RAW; else RAW."""
    return _NAMED.get(path.suffix.lower(), (RAW,))[0]


# Names of what lies where a virtual machine does, and has no signature of its own.
_NO_DISKS = {
    ".vmem": "the memory of a virtual machine (VMware)",
    ".vswp": "the swap file of a virtual machine (VMware)",
    ".nvram": "the settings of a virtual machine's firmware",
}
_PIECE = re.compile(r"-[sf]\d{3,}$")


def check_name(path: Path) -> None:
    """Raise ContentError for a file whose content is RAW, if its name says another format.

    Such a file was cut short at the end by which it is known, or damaged at its start.
    """
    suffix = path.suffix.lower()
    if suffix in _NO_DISKS:
        raise ContentError(
            f"{show_path(path)} has the name of {_NO_DISKS[suffix]}; name the disk image with it",
            ambiguous=True,
        )
    if suffix == ".vmdk" and _PIECE.search(path.stem):
        raise ContentError(
            f"{show_path(path)} has the name of one piece of a split disk; name its descriptor, a"
            " text of a few hundred bytes, with all the pieces in one folder"
        )
    if suffix in _NAMED and not path.stem.lower().endswith("-flat"):
        raise ContentError(
            f"{show_path(path)} has the name of a {_NAMED[suffix][0].partition('-')[0]}, but not"
            " its content: it is cut short or damaged (compare its checksum with that of"
            " the source), or a RAW disk by a wrong name (rename it)",
            ambiguous=True,
        )


class Readable(Protocol):
    """An open file, as much of it as decides the format."""

    path: Path
    size: int  # bytes

    def pread(self, offset: int, length: int) -> bytes:
        """Return what lies at `offset`."""


_ITS_BITMAP = "only a RAW image has a bitmap; see imsprep check"


def check_raw(image: Readable, why: str = _ITS_BITMAP) -> None:
    """Raise FormatError, which says `why`, for an image of which a bitmap would be nonsense."""
    if image.size == 0:
        raise FormatError(f"{show_path(image.path)} is empty; there is no disk in it")
    if image.size > MAX_SIZE:
        raise FormatError(
            f"{show_path(image.path)} has {exact_size(image.size)}, and quick import takes at"
            f" most {exact_size(MAX_SIZE)}"
        )
    matches = identify(*ends(image.pread, image.size), image.size)
    if (name := primary(matches)) not in LIKE_RAW:
        raise FormatError(f"{show_path(image.path)} is {name}, and {why}")
