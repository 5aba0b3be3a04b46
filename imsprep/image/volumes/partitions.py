"""Partitions: MBR and GPT from bytes, and what that says about the disk as a whole.

A *disk* is the content that the guest sees. All offsets and lengths are bytes from its start;
`lba` is counted in the table's own sectors of 512 or 4096 bytes. GPT keeps two *headers*, the
primary in the second sector and the backup in the last one, each with checksums (CRC-32) of itself
and of the entries. Sources: UEFI specification 2.10, chapter 5; the MBR's layout is chapter 5.2.

Nothing read is trusted: counts, sizes and chains are bounded, and a broken table is described,
never raised. `signatures` says what lies inside a partition.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from imsprep.image.volumes.signatures import (
    PROBE_SIZE,
    Read,
    Volume,
    find_volume,
    identify_volume,
    is_boot_sector,
)
from imsprep.units import SECTOR

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
MBR_ESP, MBR_PROTECTIVE = "0xef", "0xee"
_MBR_EXTENDED = (0x05, 0x0F, 0x85)

SECTOR_SIZES = (SECTOR, 4096)
_BOOT_CODE = 440  # bytes of the MBR that hold code; the disk signature and the table follow
_MBR_TABLE = 446
_MBR_SIGNATURE = b"\x55\xaa"  # at byte 510
MBR_ENTRY = struct.Struct("<B3xB3xII")  # status, type, first LBA, sectors
GPT_SIGNATURE = b"EFI PART"
GPT_HEADER = struct.Struct("<8s4sIII QQQQ 16s QIII".replace(" ", ""))
GPT_ENTRY = struct.Struct("<16s16sQQQ72s")
_LEGACY_BOOT = 1 << 2  # attribute: boot this one on a BIOS
_MAX_ENTRIES = 4096  # far above the usual 128; keeps a hostile header cheap
_MAX_LOGICAL = 128  # links of the chain of logical partitions that are followed


class Partition(NamedTuple):
    """One partition; `type` is a GUID in GPT and `0x83` and the like in MBR."""

    number: int
    start: int
    length: int
    type: str
    name: str
    active: bool  # MBR: marked active; GPT: marked for BIOS boot
    volume: Volume | None = None
    unique: str = ""  # what Linux calls PARTUUID: GPT's own GUID, MBR's disk signature and number

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + self.length

    @property
    def is_esp(self) -> bool:
        """Return whether it is an EFI system partition."""
        return self.type in (ESP, MBR_ESP)


@dataclass(frozen=True)
class GptHeader:
    """One of the two GPT headers as it stands on the disk."""

    offset: int  # where it was found
    header_valid: bool  # its own CRC, revision, sizes and position hold
    entries_valid: bool  # the CRC of the entries holds
    own_lba: int
    other_lba: int
    first_usable: int
    last_usable: int
    disk_guid: str
    entries: tuple[Partition, ...]
    entries_crc: int
    entries_lba: int  # where the table of partitions begins

    @property
    def valid(self) -> bool:
        """Return whether both checksums hold."""
        return self.header_valid and self.entries_valid


@dataclass(frozen=True)
class PartitionedDisk:
    """What the partition tables say, and what lies in the partitions."""

    size: int
    table: str | None  # "gpt", "mbr", or None
    sector_size: int
    boot_code: bool  # there is code in the first 440 bytes, behind the signature 55 AA
    protective: bool  # the MBR has the entry that guards a GPT
    mbr_partitions: tuple[Partition, ...]
    primary: GptHeader | None
    backup: GptHeader | None
    partitions: tuple[Partition, ...]
    volume: Volume | None = None  # of the whole disk, where there is no table
    hidden: Volume | None = None  # an encrypted volume that begins with the disk, under its table
    extended: tuple[Partition, ...] = ()  # MBR partitions that hold the logical ones
    broken_chain: str | None = None  # why the chain of logical partitions could not be followed

    @property
    def real_mbr_partitions(self) -> tuple[Partition, ...]:
        """The MBR entries that are not the protective one; many of both makes a hybrid."""
        return tuple(p for p in self.mbr_partitions if p.type != MBR_PROTECTIVE)

    @property
    def has_esp(self) -> bool:
        """Return whether UEFI firmware has a partition to boot from."""
        return any(p.is_esp for p in self.partitions)

    @property
    def has_bios_boot_partition(self) -> bool:
        """Return whether GRUB has its partition, or another one is marked for BIOS boot."""
        return any(p.type == BIOS_BOOT or p.active for p in self.partitions)

    @property
    def can_bios_boot(self) -> bool:
        """Return whether a BIOS finds code to start; a partition boot sector alone counts too."""
        return self.boot_code or (self.table is None and self.volume is not None and (
            self.volume.boot_sector
        ))  # fmt: skip


def read_disk(read: Read, size: int) -> PartitionedDisk:
    """Read the tables and the start of every partition of a disk of `size` bytes."""
    first = read(0, SECTOR)
    whole = identify_volume(read(0, PROBE_SIZE))
    signed = first[510:512] == _MBR_SIGNATURE
    mbr = _Mbr()
    if signed and not (whole is not None and is_boot_sector(first)):
        mbr = _mbr(read, first, size, SECTOR)
    sector_size, primary, backup = _gpt(read, size)
    protective = any(p.type == MBR_PROTECTIVE for p in mbr.primaries)
    best = _best(primary, backup)
    is_gpt = best is not None and (protective or not mbr.partitions)
    table = "gpt" if is_gpt or protective else "mbr" if mbr.partitions else None
    if table == "mbr":
        sector_size, mbr = _mbr_of_its_sectors(read, first, size, mbr)
    found = best.entries if best is not None and is_gpt else mbr.partitions
    return PartitionedDisk(
        size=size,
        table=table,
        sector_size=sector_size,
        boot_code=signed and any(first[:_BOOT_CODE]) and not _only_says_no(first, whole),
        protective=protective,
        mbr_partitions=mbr.partitions,
        primary=primary if table == "gpt" else None,
        backup=backup if table == "gpt" else None,
        partitions=tuple(_with_volume(read, size, p) for p in found if p.type != MBR_PROTECTIVE),
        volume=find_volume(read, size) if table is None else None,
        hidden=whole if table is not None and whole is not None and whole.encrypted else None,
        extended=mbr.extended if table == "mbr" else (),
        broken_chain=mbr.broken_chain,
    )


def _only_says_no(first: bytes, whole: Volume | None) -> bool:
    """Return whether the first sector's code only prints that it is no boot sector."""
    return whole is not None and is_boot_sector(first) and not whole.boot_sector


