"""GRUB legacy and extlinux: the entry that starts, and where its files lie."""

from __future__ import annotations

from imsprep.guest.boot.devices import Devices
from imsprep.guest.boot.menus import Menu, legacy, syslinux
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest_trees import MemoryFileSystem

FILES = {"/boot/vmlinuz-1": b"MZ", "/boot/initrd-1": b"0", "/boot/vmlinuz-2": b"MZ"}


def read(reader: object, path: str, text: str, **more: str) -> Menu:
    tree = Tree({"/": MemoryFileSystem({**FILES, **more, path: text})})
    devices = Devices((Volume("partition 1", 1, 1, "ext4", "u"),), {"partition 1": [tree]})
    file = devices.find("partition 1", path)
    assert file is not None
    made: Menu = reader(devices, file)  # type: ignore[operator]
    return made


LEGACY = """default=1
timeout 5
title one
\troot (hd0,0)
\tkernel /boot/vmlinuz-1 ro root=UUID=a
\tinitrd /boot/initrd-1
title two
\tkernel (hd0,0)/vmlinuz-2 root=UUID=b
title xen
\tkernel /boot/xen.gz
"""


def test_menu_lst_starts_its_default() -> None:
    entries, default = read(legacy, "/boot/grub/menu.lst", LEGACY)
    assert [e.title for e in entries] == ["one", "two", "xen"]
    assert default == 1
    assert (entries[1].kernel, entries[1].arguments) == (
        "partition 1:/boot/vmlinuz-2",
        ("root=UUID=b",),
    )
    assert entries[0].initrds == ("partition 1:/boot/initrd-1",)
    assert "not Linux itself" in (entries[2].unknown or "")


EXTLINUX = """DEFAULT menu.c32
PROMPT 0
INCLUDE more.conf
LABEL one
  KERNEL vmlinuz-1
  APPEND initrd=initrd-1 root=UUID=a
LABEL two
  MENU DEFAULT
  LINUX /boot/vmlinuz-2
  INITRD gone
  APPEND root=UUID=b
"""


def test_extlinux_conf_starts_what_is_marked_or_named() -> None:
    text = "LABEL zero\n LINUX vmlinuz-1\n APPEND root=z\n"
    entries, default = read(syslinux, "/boot/extlinux.conf", EXTLINUX, **{"/boot/more.conf": text})
    assert [e.title for e in entries] == ["zero", "one", "two"]
    assert default == 2
    assert entries[1].initrds == ("partition 1:/boot/initrd-1",)
    assert entries[2].gone == "/boot/gone"
    _, default = read(
        syslinux,
        "/boot/extlinux.conf",
        EXTLINUX.replace("  MENU DEFAULT\n", "").replace("menu.c32", "two"),
    )
    assert default == 1
