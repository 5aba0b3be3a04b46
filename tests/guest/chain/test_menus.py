"""GRUB legacy, extlinux, systemd-boot: the entry that starts, and where its files lie."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from imsprep.guest.chain.devices import Devices, File
from imsprep.guest.chain.menus import Menu, legacy, syslinux, systemd_boot
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest.trees import MemoryFileSystem

FILES = {"/boot/vmlinuz-1": b"MZ", "/boot/initrd-1": b"0", "/boot/vmlinuz-2": b"MZ"}


def read(reader: Callable[[Devices, File], Menu], path: str, text: str, **more: str) -> Menu:
    tree = Tree({"/": MemoryFileSystem({**FILES, **more, path: text})})
    devices = Devices((Volume("partition 1", 1, 1, "ext4", "u"),), {"partition 1": [tree]})
    file = devices.find("partition 1", path)
    assert file is not None
    return reader(devices, file)


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
title of a guest of Xen
\tkernel /boot/vmlinuz-3.0-xen root=UUID=c
"""


def test_menu_lst_starts_its_default() -> None:
    entries, default = read(legacy, "/boot/grub/menu.lst", LEGACY)
    assert [e.title for e in entries] == ["one", "two", "xen", "of a guest of Xen"]
    assert default == 1
    assert (entries[1].kernel, entries[1].arguments) == (
        "partition 1:/boot/vmlinuz-2",
        ("root=UUID=b",),
    )
    assert entries[0].initrds == ("partition 1:/boot/initrd-1",)
    assert "not Linux itself" in (entries[2].unknown or "")
    assert entries[3].unknown is None


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


def test_extlinux_starts_after_its_time_what_ontimeout_names() -> None:
    text = "DEFAULT menu.c32\nONTIMEOUT two\nLABEL one\n KERNEL vmlinuz-1\nLABEL two\n KERNEL vmlinuz-2\n"
    _, default = read(syslinux, "/boot/extlinux.conf", text)
    assert default == 1


def started(entries: dict[str, str], conf: str = "") -> str:
    """The title of the entry that systemd-boot starts."""
    files = {f"/loader/entries/{name}": text for name, text in entries.items()}
    tree = Tree({"/": MemoryFileSystem({**FILES, **files, "/loader/loader.conf": conf})})
    devices = Devices((Volume("partition 1", 1, 1, "FAT", "u"),), {"partition 1": [tree]})
    found, default = systemd_boot(devices, ["partition 1"], {}, "x64")
    assert default is not None
    assert found[default].broken is None
    return found[default].title


def entry(title: str, more: str = "") -> str:
    return f"title {title}\nlinux /boot/vmlinuz-1\n{more}"


def test_systemd_boot_leaves_other_architectures_and_entries_without_attempts_aside() -> None:
    arm = entry("arm", "architecture AA64\n")
    assert started({"z.conf": arm, "a.conf": entry("a", "architecture x64\n")}) == "a"
    assert started({"z+0-3.conf": entry("given up"), "a.conf": entry("a")}) == "a"
    assert started({"z+2-1.conf": entry("tried"), "a.conf": entry("a")}) == "tried"
    assert started({"z+2-1.conf": entry("tried"), "a+3.conf": entry("a")}, "default a.conf") == "a"


def test_systemd_boot_takes_paths_with_any_slashes() -> None:
    for path in ("\\boot\\vmlinuz-1", "boot/vmlinuz-1", "//boot/vmlinuz-1"):
        assert started({"a.conf": f"title a\nlinux {path}\ninitrd {path}\n"}) == "a"


@pytest.mark.parametrize(
    ("root", "broken"),
    [
        ("(hd0,0)", None),
        ("(hd0,4)", "/boot/vmlinuz-1, which is to be on (hd0,4), which the image does not have"),
        ("(hd1,0)", None),
    ],
)
def test_grub_legacy_looks_on_the_partition_that_an_entry_names(
    root: str, broken: str | None
) -> None:
    text = f"title x\nroot {root}\nkernel /boot/vmlinuz-1 root=UUID=a\ninitrd /boot/initrd-1\n"
    entries, _ = read(legacy, "/boot/grub/menu.lst", text)
    assert entries[0].broken == broken


@pytest.mark.parametrize("folder", ["", "/boot"])
def test_a_loader_that_reads_its_own_volume_finds_no_kernel_on_another(folder: str) -> None:
    text = "title x\nlinux /boot/vmlinuz-1\noptions root=UUID=a\n"
    own = {"/loader/entries/x.conf": text, **({"/boot/vmlinuz-1": "MZ"} if folder else {})}
    volumes = (Volume("partition 1", 1, 1, "FAT", "u"), Volume("partition 2", 2, 1, "ext4", "v"))
    trees = {"partition 1": [Tree({"/": MemoryFileSystem(own)})],
             "partition 2": [Tree({"/": MemoryFileSystem(FILES)})]}  # fmt: skip
    entries, default = systemd_boot(Devices(volumes, trees), ["partition 1"], {}, "x64")
    assert default == 0
    broken = (
        "/boot/vmlinuz-1, which is on partition 2 and not on partition 1, which the loader reads"
    )
    assert entries[0].broken == (None if folder else broken)