def _best(primary: GptHeader | None, backup: GptHeader | None) -> GptHeader | None:
    """Return the header to believe: a valid one, the primary first, else whichever is there."""
    there = [header for header in (primary, backup) if header is not None]
    return next((header for header in there if header.valid), there[0] if there else None)


def _with_volume(read: Read, size: int, partition: Partition) -> Partition:
    if partition.start >= size:
        return partition
    length = min(partition.length, size - partition.start)
    volume = find_volume(lambda at, count: read(partition.start + at, count), length)
    return partition._replace(volume=volume)


# --- MBR ---------------------------------------------------------------------------------------


def _mbr_entries(sector: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield status, type, first LBA and sectors of the four entries."""
    for slot in range(4):
        yield MBR_ENTRY.unpack_from(sector, _MBR_TABLE + slot * MBR_ENTRY.size)


class _Mbr(NamedTuple):
    """An MBR and the logical partitions behind it."""

    primaries: tuple[Partition, ...] = ()
    logical: tuple[Partition, ...] = ()
    extended: tuple[Partition, ...] = ()  # what holds the logical ones
    broken_chain: str | None = None

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """What can hold a volume, in order of the numbers."""
        return self.primaries + self.logical


def _mbr(read: Read, first: bytes, size: int, sector_size: int) -> _Mbr:
    """Read the primary and logical partitions; an MBR whose status bytes are odd is none."""
    entries = list(_mbr_entries(first))
    if any(status not in (0, 0x80) for status, *_ in entries):
        return _Mbr()
    (signature,) = struct.unpack_from("<I", first, _BOOT_CODE)
    found = _Mbr()
    for number, (status, kind, lba, sectors) in enumerate(entries, 1):
        if kind == 0 or sectors == 0:
            continue
        start, length = lba * sector_size, sectors * sector_size
        own = f"{signature:08x}-{number:02x}"
        p = Partition(number, start, length, f"{kind:#04x}", "", status == 0x80, unique=own)
        if kind not in _MBR_EXTENDED:
            found = found._replace(primaries=(*found.primaries, p))
            continue
        logical, broken = _logical(read, start, size, sector_size)
        named = tuple(q._replace(unique=f"{signature:08x}-{q.number:02x}") for q in logical)
        found = found._replace(
            logical=found.logical + named, extended=(*found.extended, p), broken_chain=broken
        )
    return found


def _mbr_of_its_sectors(read: Read, first: bytes, size: int, mbr: _Mbr) -> tuple[int, _Mbr]:
    """Return the sector size that an MBR was written for, and the MBR read by it.

    It does not say so itself: larger sectors are believed only where they lead to a volume and
    those of 512 bytes lead to none.
    """
    large = SECTOR_SIZES[-1]
    scaled = _mbr(read, first, size, large)
    if not _leads_to_volumes(read, size, mbr) and _leads_to_volumes(read, size, scaled):
        return large, scaled
    return SECTOR, mbr


def _leads_to_volumes(read: Read, size: int, mbr: _Mbr) -> bool:
    return any(_with_volume(read, size, p).volume is not None for p in mbr.partitions)


def _logical(
    read: Read, base: int, size: int, sector_size: int
) -> tuple[list[Partition], str | None]:
    """Follow the chain of extended boot records; stop at its end, a loop, or a broken link."""
    found: list[Partition] = []
    seen: set[int] = set()
    at = base
    while len(seen) < _MAX_LOGICAL:
        if at in seen:
            return found, f"the chain of logical partitions returns to byte {at}"
        seen.add(at)
        sector = read(at, SECTOR) if at < size else b""
        if len(sector) < SECTOR or sector[510:512] != _MBR_SIGNATURE:
            return found, f"no extended boot record at byte {at}"
        (_, kind, lba, sectors), (_, link_kind, link_lba, _link) = list(_mbr_entries(sector))[:2]
        if kind and sectors:
            number = 5 + len(found)
            start, length = at + lba * sector_size, sectors * sector_size
            found.append(Partition(number, start, length, f"{kind:#04x}", "", False))
        if link_kind not in _MBR_EXTENDED or link_lba == 0:
            return found, None
        at = base + link_lba * sector_size
    return found, f"more than {_MAX_LOGICAL} logical partitions"


# --- GPT ---------------------------------------------------------------------------------------


def _gpt(read: Read, size: int) -> tuple[int, GptHeader | None, GptHeader | None]:
    """Find both headers; returns the sector size that they were written for, and the headers."""
    for sector_size in SECTOR_SIZES:
        primary = _header(read, size, sector_size, sector_size)
        if primary is None:
            continue
        backup = _header(read, size, _last_sector(size, sector_size), sector_size)
        named = primary.other_lba * sector_size
        if backup is None and primary.header_valid and sector_size < named < size:
            backup = _header(read, size, named, sector_size)
        return sector_size, primary, backup
    for sector_size in SECTOR_SIZES:
        backup = _header(read, size, _last_sector(size, sector_size), sector_size)
        if backup is not None and backup.own_lba * sector_size == backup.offset:
            return sector_size, None, backup
    return SECTOR, None, None


def _last_sector(size: int, sector_size: int) -> int:
    return (size // sector_size - 1) * sector_size


def _header(read: Read, size: int, offset: int, sector_size: int) -> GptHeader | None:
    """Read the header at `offset`; None if its signature is not there."""
    sector = read(offset, SECTOR) if 0 < offset < size else b""
    if len(sector) < SECTOR or not sector.startswith(GPT_SIGNATURE):
        return None
    (_, revision, header_size, crc, _reserved, own, other, first, last, guid, entries_lba,
     count, entry_size, entries_crc) = GPT_HEADER.unpack_from(sector)  # fmt: skip
    plausible = GPT_HEADER.size <= header_size <= SECTOR
    zeroed = sector[:16] + bytes(4) + sector[20 : max(header_size, 20)]
    table, at = b"", entries_lba * sector_size
    sensible = 128 <= entry_size <= 4096 and entry_size % 8 == 0 and 0 < count <= _MAX_ENTRIES
    if sensible and at < size:
        table = read(at, count * entry_size)
    whole = len(table) == count * entry_size and bool(table)
    return GptHeader(
        offset=offset,
        header_valid=plausible
        and revision == b"\0\0\1\0"
        and zlib.crc32(zeroed) == crc
        and own * sector_size == offset,
        entries_valid=whole and zlib.crc32(table) == entries_crc,
        own_lba=own,
        other_lba=other,
        first_usable=first,
        last_usable=last,
        disk_guid=str(uuid.UUID(bytes_le=guid)),
        entries=tuple(_entries(table, entry_size, sector_size)),
        entries_crc=entries_crc,
        entries_lba=entries_lba,
    )


def _entries(table: bytes, entry_size: int, sector_size: int) -> Iterator[Partition]:
    """Yield the used entries of a table; one that ends before it starts has length 0."""
    for number in range(len(table) // entry_size if table else 0):
        kind, unique, first, last, attributes, name = GPT_ENTRY.unpack_from(
            table, number * entry_size
        )
        if not any(kind):
            continue
        length = max(0, last - first + 1) * sector_size
        text = name.decode("utf-16-le", "replace").split("\0", 1)[0]
        guid = str(uuid.UUID(bytes_le=kind))
        active = bool(attributes & _LEGACY_BOOT)
        own = str(uuid.UUID(bytes_le=unique))
        yield Partition(number + 1, first * sector_size, length, guid, text, active, unique=own)


def shares_its_table(disk: PartitionedDisk) -> bool:
    """Return whether both GPT headers name the same table, so that there is no spare one."""
    first, second = disk.primary, disk.backup
    return first is not None and second is not None and first.entries_lba == second.entries_lba


def backup_start(disk: PartitionedDisk) -> int | None:
    """Return the byte where the backup of a GPT begins: its table, or its header without one."""
    backup = disk.backup
    if backup is None:
        return None
    own = backup.entries_lba if backup.entries_lba <= backup.own_lba else backup.own_lba
    lba = backup.own_lba if shares_its_table(disk) else own
    return lba * disk.sector_size


def needed_size(header: GptHeader, sector_size: int) -> int:
    """Return the size in bytes of the disk that this header was written for."""
    last = max(header.own_lba, header.other_lba, header.last_usable)
    return (last + 1) * sector_size
