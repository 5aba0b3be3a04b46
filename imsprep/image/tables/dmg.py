"""DMG: the trailer, the lists of chunks that it names, and their checksums.

Each list ("mish") covers a run of sectors with chunks, and has the CRC-32 of what they hold, those
of "ignored" sectors left out; the trailer has the CRC-32 of all those checksums, and may have one
of the stored bytes. What a chunk holds is read by QEMU, which compares none of them. Sources:
block/dmg.c of QEMU, and "Demystifying the DMG File Format" (J. Levin), which describes trailer and
lists; which chunks a checksum covers is inferred from images that macOS wrote. Big-endian.
"""

from __future__ import annotations

import bz2
import plistlib
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple
from xml.parsers.expat import ExpatError

from imsprep.image.tables.survey import (
    DOWNLOAD,
    Ledger,
    Read,
    Survey,
    SurveyError,
    check_size,
    cut_short,
    damaged,
    table,
)
from imsprep.units import GIB, MIB, SECTOR

_TRAILER = struct.Struct(">4sIIIQQQQQII16s")
_CHECKSUM = struct.Struct(">III")  # type, bits, and the first word of the value
_FORK_CHECKSUM_AT, _XML_AT, _MASTER_AT, _SECTORS_AT = 80, 216, 352, 492
_LIST = struct.Struct(">4sIQQQII")
_LIST_CHECKSUM_AT, _COUNT_AT, _CHUNKS_AT = 64, 200, 204
_CHUNK = struct.Struct(">IIQQQQ")
_CRC32 = 2  # a type of checksum

_ZEROS, _STORED, _IGNORED = 0, 1, 2
_ZLIB, _BZIP2, _LZFSE = 0x80000005, 0x80000006, 0x80000007
_COMMENT, _END = 0x7FFFFFFE, 0xFFFFFFFF
_OTHERS = {0x80000004: "ADC", 0x80000008: "LZMA"}  # which QEMU does not read
_MODULES = {
    _BZIP2: "bzip2, which QEMU reads by its module dmg-bz2; on Debian: apt install"
    " qemu-block-extra",
    _LZFSE: "LZFSE, which QEMU reads by its module dmg-lzfse, if there is one; on a Mac: hdiutil"
    " convert {image} -format UDZO -o zlib.dmg",
}
_XML_LIMIT = 64 * MIB  # bytes; a disk of a TiB in chunks of a MiB has 55 MiB
_LARGEST = 64 * MIB  # bytes of a chunk; QEMU's limit
_MOST_ZEROS = 64 * GIB  # whose checksum is computed; it takes a minute

_UNPACK: dict[int, Callable[[bytes, int], bytes]] = {
    _STORED: lambda data, limit: data,
    _ZLIB: lambda data, limit: zlib.decompressobj().decompress(data, limit),
    _BZIP2: lambda data, limit: bz2.BZ2Decompressor().decompress(data, limit),
}


class _Chunk(NamedTuple):
    kind: int
    comment: int
    sector: int  # in its list
    sectors: int
    offset: int  # in the data
    length: int  # of what is stored


class _List(NamedTuple):
    """The chunks of a run of sectors."""

    first: int  # sector of the disk
    sectors: int
    checksum: bytes | None  # CRC-32
    chunks: tuple[_Chunk, ...]


def survey(read: Read, size: int) -> Survey:
    """Read trailer, lists and checksums of a DMG; raises FormatError if they cannot be right."""
    at = size - SECTOR
    data = table(read, size, max(0, at), SECTOR)
    magic, _, length, _, _, fork, fork_length, rsrc, rsrc_length, number, count, _ = (
        _TRAILER.unpack_from(data)
    )
    xml, xml_length = struct.unpack_from(">QQ", data, _XML_AT)
    (sectors,) = struct.unpack_from(">Q", data, _SECTORS_AT)
    if magic != b"koly" or length != SECTOR:
        raise damaged("its trailer", at)
    if count > 1 or number > 1:
        raise SurveyError(
            f"it is segment {number} of {count} of a disk image that is split",
            "join them on a Mac: hdiutil convert {image} -format UDZO -o whole.dmg",
        )
    check_size(sectors * SECTOR, at + _SECTORS_AT)
    ledger = Ledger(size)
    for offset, stored in ((fork, fork_length), (rsrc, rsrc_length), (xml, xml_length)):
        if offset + stored > at:
            raise cut_short(offset + stored, at)
        ledger.add(offset, stored, "a part")
    _compare_fork(read, fork, fork_length, _crc(data, _FORK_CHECKSUM_AT))
    if not xml_length:  # before macOS 10.2: the lists are in the resource fork alone
        return Survey(sectors * SECTOR, ledger)
    lists = _lists(table(read, size, xml, min(xml_length, _XML_LIMIT + 1)), xml, fork)
    _check_lists(lists, sectors, at)
    _compare(read, lists, _crc(data, _MASTER_AT), at)
    kinds = {chunk.kind for listed in lists for chunk in listed.chunks}
    hint = "; ".join(f"its chunks are packed by {_MODULES[k]}" for k in sorted(kinds & {*_MODULES}))
    return Survey(sectors * SECTOR, ledger, hint=hint)


