"""GRUB's commands, run on a state."""

from __future__ import annotations

import pytest

from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.grub import commands
from imsprep.guest.chain.grub.state import State
from imsprep.guest.chain.grub.syntax import Statement
from imsprep.guest.chain.values import BIOS
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest.trees import UUID, MemoryFileSystem

AT = Statement("command", 7)
BLS = "title Linux\nlinux {folder}/vmlinuz\ninitrd {folder}/initrd $tuned\noptions $opts x\n"


def state(**files: str) -> State:
    tree = Tree(
        {
            "/": MemoryFileSystem(
                {f"/{name.replace('__', '/')}": text for name, text in files.items()}
            )
        }
    )
    volumes = (Volume("partition 1", 1, 1, "ext4", UUID, "boot"),)
    return State(Devices(volumes, {"partition 1": [tree]}), BIOS, "partition 1")  # fmt: skip


@pytest.mark.parametrize("words", ["--label boot --set=a", "-s a -l boot", "--set a -f /vmlinuz"])
def test_a_search_sets_its_variable(words: str) -> None:
    grub = state(vmlinuz="MZ")
    assert commands.search(grub, words.split(), AT)
    assert grub.variables["a"] == "partition 1"
    assert not commands.search(grub, ["--label", "none", "--set=b"], AT)
    assert "b" not in grub.variables
    assert grub.menu.failures[0].endswith("line 7 searches label none, which no volume of the image has")  # fmt: skip


def test_an_environment_block_gives_the_variables_that_are_asked_for() -> None:
    grub = state(grubenv="# GRUB Environment Block\na=1\nb=root=UUID=2 ro\n####\n")
    assert commands.load_env(grub, ["-f", "/grubenv", "b"], AT)
    assert (grub.variables.get("a"), grub.variables["b"]) == (None, "root=UUID=2 ro")
    assert not commands.load_env(grub, ["-f", "/none"], AT)


@pytest.mark.parametrize(
    ("root", "folder", "broken"),
    [
        (None, "", None),
        (None, "/boot", "/boot/vmlinuz, which is not on partition 1, where the entry looks"),
        ("hd0,gpt1", "", None),
        ("hd0,gpt1", "/boot", "/boot/vmlinuz, which is not on partition 1, where the entry looks"),
    ],
)
def test_an_entry_of_the_specification_names_files_of_its_own_volume(
    root: str | None, folder: str, broken: str | None
) -> None:
    grub = state(vmlinuz="MZ", initrd="0", **{"loader__entries__a.conf": BLS.format(folder=folder)})
    grub.variables["opts"] = "root=r ro"
    if root is not None:
        grub.set("root", root)
    assert commands.blscfg(grub, [], AT)
    (choice,) = grub.frame.choices
    assert choice.bls is not None
    entry = commands.from_bls(grub, choice.bls).entry("a.conf", "Linux")
    assert entry.broken == broken
    assert entry.arguments == ("root=r", "ro", "x")


def test_what_is_not_linux_is_not_followed() -> None:
    grub = state()
    commands.foreign(grub, ["/x.efi"], AT._replace(words=()))
    assert grub.frame.entry.unknown == "it starts /x.efi, not Linux itself"
