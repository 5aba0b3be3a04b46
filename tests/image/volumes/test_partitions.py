"""Partition tables: what `sfdisk` made is what is read, to the sector."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imsprep.image.formats import VHD_DYNAMIC, VHD_FIXED, identify, primary
from imsprep.image.volumes.partitions import (
    GptHeader,
    PartitionedDisk,
    backup_start,
    needed_size,
    read_disk,
)
from imsprep.units import MIB, SECTOR
from tests.support.running import need

SIZE = 64 * MIB
GPT = "label: gpt\nsize=3M,type=uefi,name=one\nsize=1,type=linux\nstart=20M,type=linux,name=rest\n"
MBR = "label: dos\nsize=9M,type=83,bootable\nsize=1,type=c\nsize=20M,type=5\nsize=3M,type=83\nsize=2M,type=82\n"


def made(path: Path, script: str) -> tuple[PartitionedDisk, dict[str, Any]]:
    """Return what is read of the disk that a script makes, and what sfdisk reads."""
    with path.open("wb") as file:
        file.truncate(SIZE)
    command = ["sfdisk", "--quiet", "--no-tell-kernel", path]
    subprocess.run(command, input=script, check=True, text=True, capture_output=True)
    data = path.read_bytes()
    told = subprocess.run(["sfdisk", "--json", path], check=True, capture_output=True).stdout
    return read_disk(lambda o, n: data[o : o + n], SIZE), json.loads(told)["partitiontable"]


@need("sfdisk")
@pytest.mark.parametrize("script", [GPT, MBR], ids=["gpt", "mbr"])
def test_starts_and_lengths_are_those_that_sfdisk_reads(tmp_path: Path, script: str) -> None:
    disk, table = made(tmp_path / "disk.raw", script)
    extended = {p.start // SECTOR for p in disk.extended}
    wanted = [p for p in table["partitions"] if p["start"] not in extended]
    assert [(p.start // SECTOR, p.length // SECTOR) for p in disk.partitions] == [
        (p["start"], p["size"]) for p in wanted
    ]
    assert len(extended) == (script == MBR)
    assert [p.active for p in disk.partitions] == [p.get("bootable", False) for p in wanted]


@need("sfdisk")
def test_both_headers_of_a_gpt_say_what_sfdisk_reads(tmp_path: Path) -> None:
    disk, table = made(tmp_path / "disk.raw", GPT)
    assert disk.primary is not None
    assert disk.backup is not None
    assert disk.primary.last_usable == disk.backup.last_usable == table["lastlba"]
    assert [p.name for p in disk.partitions] == ["one", "", "rest"]
    assert [p.unique for p in disk.partitions] == [p["uuid"].lower() for p in table["partitions"]]
    assert disk.primary.valid
    assert disk.backup.valid
    assert needed_size(disk.primary, SECTOR) == needed_size(disk.backup, SECTOR) == SIZE


@pytest.mark.parametrize("largest", ["own_lba", "other_lba", "last_usable"])
def test_the_disk_of_a_table_reaches_to_whatever_lies_farthest(largest: str) -> None:
    places = {"own_lba": 1, "other_lba": 50, "last_usable": 40, largest: 99}
    header = GptHeader(
        offset=SECTOR, header_valid=True, entries_valid=True, first_usable=34, disk_guid="",
        entries=(), entries_crc=0, entries_lba=2, **places,
    )  # fmt: skip
    assert needed_size(header, SECTOR) == 100 * SECTOR


@pytest.mark.parametrize(("kind", "named"), [(2, VHD_FIXED), (3, VHD_DYNAMIC), (4, VHD_DYNAMIC)])
@pytest.mark.parametrize("length", [511, 512])
def test_the_footer_of_a_vhd_tells_a_disk_from_a_file_that_needs_a_map(
    kind: int, named: str, length: int
) -> None:
    """Type 4, differencing, needs another file beside; taken for RAW it would be read wrong."""
    footer = b"conectix" + bytes(52) + kind.to_bytes(4, "big") + bytes(length - 64)
    data = bytes(4096) + footer
    assert primary(identify(data, data, len(data))) == named


@need("sfdisk")
@pytest.mark.parametrize("damaged", [SECTOR, 2 * SECTOR, SIZE - SECTOR, SIZE - 33 * SECTOR])
def test_of_two_tables_the_one_counts_that_is_whole(damaged: int, tmp_path: Path) -> None:
    """Whether a header is damaged (its GUID), or the table that it names (a partition's start)."""
    whole, _ = made(tmp_path / "disk.raw", GPT)
    data = bytearray((tmp_path / "disk.raw").read_bytes())
    at = 56 if damaged in (SECTOR, SIZE - SECTOR) else 32
    data[damaged + at] ^= 1
    disk = read_disk(lambda o, n: bytes(data[o : o + n]), SIZE)
    assert disk.primary is not None
    assert disk.backup is not None
    assert disk.primary.valid == (damaged > SIZE // 2) != disk.backup.valid
    assert disk.partitions == whole.partitions


@need("sfdisk")
@pytest.mark.parametrize("by", [-1, 1, 5])
@pytest.mark.parametrize("which", ["primary", "backup"])
def test_a_gpt_header_that_names_another_place_for_itself_is_not_valid(
    which: str, by: int, tmp_path: Path
) -> None:
    made(tmp_path / "disk.raw", GPT)
    data = bytearray((tmp_path / "disk.raw").read_bytes())
    at = SECTOR if which == "primary" else SIZE - SECTOR
    (size,) = struct.unpack_from("<I", data, at + 12)
    (own,) = struct.unpack_from("<Q", data, at + 24)
    struct.pack_into("<Q", data, at + 24, own + by)
    struct.pack_into("<I", data, at + 16, 0)
    struct.pack_into("<I", data, at + 16, zlib.crc32(data[at : at + size]))  # its sum holds
    disk = read_disk(lambda o, n: bytes(data[o : o + n]), SIZE)
    changed, other = disk.primary, disk.backup
    if which == "backup":
        changed, other = other, changed
    assert changed is not None
    assert other is not None
    assert (changed.header_valid, other.header_valid) == (False, True)


def mbr_with_logical(links: list[tuple[int, int, int]]) -> PartitionedDisk:
    """Read a disk with an extended partition at sector 100 and a chain of boot records.

    Each has a partition, and a link: the sector, its type and the sector that it names, both from
    the beginning of the extended partition.
    """
    data = bytearray(2 * MIB)

    def put(at: int, number: int, kind: int, lba: int, sectors: int) -> None:
        entry = struct.pack("<B3xB3xII", 0, kind, lba, sectors)
        data[at + 446 + 16 * number : at + 462 + 16 * number] = entry
        data[at + 510 : at + 512] = b"\x55\xaa"

    put(0, 0, 0x05, 100, 3000)
    for sector, kind, following in links:
        put((100 + sector) * SECTOR, 0, 0x83, 8, 16)
        put((100 + sector) * SECTOR, 1, kind, following, 24)
    return read_disk(lambda o, n: bytes(data[o : o + n]), len(data))


def test_the_chain_of_logical_partitions_ends_where_a_link_is_none() -> None:
    disk = mbr_with_logical([(0, 5, 200), (200, 5, 400), (400, 0, 0)])
    assert [p.start // SECTOR for p in disk.partitions] == [108, 308, 508]
    # A link of another type, or to nowhere, is none, whatever the other half of it says.
    for end in ((200, 0x83, 400), (200, 5, 0)):
        disk = mbr_with_logical([(0, 5, 200), end, (400, 0, 0)])
        assert [p.start // SECTOR for p in disk.partitions] == [108, 308]


@need("sfdisk")
def test_a_table_of_one_entry_is_a_table_and_one_of_too_many_is_none(tmp_path: Path) -> None:
    disk, _ = made(tmp_path / "disk.raw", GPT)
    assert disk.primary is not None
    data = bytearray((tmp_path / "disk.raw").read_bytes())

    def with_entries(count: int) -> PartitionedDisk:
        table = bytes(data[2 * SECTOR : 2 * SECTOR + count * 128])
        header = bytearray(data[SECTOR : SECTOR + 92])
        struct.pack_into("<I", header, 80, count)
        struct.pack_into("<I", header, 88, zlib.crc32(table))
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", header, 16, zlib.crc32(bytes(header)))
        changed = bytes(data[:SECTOR]) + bytes(header) + bytes(data[SECTOR + 92 :])
        return read_disk(lambda o, n: changed[o : o + n], SIZE)

    for count, fine in ((1, True), (3, True), (4096, True), (4097, False), (0, False)):
        found = with_entries(count).primary
        assert found is not None
        assert found.valid == fine, count


@need("sfdisk")
def test_the_backup_begins_with_its_table_or_with_its_header_alone(tmp_path: Path) -> None:
    disk, _ = made(tmp_path / "disk.raw", GPT)
    assert disk.backup is not None
    end = SIZE // SECTOR
    assert (disk.backup.own_lba, disk.backup.entries_lba) == (end - 1, end - 33)
    assert backup_start(disk) == (end - 33) * SECTOR
    behind = replace(disk, backup=replace(disk.backup, entries_lba=end))
    assert backup_start(behind) == (end - 1) * SECTOR
    assert disk.primary is not None
    shared = replace(disk, backup=replace(disk.backup, entries_lba=disk.primary.entries_lba))
    assert backup_start(shared) == (end - 1) * SECTOR
    assert backup_start(replace(disk, backup=None)) is None


@need("sfdisk")
@pytest.mark.parametrize(("first", "last", "sectors"), [(9, 8, 0), (9, 9, 1), (9, 3, 0), (0, 0, 1)])
def test_an_entry_that_ends_before_it_starts_has_no_length(
    first: int, last: int, sectors: int, tmp_path: Path
) -> None:
    """Whatever its checksum says: nothing behind it may count backwards."""
    made(tmp_path / "disk.raw", GPT)
    data = bytearray((tmp_path / "disk.raw").read_bytes())
    struct.pack_into("<QQ", data, 2 * SECTOR + 32, first, last)
    disk = read_disk(lambda o, n: bytes(data[o : o + n]), SIZE)
    assert disk.primary is not None
    entry = disk.primary.entries[0]
    assert (entry.start, entry.length) == (first * SECTOR, sectors * SECTOR)
