"""From the firmware to a menu, through real programs' marks and the files around them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.routes import find_routes
from imsprep.guest.chain.values import BIOS, UEFI, Boot, Initramfs, Route, read_value
from imsprep.guest.model import Guest, Volume
from imsprep.guest.tree import Tree
from tests.support.guest import grub_cores
from tests.support.guest.efi_programs import grub, pe, unified
from tests.support.guest.trees import (
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


def bios(
    prefix: str, script: str | None = None, root: dict[str, Any] | None = None, *,
    built_in: tuple[str, ...] = ("normal", "linux"), kind: str = "ext4", ext2: bytes = b"",
) -> Route:  # fmt: skip
    """The way of a GRUB whose core image has this prefix, script and modules built in."""
    modules = {**dict.fromkeys(built_in, b""), "ext2": ext2}
    first = grub_cores.disk(grub_cores.objects(prefix, script, modules))
    files = {**KERNEL, "/boot/grub/grub.cfg": MENU} if root is None else root
    volume = dataclasses.replace(ROOT, kind=kind)
    devices = Devices((ESP, volume), {"partition 2": [Tree({"/": MemoryFileSystem(files)})]})
    found = find_routes(devices, first[:512], lambda at, size: first[at : at + size]).route(BIOS)
    assert found is not None
    return found


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


SEARCH = "search.fs_uuid %s root\nset prefix=($root)/boot/grub\n"
CORE = "GRUB's core image"


@pytest.mark.parametrize(("prefix", "script"), [
    ("/boot/grub", SEARCH % UUID), ("(,gpt2)/boot/grub", None), ("(hd0,msdos2)/boot/grub", ""),
])  # fmt: skip
def test_a_core_image_comes_to_the_entry(prefix: str, script: str | None) -> None:
    route = bios(prefix, script)
    assert route.entry is not None, route
    assert route.steps == (CORE, "partition 2:/boot/grub/grub.cfg")


@pytest.mark.parametrize(("prefix", "script", "said"), [
    ("/boot/grub", SEARCH % GONE, f"{CORE} line 1 searches UUID {GONE}"),
    ("(,gpt9)/boot/grub", None, f"{CORE} goes on with (hd0,gpt9)/boot/grub/grub.cfg"),
    ("(,gpt2)/grub", None, "(hd0,gpt2)/grub/grub.cfg, which is not there"),
    ("/boot/grub", None, "(hd0)/boot/grub/grub.cfg, which is not there"),
])  # fmt: skip
def test_a_core_image_that_leads_nowhere_says_where(
    prefix: str, script: str | None, said: str
) -> None:
    route = bios(prefix, script)
    assert route.entry is None
    assert said in (route.broken or "")


def test_a_core_image_without_its_modules_says_which() -> None:
    files = {**KERNEL, "/boot/grub/grub.cfg": MENU}
    for built_in, there, said in (
        ((), (), "normal.mod"), (("normal",), (), "linux.mod"),
        ((), ("normal",), "linux.mod"), ((), ("normal", "linux"), None), (("normal",), ("linux16",), None),
    ):  # fmt: skip
        more = {f"/boot/grub/i386-pc/{name}.mod": b"" for name in there}
        route = bios("(,gpt2)/boot/grub", None, {**files, **more}, built_in=built_in)
        assert (said in route.broken) if said and route.broken else said is None, route
        assert (route.entry is None) is (said is not None)


def test_a_core_image_that_is_not_proved_to_stop_is_not_broken() -> None:
    # The device is not followed; a command is not known; btrfs may be seen from a subvolume.
    for route in (
        bios("(lvmid/ab/cd)/boot/grub"),
        bios("/boot/grub", f"cryptomount -u 1\n{SEARCH % GONE}"),
        bios("(,gpt2)/other", kind="btrfs"),
    ):
        assert route.broken is None
        assert route.entry is not None


def test_nothing_behind_the_boot_program_is_broken() -> None:
    first = grub_cores.disk(grub_cores.objects("/boot/grub"))[:512]
    route = find_routes(Devices((ESP, ROOT), {}), first, lambda _, size: bytes(size)).route(BIOS)
    assert route is not None
    assert route.broken == "the boot program goes on at sector 1, which holds zeros"


def test_what_grub_reads_of_ext4_is_that_of_the_module_that_starts() -> None:
    old = b"\xa9" + (~0x103D6 & 0xFFFFFFFF).to_bytes(4, "little")
    new = b"\xa9" + (~0x163D6 & 0xFFFFFFFF).to_bytes(4, "little")
    files = {**KERNEL, "/boot/grub/grub.cfg": MENU, "/boot/grub/i386-pc/ext2.mod": new}
    assert "metadata_csum_seed" not in (
        bios("(,gpt2)/boot/grub", None, files, ext2=old).reads or ()
    )
    assert bios("(,gpt2)/boot/grub", None, files).reads is None
    guessed = routes({}, files, sector=b"GRUB".ljust(512, b"\0")).route(BIOS)
    assert guessed is not None
    assert "metadata_csum_seed" in (guessed.reads or ())


def test_a_uefi_grub_whose_partition_is_gone_is_broken() -> None:
    route = uefi({"/EFI/BOOT/BOOTX64.EFI": grub("(,gpt9)/boot/grub")})
    assert "(hd0,gpt9)/boot/grub/grub.cfg" in (route.broken or "")


def test_a_uefi_grub_without_a_command_that_loads_linux_is_broken() -> None:
    files = {**KERNEL, "/boot/grub/grub.cfg": MENU}
    for built_in, there, broken in (
        (("normal",), (), True), (("normal", "linux"), (), False), ((), (), False),
        (("normal",), ("linux",), False), (("normal", "linuxefi"), (), False),
    ):  # fmt: skip
        esp = {"/EFI/BOOT/BOOTX64.EFI": grub("/EFI/debian", modules=built_in),
               "/EFI/debian/grub.cfg": STUB % UUID}  # fmt: skip
        more = {f"/boot/grub/x86_64-efi/{name}.mod": b"" for name in there}
        route = uefi(esp, {**files, **more})
        assert (route.entry is None) is broken, (built_in, there)
        assert ("/boot/grub/x86_64-efi/linux.mod" in (route.broken or "")) is broken


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
