"""Superblock: sizes and checksums of what the real tools make, cut short and damaged."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imsprep.guest.model import Guest, Volume
from imsprep.guest.sandbox import inspect_image
from imsprep.image.volumes.signatures import PROBE_SIZE, identify_volume
from imsprep.image.volumes.superblocks import Superblock, superblock
from imsprep.report import Severity
from imsprep.units import MIB
from tests.support.checks.rules import RULES, image
from tests.support.image.file_systems import MADE, make
from tests.support.running import Outcome, need

Run = Callable[..., Outcome]


def told(path: Path) -> Superblock:
    with path.open("rb") as file:
        volume = identify_volume(file.read(PROBE_SIZE))
    assert volume is not None
    return volume.superblock


def poke(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def findings(imsprep: Run, path: Path, *options: str) -> dict[str, str]:
    report = imsprep("check", path, "--type", "DataImage", "--json", *options).json["images"][0]
    return {f["rule"]: f["severity"] for f in report["findings"] if f["rule"] in ("IMS220", "IMS221")}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_a_file_system_takes_its_volume_and_is_found_too_large_if_that_is_cut(
    name: str, tmp_path: Path, imsprep: Run
) -> None:
    path = tmp_path / "disk.raw"
    size = make(name, path)
    assert told(path).fault is None
    assert told(path).size == size
    assert findings(imsprep, path) == {}
    with path.open("r+b") as file:
        file.truncate(size - MIB)
    severity = "warning" if "FAT" in name else "error"
    assert findings(imsprep, path) == {"IMS220": severity}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("ext4, 64bit off", 1024 + 0x58, b"\0\0"),
        ("ext4, 64bit off", 1024 + 0x58, b"\x2c\1"),
        ("ext4, 64bit off", 1024 + 0x58, b"\0\x20"),
        ("ext4, 64bit off", 1024 + 0x18, b"\7"),
        ("ext4, 64bit off", 1024 + 0x20, bytes(4)),
        ("ext4, 64bit off", 1024 + 0x28, bytes(4)),
        ("ext4, 64bit off", 1024 + 0x28, b"\xff" * 4),
        ("ext4", 1024 + 0x78, b"label"),
        ("XFS", 108, b"label"),
        ("XFS, version 4", 4, bytes(4)),
        ("XFS, version 4", 102, b"\0\3"),
        ("XFS, sectors of 4 KiB", 4000, b"label"),
        ("btrfs", 0x10000 + 0x12B, b"label"),
        ("btrfs, sha256", 0x10000 + 0x12B, b"label"),
        ("btrfs, blake2", 0x10000 + 0x12B, b"label"),
        ("NTFS", 0xB, bytes(2)),
        ("NTFS", 0x28, bytes(8)),
        ("FAT, 16 bits", 0xD, b"\3"),
        ("FAT, 16 bits", 0xE, bytes(2)),
        ("FAT, 16 bits", 0x10, b"\0"),
        ("FAT, 16 bits", 0x16, b"\xff\xff"),
        ("FAT, 32 bits", 0x2C, b"\1\0\0\0"),
        ("FAT, 32 bits", 0x2C, b"\3\0\0\0"),
        ("FAT, 32 bits", 0x2C, b"\0\0\0\1"),
    ],
)
def test_a_damaged_superblock_is_an_error_and_its_files_are_not_called_absent(
    name: str, at: int, value: bytes, tmp_path: Path, imsprep: Run
) -> None:
    path = tmp_path / "disk.raw"
    make(name, path)
    poke(path, at, value)
    found = findings(imsprep, path)
    assert found == {"IMS221": "error"}
    guest = inspect_image(path)
    assert guest.volumes[0].unread in "; ".join(guest.unread)


def test_an_xxhash_is_left_alone_without_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xxhash", None)
    make("btrfs, xxhash", tmp_path / "disk.raw")
    poke(tmp_path / "disk.raw", 0x10000 + 0x12B, b"label")
    assert told(tmp_path / "disk.raw").fault is None


@pytest.mark.parametrize("kind", ["ext4", "XFS", "btrfs", "NTFS", "FAT", "exFAT"])
def test_a_volume_that_ends_too_soon_is_at_fault(kind: str) -> None:
    assert superblock(kind, bytes(10)).fault is not None


def test_revision_0_of_ext2_has_inodes_of_128_bytes_whatever_the_field_says(tmp_path: Path) -> None:
    make("ext2, revision 0", tmp_path / "disk.raw")
    poke(tmp_path / "disk.raw", 1024 + 0x58, b"\3\0")
    assert told(tmp_path / "disk.raw").fault is None


@need("mkfs.btrfs")
def test_one_device_of_two_takes_its_own_share_of_a_btrfs(tmp_path: Path) -> None:
    disks = [tmp_path / "one.raw", tmp_path / "two.raw"]
    for number, path in enumerate(disks, 1):
        with path.open("wb") as file:
            file.truncate(number * 200 * MIB)
    made = subprocess.run(["mkfs.btrfs", "-q", "-d", "single", "-m", "single", *disks], check=False)
    if made.returncode:
        pytest.skip("mkfs.btrfs takes no files here")
    assert [told(path) for path in disks] == [Superblock(200 * MIB), Superblock(400 * MIB)]


def test_a_fat_that_is_cut_is_a_warning_also_on_a_logical_volume() -> None:
    volume = Volume("LVM vg0/efi", -1, MIB, "FAT", claimed=2 * MIB)
    (finding,) = RULES["IMS220"].run(image(guest=Guest(volumes=(volume,))))[0]
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize("changes", [{"claimed": 2 * MIB}, {"fault": "odd"}])
def test_a_logical_volume_is_judged_where_the_inside_was_looked_at(changes: Any) -> None:
    rule = RULES["IMS220" if "claimed" in changes else "IMS221"]
    volume = Volume("LVM vg0/root", -1, MIB, "ext4", **changes)
    (finding,) = rule.run(image(guest=Guest(volumes=(volume,))))[0]
    assert "LVM vg0/root" in finding.message
    sound = Volume("LVM vg0/root", -1, MIB, "ext4", claimed=MIB)
    assert not rule.run(image(guest=Guest(volumes=(sound,))))[0]


def test_64_bits_of_blocks_count() -> None:
    block = bytearray(PROBE_SIZE)
    struct.pack_into("<I", block, 1024 + 0x4, 5)
    struct.pack_into("<III", block, 1024 + 0x20, 8192, 0, 2048)
    struct.pack_into("<I", block, 1024 + 0x4C, 1)
    struct.pack_into("<H", block, 1024 + 0x58, 256)
    struct.pack_into("<I", block, 1024 + 0x60, 0x80)
    struct.pack_into("<I", block, 1024 + 0x150, 1)
    assert superblock("ext4", bytes(block)).size == (2**32 + 5) * 1024


@pytest.mark.slow
@need("mke2fs")
def test_a_journal_of_another_ext4_is_no_file_system_and_not_damaged(
    tmp_path: Path, imsprep: Run
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(16 * MIB))
    subprocess.run(["mke2fs", "-q", "-F", "-O", "journal_dev", path], check=True)
    assert findings(imsprep, path) == {}
    volume = inspect_image(path).volumes[0]
    assert (volume.kind, volume.unread) == ("ext journal", None)


# A field of the superblock and what it is set to, and what is said of it: e2fsck and Linux refuse
# each (tried with Linux 6.18), and no checksum guards them without metadata_csum.
BROKEN = {
    "descriptors": ("", 0xFE, b"\0\0", "group descriptors of 0 bytes"),
    "odd descriptors": ("", 0xFE, b"\x21\0", "group descriptors of 33 bytes"),
    "meta groups": (",meta_bg,^resize_inode", 0x104, b"\xff\xff\0\0", "first meta block group"),
    "first block": ("", 0x14, b"\xff\xff\xff\xff", "its first block is 4294967295"),
    "first block of none": ("", 0x14, bytes(4), "its first block is 0"),
    "inodes": ("", 0x0, bytes(4), "0 inodes in 8 groups"),
    "clusters": ("", 0x1C, b"\1\0\0\0", "clusters of 2^11 bytes"),
    "features": ("", 0x60, b"\0\0\0\x40", "a feature that no system knows"),
}


@need("mkfs.ext4")
@pytest.mark.parametrize("name", BROKEN)
def test_what_no_kernel_mounts_is_said_without_a_checksum(
    tmp_path: Path, imsprep: Run, name: str
) -> None:
    features, at, value, words = BROKEN[name]
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    made = ["mkfs.ext4", "-q", "-F", "-b", "1024", "-O", f"^metadata_csum{features}", path]
    subprocess.run(made, check=True)
    assert findings(imsprep, path) == {}
    poke(path, 1024 + at, value)
    assert findings(imsprep, path) == {"IMS221": "error"}
    assert words in str(told(path).fault)


@pytest.mark.slow
@need("mkfs.ext4", "debugfs")
@pytest.mark.parametrize("kind", ["ext3", "ext4"])
def test_a_journal_without_its_superblock_is_a_fault(
    tmp_path: Path, imsprep: Run, kind: str
) -> None:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run([f"mkfs.{kind}", "-q", "-F", "-b", "1024", path], check=True)
    assert findings(imsprep, path) == {}
    said = subprocess.run(
        ["debugfs", "-R", "blocks <8>", path], check=True, capture_output=True, text=True
    )
    block = int(said.stdout.split()[0])
    poke(path, block * 1024, bytes(1024))
    assert findings(imsprep, path) == {"IMS221": "error"}
    assert inspect_image(path).volumes[0].fault == f"its journal has no superblock in block {block}"


@need("mkfs.btrfs")
def test_the_checksum_of_a_btrfs_with_xxhash_is_computed(tmp_path: Path) -> None:
    pytest.importorskip("xxhash")
    make("btrfs, xxhash", tmp_path / "disk.raw")
    assert told(tmp_path / "disk.raw").fault is None
    at = 0x10000 + 0x400
    before = (tmp_path / "disk.raw").read_bytes()[at]
    poke(tmp_path / "disk.raw", at, bytes([before ^ 1]))
    assert told(tmp_path / "disk.raw").fault == "the checksum of its superblock does not hold"
