"""File systems as their own programs make them, and what ZFS writes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from imsprep.units import KIB, MIB

# A name, the bytes of the volume, and how it is made.
MADE: dict[str, tuple[int, list[str]]] = {
    "ext2": (9 * MIB, ["mkfs.ext2", "-q", "-F"]),
    "ext2, revision 0": (9 * MIB, ["mkfs.ext2", "-q", "-F", "-r", "0"]),
    "ext3": (20 * MIB, ["mkfs.ext3", "-q", "-F"]),
    "ext4": (64 * MIB, ["mkfs.ext4", "-q", "-F"]),
    "ext4, bigalloc": (64 * MIB, ["mkfs.ext4", "-q", "-F", "-O", "bigalloc"]),
    "ext4, 64bit off": (64 * MIB, ["mkfs.ext4", "-q", "-F", "-O", "^64bit,^metadata_csum"]),
    "ext4, blocks of 1 KiB": (64 * MIB, ["mkfs.ext4", "-q", "-F", "-b", "1024", "-I", "1024"]),
    "ext4, blocks of 64 KiB": (256 * MIB, ["mkfs.ext4", "-q", "-F", "-F", "-b", "65536"]),
    "XFS": (320 * MIB, ["mkfs.xfs", "-q"]),
    "XFS, version 4": (320 * MIB, ["mkfs.xfs", "-q", "-m", "crc=0"]),
    "XFS, sectors of 4 KiB": (320 * MIB, ["mkfs.xfs", "-q", "-s", "size=4096"]),
    "btrfs": (128 * MIB, ["mkfs.btrfs", "-q"]),
    "btrfs, sha256": (128 * MIB, ["mkfs.btrfs", "-q", "--csum", "sha256"]),
    "btrfs, blake2": (128 * MIB, ["mkfs.btrfs", "-q", "--csum", "blake2"]),
    "btrfs, xxhash": (128 * MIB, ["mkfs.btrfs", "-q", "--csum", "xxhash"]),
    "NTFS": (32 * MIB, ["mkntfs", "-q", "-F", "-f"]),
    "NTFS, sectors of 4 KiB": (32 * MIB, ["mkntfs", "-q", "-F", "-f", "-s", "4096"]),
    "FAT, 12 bits": (4 * MIB, ["mkfs.vfat", "-F", "12"]),
    "FAT, 16 bits": (32 * MIB, ["mkfs.vfat", "-F", "16"]),
    "FAT, 32 bits": (64 * MIB, ["mkfs.vfat", "-F", "32"]),
    "FAT, 32 bits, sectors of 4 KiB": (600 * MIB, ["mkfs.vfat", "-F", "32", "-S", "4096"]),
    "exFAT": (32 * MIB, ["mkfs.exfat"]),
}


def make(name: str, path: Path) -> int:
    size, command = MADE[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"not installed: {command[0]}")
    with path.open("wb") as file:
        file.truncate(size)
    done = subprocess.run([*command, path], capture_output=True, text=True)
    if done.returncode and "unsupported" in done.stderr.lower():
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return size


# Where `zpool create` of zfs-fuse 0.7.0 wrote it in a pool of POOL_SIZE bytes, and its byte order.
ZFS_MAGIC = bytes.fromhex("117a0cb17ada1002")
ZFS_PLACES = [0x1FFD8, 0x5FFD8, 0x7F9FFD8, 0x7FDFFD8]
POOL_SIZE = 128 * MIB + 200 * KIB
