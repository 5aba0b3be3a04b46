"""What one possible loader comes to."""

from __future__ import annotations

from dataclasses import replace

from imsprep.guest.chain.found import Found
from imsprep.guest.chain.values import BootEntry

ENTRY = BootEntry("grub.cfg", 1, "one", "/boot/vmlinuz")


def test_a_loader_works_if_the_entry_that_starts_by_itself_is_whole() -> None:
    broken = replace(ENTRY, broken="its kernel is gone")
    assert Found("GRUB", (), (broken, ENTRY), default=1).works
    assert not Found("GRUB", (), (broken, ENTRY), default=0).works
    assert not Found("GRUB", (), (ENTRY,)).works, "none starts by itself"
