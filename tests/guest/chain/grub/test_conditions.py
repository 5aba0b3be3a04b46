"""GRUB's `test` and `[`."""

from __future__ import annotations

import pytest

from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.grub.conditions import holds
from imsprep.guest.chain.grub.state import State
from imsprep.guest.chain.values import BIOS
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest.trees import MemoryFileSystem

DEVICES = Devices(
    (Volume("partition 1", 1, 1, "ext4"),),
    {"partition 1": [Tree({"/": MemoryFileSystem({"/grub/user.cfg": "x", "/grub/empty": ""})})]},
)


@pytest.mark.parametrize(
    ("words", "result"),
    [
        ("-f /grub/user.cfg", True),
        ("-s (hd0,1)/none", False),
        ("-s /grub/user.cfg", True),
        ("-s /grub/empty", False),
        ("-f /grub", False),
        ("-e /grub", True),
        ("-d /grub/user.cfg", False),
        ("! -e /grub/none", True),
        ("-d /grub -a -n x", True),
        ("-d /none -o 1 = 2", False),
        ("10 -ge 9", True),
        ("a != a", False),
        ("x", True),
        ("", False),
        ("a -ot b", None),
        ("! a -ot b", None),
    ],
)
def test_a_condition_holds_or_not_or_is_not_known(words: str, result: bool | None) -> None:
    state = State(DEVICES, BIOS, "partition 1")
    assert holds(state, words.split()) is result
