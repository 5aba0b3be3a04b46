"""Identifiers and states in super blocks, against what the tools that make them were told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imsprep.guest.fs.identify import HEAD_SIZE, Identified
from imsprep.guest.fs.identify import identify as identify_in
from imsprep.image.volumes.signatures import identify_volume
from tests.support.image.file_systems import make
from tests.support.running import need


def identify(data: bytes) -> Identified:
    return identify_in(lambda at, count: data[at : at + count], len(data))


@pytest.mark.parametrize("name", ["ext4", "XFS", "btrfs", "NTFS", "FAT, 16 bits", "exFAT"])
def test_a_kind_of_volume_has_one_name_outside_and_inside(tmp_path: Path, name: str) -> None:
    make(name, tmp_path / "disk.raw")
    with (tmp_path / "disk.raw").open("rb") as file:
        head = file.read(HEAD_SIZE)
    outside = identify_volume(head)
    assert outside is not None
    assert identify(head).kind == outside.kind == name.partition(",")[0]


@need("mkfs.vfat")
@pytest.mark.parametrize(("bits", "state_at"), [("12", 37), ("16", 37), ("32", 65)])
def test_each_width_of_fat_keeps_its_serial_number_label_and_state_elsewhere(
    tmp_path: Path, bits: str, state_at: int
) -> None:
    image = tmp_path / "fat.img"
    with image.open("wb") as file:
        file.truncate((4 if bits == "12" else 64) << 20)
    made = ["mkfs.vfat", "-F", bits, "-i", "ABCD1234", "-n", "BOOT", image]
    subprocess.run(made, check=True, capture_output=True)
    head = bytearray(image.read_bytes())
    size = image.stat().st_size
    assert identify(bytes(head)) == Identified("FAT", "ABCD-1234", "BOOT", True, size)
    head[state_at] |= 1
    assert identify(bytes(head)).clean is False
