"""The names of a volume, and whether it is clean, as the programs that make volumes write them."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from imsprep.image.volumes.labels import HEAD_SIZE, Label, read_label
from imsprep.image.volumes.signatures import EXT4, FAT, SWAP
from imsprep.units import MIB
from tests.support.running import need

UUID = "11111111-2222-4333-8444-555555555555"


def made(path: Path, *command: str) -> bytes:
    with path.open("wb") as file:
        file.truncate(16 * MIB)
    subprocess.run([*command, path], check=True, capture_output=True)
    return path.read_bytes()[:HEAD_SIZE]


@need("mkfs.ext4")
def test_an_ext4_says_its_uuid_label_and_state(tmp_path: Path) -> None:
    head = made(tmp_path / "v", "mkfs.ext4", "-q", "-F", "-L", "root", "-U", UUID)
    assert read_label(EXT4, head) == Label(UUID, "root", clean=True)
    mounted = head[: 1024 + 0x3A] + struct.pack("<H", 0) + head[1024 + 0x3C :]  # s_state
    assert read_label(EXT4, mounted).clean is False


@need("mkfs.vfat")
def test_a_fat_says_its_serial_number_and_name(tmp_path: Path) -> None:
    head = made(tmp_path / "v", "mkfs.vfat", "-n", "EFI", "-i", "1A2B3C4D")
    assert read_label(FAT, head) == Label("1A2B-3C4D", "EFI", clean=True)


@need("mkswap")
def test_swap_says_its_uuid_and_label(tmp_path: Path) -> None:
    head = made(tmp_path / "v", "mkswap", "-q", "-L", "swap", "-U", UUID)
    assert read_label(SWAP, head) == Label(UUID, "swap")


@pytest.mark.parametrize("kind", [EXT4, FAT, SWAP, "XFS", "btrfs", "LUKS", "of another kind"])
@pytest.mark.parametrize("length", [0, 100, 1100, HEAD_SIZE])
def test_zeros_and_what_is_cut_short_have_no_label(kind: str, length: int) -> None:
    assert read_label(kind, bytes(length)).label is None
