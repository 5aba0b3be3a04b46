"""From a program of the ESP to a menu, through real programs' marks and the files around them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.guest.efi_programs import grub, pe
from tests.support.guest.loaders import GONE, KERNEL, MENU, STUB, uefi
from tests.support.guest.trees import UUID

SHIM, SYSTEMD_BOOT = pe({".data": b"UEFI SHIM"}), pe({".sdmagic": b"systemd-boot"})


WAYS: dict[str, dict[str, Any]] = {
    "shim, GRUB in its folder, the vendor's stub": {
        "/EFI/BOOT/BOOTX64.EFI": SHIM, "/EFI/BOOT/grubx64.efi": grub("/EFI/debian", "normal (memdisk)/grub.cfg\n"),
        "/EFI/debian/grub.cfg": STUB % UUID},
    "shim, fallback, the vendor's shim and GRUB": {
        "/EFI/BOOT/BOOTX64.EFI": SHIM, "/EFI/BOOT/fbx64.efi": b"MZ",
        "/EFI/fedora/BOOTX64.CSV": "shimx64.efi,Fedora,,This is the boot entry\n".encode("utf-16"),
        "/EFI/fedora/shimx64.efi": SHIM, "/EFI/fedora/grubx64.efi": grub("/EFI/fedora"),
        "/EFI/fedora/grub.cfg": STUB % UUID},
    "GRUB with a script built in": {"/EFI/BOOT/BOOTX64.EFI": grub("(,gpt9)/x", f"search.fs_uuid {UUID} root hd0,gpt2\nset prefix=($root)'/boot/grub'\n")},
    "GRUB with a prefix on the root": {"/EFI/BOOT/BOOTX64.EFI": grub("(,gpt2)/boot/grub")},
    "small letters and a program that is not known": {"/efi/boot/bootx64.efi": b"MZ"},
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_each_way_of_uefi_comes_to_the_entry(name: str) -> None:
    route = uefi(WAYS[name])
    assert route.entry is not None, route
    assert route.entry.title == "one"
    assert route.steps[0].upper() == "PARTITION 1:/EFI/BOOT/BOOTX64.EFI"


BREAKS: dict[str, tuple[dict[str, Any], str]] = {
    "the stub searches a UUID that is gone": (
        {"/EFI/BOOT/BOOTX64.EFI": grub("/EFI/debian"), "/EFI/debian/grub.cfg": STUB % GONE}, GONE),
    "the script that is built in searches one": (
        {"/EFI/BOOT/BOOTX64.EFI": grub("/x", f"search.fs_uuid {GONE} root\nset prefix=($root)/boot/grub\n")}, GONE),
    "shim has nothing to go on with": ({"/EFI/BOOT/BOOTX64.EFI": SHIM}, "grubx64.efi"),
    "systemd-boot has no entry": ({"/EFI/BOOT/BOOTX64.EFI": SYSTEMD_BOOT}, "/loader/entries"),
    "GRUB's configuration is gone": (
        {"/EFI/BOOT/BOOTX64.EFI": grub("/EFI/debian"), "/EFI/other/grub.cfg": STUB % UUID},
        "finds no partition 1:/EFI/debian/grub.cfg"),
    "the first program is for Arm": (
        {"/EFI/BOOT/BOOTX64.EFI": SHIM[:68] + b"\x64\xaa" + SHIM[70:]}, "is a program for 64-bit Arm"),
    "the first program is empty": ({"/EFI/BOOT/BOOTX64.EFI": b""}, "BOOTX64.EFI is empty"),
    "shim's second program is cut off": (
        {"/EFI/BOOT/BOOTX64.EFI": SHIM, "/EFI/BOOT/grubx64.efi": grub("/EFI/debian")[:1500]},
        "grubx64.efi is cut off"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_a_way_that_ends_says_where(name: str) -> None:
    files, said = BREAKS[name]
    route = uefi(files)
    assert route.entry is None
    assert said in (route.broken or "")


# What image builders of the CoreOS family put on the ESP.
STATIC = """if [ -e (md/md-boot) ]; then
  set prefix=md/md-boot
else
  if [ -f ${config_directory}/bootuuid.cfg ]; then source ${config_directory}/bootuuid.cfg; fi
  if [ -n "${BOOT_UUID}" ]; then
    search --fs-uuid "${BOOT_UUID}" --set prefix --no-floppy
  else
    search --label boot --set prefix --no-floppy
  fi
fi
if [ -d ($prefix)/grub2 ]; then set prefix=($prefix)/grub2
else set prefix=($prefix)/boot/grub2
fi
configfile $prefix/grub.cfg
"""


def test_a_stub_that_takes_the_uuid_from_a_file_of_its_own_is_followed() -> None:
    for uuid, works in ((UUID, True), (GONE, False)):
        esp = {
            "/EFI/BOOT/BOOTX64.EFI": grub("/EFI/fedora"), "/EFI/fedora/grub.cfg": STATIC,
            "/EFI/fedora/bootuuid.cfg": f'set BOOT_UUID="{uuid}"\n',
        }  # fmt: skip
        route = uefi(esp, {**KERNEL, "/boot/grub2/grub.cfg": MENU})
        assert (route.entry is not None) is works
        assert works or GONE in (route.broken or "")
