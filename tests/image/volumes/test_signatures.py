"""What lies on a volume, where its start does not tell."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from imsprep.guest.fs.identify import identify
from imsprep.image.volumes.signatures import Read, find_volume
from imsprep.units import KIB, MIB, SECTOR
from tests.support.image.file_systems import POOL_SIZE, ZFS_MAGIC, ZFS_PLACES, make
from tests.support.running import need

ZEROS = "zeros at both ends"


def sparse(data: dict[int, bytes], size: int) -> Read:
    """A disk of zeros but for these bytes."""

    def read(offset: int, length: int) -> bytes:
        length = max(min(length, size - offset), 0)
        found = bytearray(length)
        for at, piece in data.items():
            first, last = max(at, offset), min(at + len(piece), offset + length)
            if first < last:
                found[first - offset : last - offset] = piece[first - at : last - at]
        return bytes(found)

    return read


@pytest.mark.parametrize("place", ZFS_PLACES)
@pytest.mark.parametrize("magic", [ZFS_MAGIC, ZFS_MAGIC[::-1]], ids=["little", "big"])
def test_zfs_is_known_by_any_of_its_labels(place: int, magic: bytes) -> None:
    read = sparse({place: magic}, POOL_SIZE)
    volume = find_volume(read, POOL_SIZE)
    assert volume is not None
    assert volume.kind == "ZFS"
    assert identify(read, POOL_SIZE).kind == "ZFS"
    assert find_volume(sparse({place + 1: magic}, POOL_SIZE), POOL_SIZE) is None


def raid(path: Path, size: int, version: str) -> Path:
    """A file whose end says Linux RAID to blkid, another reader of these records."""
    if version == "1.0":
        at = (size // SECTOR - 16 & ~7) * SECTOR
        block = struct.pack("<II8x16s112xQ", 0xA92B4EFC, 1, bytes(range(1, 17)), at // SECTOR)
    else:
        at = size // (64 * KIB) * 64 * KIB - 64 * KIB
        block = struct.pack("<IIIIII8xI", 0xA92B4EFC, 0, 90, 0, 0, 1, at // KIB)
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(at)
        file.write(block)
    said = subprocess.run(["blkid", "-p", path], check=True, capture_output=True, text=True)
    assert f'VERSION="{version}' in said.stdout
    assert 'TYPE="linux_raid_member"' in said.stdout
    return path


@need("blkid")
@pytest.mark.parametrize("version", ["1.0", "0.90"])
@pytest.mark.parametrize("size", [64 * MIB, 64 * MIB + 5 * SECTOR, 64 * MIB - SECTOR])
def test_linux_raid_is_known_by_its_end(tmp_path: Path, version: str, size: int) -> None:
    data = raid(tmp_path / "disk.raw", size, version).read_bytes()
    volume = find_volume(lambda at, count: data[at : at + count], size)
    assert volume is not None
    assert volume.kind == "Linux RAID"


def test_a_file_system_at_the_start_counts_more_than_what_is_left_at_the_end(
    tmp_path: Path,
) -> None:
    size = make("ext4", tmp_path / "disk.raw")
    data = bytearray((tmp_path / "disk.raw").read_bytes())
    data[size - 128 * KIB - 40 : size - 128 * KIB - 32] = ZFS_MAGIC
    volume = find_volume(lambda at, count: bytes(data[at : at + count]), size)
    assert volume is not None
    assert volume.kind == "ext4"


def test_a_volume_ends_where_it_ends() -> None:
    assert find_volume(sparse({ZFS_PLACES[0]: ZFS_MAGIC}, MIB), 100 * KIB) is None


@pytest.mark.parametrize(
    ("data", "there", "size", "kind"),
    [
        ({}, MIB, MIB, ZEROS),
        ({}, SECTOR, SECTOR, ZEROS),
        ({127 * KIB: b"x"}, MIB, MIB, "unknown"),
        ({MIB - 1: b"x"}, MIB, MIB, "unknown"),
        ({}, 900 * KIB, MIB, "unknown"),  # the disk ends before the volume
        ({}, 0, MIB, "unknown"),
        ({}, 0, 0, "unknown"),
    ],
)
def test_only_what_is_zeros_at_both_ends_is_called_so(
    data: dict[int, bytes], there: int, size: int, kind: str
) -> None:
    assert identify(sparse(data, there), size).kind == kind
