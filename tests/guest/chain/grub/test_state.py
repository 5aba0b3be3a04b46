"""What GRUB holds: its variables and the files that they lead to."""

from __future__ import annotations

import pytest

from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.grub.state import Started, State
from imsprep.guest.chain.values import BIOS, UEFI
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest.trees import MemoryFileSystem

BOOT, ROOT = Volume("partition 1", 1, 1, "ext4"), Volume("partition 2", 2, 1, "XFS")


def state(kind: str = "ext4") -> State:
    volumes = (Volume("partition 1", 1, 1, kind), ROOT)
    trees = {
        "partition 1": [Tree({"/": MemoryFileSystem({"/vmlinuz": "MZ"})})],
        "partition 2": [Tree({"/": MemoryFileSystem({"/boot/vmlinuz": "MZ"})})],
    }
    return State(Devices(volumes, trees), BIOS, "partition 1")


def test_the_platform_is_that_of_the_firmware() -> None:
    assert State(Devices(()), UEFI, "").variables["grub_platform"] == "efi"
    assert State(Devices(()), BIOS, "").variables["grub_platform"] == "pc"


def test_a_scope_forgets_what_was_set_in_it() -> None:
    grub = state()
    with grub.scope():
        grub.set("root", "(hd0,gpt2)")
        assert grub.variables["root"] == "hd0,gpt2"
        assert grub.named("/vmlinuz", Started()) == "/vmlinuz"
    assert grub.variables["root"] == "partition 1"
    assert grub.named("/boot/vmlinuz", Started()) == "partition 1:/vmlinuz", "wherever it is"


@pytest.mark.parametrize(
    ("root", "path", "found", "why"),
    [
        ("hd0,gpt2", "/boot/vmlinuz", "partition 2:/boot/vmlinuz", ""),
        ("hd0,gpt2", "/vmlinuz", "/vmlinuz", "is not on partition 2, where the entry looks"),
        ("hd0,msdos3", "/vmlinuz", "/vmlinuz", "is to be on (hd0,msdos3), which the image"),
        ("hd1,1", "/vmlinuz", "/vmlinuz", "is to be on (hd1,1), which the image"),
        ("ahci7,1", "/vmlinuz", "partition 1:/vmlinuz", ""),
        (None, "(hd0,2)/vmlinuz", "/vmlinuz", "is not on partition 2"),
        (None, "/vmlinuz", "partition 1:/vmlinuz", ""),
    ],
)
def test_a_file_must_lie_where_the_script_says(
    root: str | None, path: str, found: str, why: str
) -> None:
    grub, entry = state(), Started()
    if root is not None:
        grub.set("root", root)
    entry.kernel = grub.named(path, entry)
    assert entry.kernel == found
    broken = entry.entry("grub.cfg", "x").broken
    assert (broken or "").startswith(f"{found}, which {why}" if why else "")
    assert bool(broken) is bool(why)


def test_paths_on_a_btrfs_depend_on_how_grub_was_built() -> None:
    grub = state("btrfs")
    grub.set("root", "partition 1")
    assert grub.named("/boot/vmlinuz", Started()) == "partition 1:/vmlinuz"
