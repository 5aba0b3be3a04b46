"""Partition tables: what `sfdisk` made is what is read, to the sector."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from imsprep.image.formats import VHD_DYNAMIC, VHD_FIXED, identify, primary
from imsprep.image.volumes.partitions import Disk, GptHeader, needed_size, read_disk
from imsprep.units import MIB, SECTOR
from tests.conftest import need

SIZE = 64 * MIB
GPT = "label: gpt\nsize=3M,type=uefi,name=one\nsize=1,type=linux\nstart=20M,type=linux,name=rest\n"
MBR = "label: dos\nsize=9M,type=83,bootable\nsize=1,type=c\nsize=20M,type=5\nsize=3M,type=83\nsize=2M,type=82\n"


def made(path: Path, script: str) -> tuple[Disk, dict[str, Any]]:
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
