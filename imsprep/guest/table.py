"""Read the partition table of a disk: GPT or MBR with its logical partitions, from a file."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from imsprep.units import MIB, SECTOR

_GPT = b"EFI PART"
_MBR_ENTRIES = range(446, 510, 16)
_EXTENDED = (0x05, 0x0F, 0x85)
_PROTECTIVE = 0xEE
_LOGICAL_LIMIT = 128  # logical partitions of an MBR; also ends a loop of them
_TABLE_LIMIT = MIB  # bytes of a GPT's entries


class Part(NamedTuple):
    """One partition; offset and size in bytes."""

    number: int
    offset: int
    size: int
    type: str  # GPT: GUID in lower case; MBR: two hex digits
    uuid: str | None
    label: str | None = None


class Table(NamedTuple):
    """What the first sectors say."""

    kind: str | None  # "gpt", "mbr" or None
    boot_code: bool  # the first sector begins with a program
    parts: tuple[Part, ...]


def read_table(file: BinaryIO) -> Table:
    """Read the partition table; a disk without one has kind None and no partitions."""
    first = _at(file, 0, SECTOR)
    if len(first) < SECTOR or first[510:] != b"\x55\xaa":
        return Table(None, False, ())
    boot_code = any(first[:440])
    entries = list(_entries(first))
    if any(kind == _PROTECTIVE for kind, _, _ in entries):
        return Table("gpt", boot_code, tuple(_gpt(file)))
    if not entries or any(first[at] not in (0, 0x80) for at in _MBR_ENTRIES):
        # A file system on the bare disk also ends its first sector with 55 aa.
        return Table(None, False, ())
    signature = struct.unpack_from("<I", first, 440)[0]
    return Table("mbr", boot_code, tuple(_mbr(file, entries, signature)))


def _entries(sector: bytes) -> Iterator[tuple[int, int, int]]:
    for at in _MBR_ENTRIES:
        kind, start, count = sector[at + 4], *struct.unpack_from("<II", sector, at + 8)
        if kind and count:
            yield kind, start, count


def _mbr(file: BinaryIO, entries: list[tuple[int, int, int]], signature: int) -> Iterator[Part]:
    logical = 5
    for number, (kind, start, count) in enumerate(entries, 1):
        if kind not in _EXTENDED:
            yield _mbr_part(number, kind, start, count, signature)
            continue
        at = start
        while logical < 5 + _LOGICAL_LIMIT:
            sector = _at(file, at * SECTOR, SECTOR)
            if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
                break
            inner = list(_entries(sector))
            for inner_kind, inner_start, inner_count in inner:
                if inner_kind not in _EXTENDED:
                    yield _mbr_part(logical, inner_kind, at + inner_start, inner_count, signature)
                    logical += 1
            links = [s for k, s, _ in inner if k in _EXTENDED]
            if not links:
                break
            at = start + links[0]


def _mbr_part(number: int, kind: int, start: int, count: int, signature: int) -> Part:
    identity = f"{signature:08x}-{number:02x}"
    return Part(number, start * SECTOR, count * SECTOR, f"{kind:02x}", identity)


def _gpt(file: BinaryIO) -> Iterator[Part]:
    header = _at(file, SECTOR, SECTOR)
    if header[:8] != _GPT:
        return
    table_at, count, step = struct.unpack_from("<QII", header, 72)
    if step < 128 or count * step > _TABLE_LIMIT:
        return
    table = _at(file, table_at * SECTOR, count * step)
    for number in range(1, len(table) // step + 1):
        entry = table[(number - 1) * step : number * step]
        if any(entry[:16]):
            first, last = struct.unpack_from("<QQ", entry, 32)
            kind, own = (str(uuid.UUID(bytes_le=entry[i : i + 16])) for i in (0, 16))
            if last >= first:
                label = entry[56:128].decode("utf-16-le", "replace").split("\0")[0]
                size = (last - first + 1) * SECTOR
                yield Part(number, first * SECTOR, size, kind, own, label or None)


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
