"""From the firmware to a menu, through real programs' marks and the files around them."""

from __future__ import annotations

from typing import Any

import pytest

from imsprep.guest.boot.devices import Devices
from imsprep.guest.boot.routes import find_routes
from imsprep.guest.boot.values import BIOS, UEFI, Boot, Initramfs, Route, read_value
from imsprep.guest.model import Guest, Volume
from imsprep.guest.tree import Tree
from tests.support.efi_programs import grub, pe, unified
from tests.support.guest_trees import (
    UUID,
    Caseless,
    MemoryFileSystem,
    cpio,
    debian,
    drivers,
    linux_guest,
)

ESP = Volume(
    "partition 1", 1, 1, "FAT", "1A2B-3C4D", part_type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
)
ROOT = Volume("partition 2", 2, 1, "ext4", UUID)
GONE = "99999999-2222-4333-8444-555555555555"
SHIM, SYSTEMD_BOOT = pe({".data": b"UEFI SHIM"}), pe({".sdmagic": b"systemd-boot"})
KERNEL = {"/boot/vmlinuz-1": b"MZ", "/boot/initrd-1": cpio(drivers("1"))}
MENU = f"menuentry 'one' {{\n linux /boot/vmlinuz-1 root=UUID={UUID}\n initrd /boot/initrd-1\n}}\n"
STUB = "search.fs_uuid %s root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"


def routes(esp: dict[str, Any], root: dict[str, Any] | None = None, sector: bytes = b"") -> Boot:
    trees = {
        "partition 1": [Tree({"/": Caseless(MemoryFileSystem(esp).root())})],
        "partition 2": [
            Tree(
                {
                    "/": MemoryFileSystem(
                        root if root is not None else {**KERNEL, "/boot/grub/grub.cfg": MENU}
                    )
                }
            )
        ],
    }
    return find_routes(Devices((ESP, ROOT), trees), sector)


def uefi(esp: dict[str, Any], root: dict[str, Any] | None = None) -> Route:
    found = routes(esp, root).route(UEFI)
    assert found is not None
    return found


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
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_a_way_that_ends_says_where(name: str) -> None:
    files, said = BREAKS[name]
    route = uefi(files)
    assert route.entry is None
    assert said in (route.broken or "")


def test_a_unified_kernel_image_is_its_own_entry() -> None:
    image = unified(f"root=UUID={UUID} ro", cpio(drivers("6.1.0")))
    for files in ({"/EFI/BOOT/BOOTX64.EFI": image},
                  {"/EFI/BOOT/BOOTX64.EFI": SYSTEMD_BOOT, "/EFI/Linux/linux.efi": image}):  # fmt: skip
        entry = uefi(files, {}).entry
        assert entry is not None
        assert (entry.title, entry.value("root"), entry.version) == (
            "Some Linux 1",
            f"UUID={UUID}",
            "6.1.0",
        )
    both = linux_guest(
        {"/boot/efi/EFI/BOOT/BOOTX64.EFI": image, "/etc/fstab": ""},
        volumes=(ESP, ROOT), boot_code=False, table="gpt",
    )  # fmt: skip
    assert "virtio_blk" in both.boot.images[0].drivers


def test_systemd_boot_takes_its_default_and_else_the_newest() -> None:
    files: dict[str, Any] = {"/EFI/BOOT/BOOTX64.EFI": SYSTEMD_BOOT, "/k": b"MZ"}
    for version in ("6.9", "6.10"):
        files[f"/loader/entries/l-{version}.conf"] = f"title {version}\nlinux /k\noptions a\n"
    entry = uefi(files).entry
    assert entry is not None
    assert entry.title == "6.10"
    files["/loader/loader.conf"] = "timeout 3\ndefault l-6.9*\n"
    entry = uefi(files).entry
    assert entry is not None
    assert entry.title == "6.9"


def test_systemd_boot_sorts_unified_images_among_its_entries() -> None:
    files: dict[str, Any] = {
        "/EFI/BOOT/BOOTX64.EFI": SYSTEMD_BOOT, "/k": b"MZ",
        "/loader/entries/z.conf": "title plain\nlinux /k\noptions a\n",
        "/EFI/Linux/b-1.efi": unified("b", b"", release='ID=b\nVERSION_ID=1\nPRETTY_NAME="b 1"\n'),
        "/EFI/Linux/b-2.efi": unified("b", b"", release='ID=b\nVERSION_ID=2\nPRETTY_NAME="b 2"\n'),
    }  # fmt: skip
    for conf, title in (("", "b 2"), ("default z*\n", "plain"), ("default b-1.efi\n", "b 1")):
        entry = uefi({**files, "/loader/loader.conf": conf}).entry
        assert entry is not None
        assert entry.title == title


def test_an_empty_configuration_stops_grub() -> None:
    route = routes(
        {}, {"/boot/grub/grub.cfg": "# made by hand\n\n"}, b"GRUB".ljust(512, b"\0")
    ).route(BIOS)
    assert route is not None
    assert route.broken == "partition 2:/boot/grub/grub.cfg is empty"


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


def test_a_linux_without_a_loader_has_no_way() -> None:
    assert routes({}).routes == ()
    assert routes({}, sector=b"GRUB".ljust(512, b"\0")).route(BIOS) is not None


def test_a_volume_that_is_not_read_makes_it_unknown_and_not_broken() -> None:
    closed = Volume("partition 2", 2, 1, "btrfs", UUID, unread="no reader")
    esp = MemoryFileSystem(
        {"/EFI/BOOT/BOOTX64.EFI": grub("/EFI/debian"), "/EFI/debian/grub.cfg": STUB % UUID}
    )
    boot = find_routes(Devices((ESP, closed), {"partition 1": [Tree({"/": esp})]}), b"")
    route = boot.route(UEFI)
    assert route is not None
    assert route.broken is None
    assert "no reader" in (route.unknown or "")


def test_a_boot_chain_goes_through_json_unchanged() -> None:
    guest = linux_guest(debian())
    assert Guest.from_dict(guest.as_dict()) == guest
    with pytest.raises(KeyError):
        read_value(Initramfs, {"path": "x", "more": 1})
