"""With which firmware an image can start, by partitions, first sector and loaders."""

from __future__ import annotations

import pytest

from imsprep.guest.firmware import bios_loader, has_esp, uefi_loaders
from imsprep.guest.model import FILE, Entry, Guest, Volume
from imsprep.image.volumes.partitions import BIOS_BOOT, ESP, MBR_ESP

LOADER = "/boot/efi/EFI/BOOT/BOOTX64.EFI"


def volume(part_type: str, kind: str = "FAT") -> Volume:
    return Volume("partition 1", 1, 1, kind, part_type=part_type)


def guest(
    *volumes: Volume, paths: tuple[str, ...] = (), boot_code: bool = True, table: str = "gpt"
) -> Guest:
    entries = {path: Entry(FILE, 1) for path in paths}
    return Guest(volumes=volumes, files=entries, boot_code=boot_code, table=table)


@pytest.mark.parametrize(("part_type", "kind", "there"), [
    (ESP, "FAT", True), (MBR_ESP, "FAT", True), (ESP, "ext4", False), (BIOS_BOOT, "FAT", False),
])  # fmt: skip
def test_an_esp_is_a_partition_of_its_type_with_fat(part_type: str, kind: str, there: bool) -> None:
    assert has_esp(guest(volume(part_type, kind))) is there


def test_loaders_count_only_on_an_esp() -> None:
    assert uefi_loaders(guest(volume(ESP), paths=(LOADER,))) == [LOADER]
    assert uefi_loaders(guest(volume(ESP, "ext4"), paths=(LOADER,))) == []
    assert uefi_loaders(guest(volume(ESP))) == []


@pytest.mark.parametrize(("values", "found"), [
    ({"boot_code": False, "table": "mbr"}, False),
    ({"table": "mbr"}, True),
    ({}, False),  # GPT, and no place for the rest of GRUB
    ({"paths": ("/boot/extlinux/extlinux.conf",)}, True),
])  # fmt: skip
def test_a_bios_needs_a_program_and_on_gpt_a_place_for_its_rest(
    values: dict[str, object], found: bool
) -> None:
    assert bios_loader(guest(**values)) is found
    assert bios_loader(guest(volume(BIOS_BOOT, ""), **values)) is values.get("boot_code", True)