def _crc(record: bytes, at: int) -> bytes | None:
    """Return a CRC-32 of a record; None if there is none."""
    kind, bits, _ = _CHECKSUM.unpack_from(record, at)
    value = record[at + 8 : at + 12]
    return value if (kind, bits) == (_CRC32, 32) else None


def _compare_fork(read: Read, offset: int, length: int, expected: bytes | None) -> None:
    if expected is None or not any(expected):
        return
    found = 0
    for at in range(offset, offset + length, MIB):
        found = zlib.crc32(read(at, min(MIB, offset + length - at)), found)
    if found.to_bytes(4, "big") != expected:
        raise SurveyError("it is damaged: the checksum of its data does not hold", DOWNLOAD)


def _lists(xml: bytes, at: int, fork: int) -> list[_List]:
    """Return the lists of chunks in the property list."""
    if len(xml) > _XML_LIMIT:
        raise damaged(f"a property list of more than {_XML_LIMIT} bytes", at)
    try:
        found = plistlib.loads(xml, fmt=plistlib.FMT_XML)["resource-fork"]["blkx"]
        return [_list(bytes(entry["Data"]), fork) for entry in found]
    except (
        ExpatError, plistlib.InvalidFileException, LookupError, ValueError, TypeError,
        AttributeError, RecursionError, struct.error,
    ) as error:  # fmt: skip
        raise damaged("its list of chunks", at) from error


def _list(data: bytes, fork: int) -> _List:
    magic, _, first, sectors, offset, _, _ = _LIST.unpack_from(data)
    (count,) = struct.unpack_from(">I", data, _COUNT_AT)
    if magic != b"mish" or _CHUNKS_AT + count * _CHUNK.size > len(data):
        raise ValueError("no list of chunks")
    chunks = [_Chunk(*_CHUNK.unpack_from(data, _CHUNKS_AT + 40 * n)) for n in range(count)]
    begin = fork + offset
    kept = [c._replace(offset=begin + c.offset) for c in chunks if c.kind not in (_COMMENT, _END)]
    return _List(first, sectors, _crc(data, _LIST_CHECKSUM_AT), tuple(kept))


def _check_lists(lists: list[_List], sectors: int, at: int) -> None:
    """Raise SurveyError unless the lists cover the disk, and their chunks lie in front of `at`."""
    position = 0
    for listed in sorted(lists):
        if listed.first != position:
            raise damaged(f"no chunk, or two, hold sector {min(position, listed.first)}", at)
        inside = 0
        for chunk in listed.chunks:
            if chunk.kind in _OTHERS:
                raise SurveyError(
                    f"its chunks are packed by {_OTHERS[chunk.kind]}, which QEMU does not read",
                    "on a Mac: hdiutil convert {image} -format UDZO -o zlib.dmg",
                )
            if chunk.kind not in (_ZEROS, _IGNORED, _LZFSE, *_UNPACK):
                raise damaged(f"a chunk of type {chunk.kind:#x}", at)
            stored = chunk.kind not in (_ZEROS, _IGNORED)
            if stored and chunk.offset + chunk.length > at:
                raise cut_short(chunk.offset + chunk.length, at)
            if chunk.sector != inside or (stored and chunk.sectors * SECTOR > _LARGEST):
                raise damaged(f"no chunk, or two, hold sector {position + inside}", at)
            inside += chunk.sectors
        if inside != listed.sectors:
            raise damaged(f"no chunk, or two, hold sector {position + inside}", at)
        position += inside
    if position != sectors:
        raise damaged(f"its chunks hold {position} sectors of a disk of {sectors}", at)


def _compare(read: Read, lists: list[_List], master: bytes | None, at: int) -> None:
    """Compare the checksums of the lists with that of all of them, and with what they cover."""
    sums = [listed.checksum for listed in lists]
    if master is None or None in sums:
        return
    if zlib.crc32(b"".join(filter(None, sums))).to_bytes(4, "big") != master:
        raise damaged("the checksum of its lists of chunks does not hold", at)
    for listed in lists:
        zeros = sum(c.sectors for c in listed.chunks if c.kind == _ZEROS)
        if any(c.kind == _LZFSE for c in listed.chunks) or zeros * SECTOR > _MOST_ZEROS:
            continue
        found = 0
        for chunk in listed.chunks:
            found = _added(read, chunk, found)
        if found.to_bytes(4, "big") != listed.checksum:
            raise damaged(f"the checksum of its disk from sector {listed.first} on", at)


def _added(read: Read, chunk: _Chunk, found: int) -> int:
    """Return a checksum with what a chunk holds added."""
    size = chunk.sectors * SECTOR
    if chunk.kind == _IGNORED:
        return found
    if chunk.kind == _ZEROS:
        for start in range(0, size, MIB):
            found = zlib.crc32(bytes(min(MIB, size - start)), found)
        return found
    try:
        data = _UNPACK[chunk.kind](read(chunk.offset, chunk.length), size + 1)
    except (zlib.error, OSError, ValueError) as error:
        raise damaged("a chunk that does not unpack", chunk.offset) from error
    if len(data) != size:
        raise damaged(f"a chunk of {len(data)} bytes instead of {size}", chunk.offset)
    return zlib.crc32(data, found)
