"""The root that the entry that starts names."""

from __future__ import annotations

import dataclasses

import pytest

from imsprep.guest.model import Volume
from tests.support.guest_rules import check_guest
from tests.support.guest_trees import (
    ROOT,
    UUID,
    debian,
    linux_guest,
)

GRUB = "/boot/grub/grub.cfg"


OTHER_VOLUME = "22222222-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("kind", "unread", "arguments", "says"),
    [
        ("swap", None, "", "which is swap and no file system"),
        ("ext4", None, "", "which holds no system; partition 1 does"),
        ("ext4", "it is damaged", "", None),
        ("ext4", None, "boot=live", None),
        ("ext4", None, "mount.usr=PARTLABEL=USR-A", None),
        ("SquashFS", None, "", None),
    ],
)
def test_a_root_that_is_another_volume_than_the_systems_is_found(
    kind: str, unread: str | None, arguments: str, says: str | None
) -> None:
    files = debian()
    grub = files[GRUB]
    assert isinstance(grub, str)
    files[GRUB] = grub.replace(f"root=UUID={UUID} ro", f"root=UUID={OTHER_VOLUME} ro {arguments}")
    other = Volume("partition 2", 2 << 30, 1 << 29, kind, OTHER_VOLUME, clean=True, unread=unread)
    found, _ = check_guest(linux_guest(files, volumes=(ROOT, other)))
    messages = [f.message for f in found if f.rule == "IMS813"]
    assert (says is not None) == bool(messages)
    assert all((says or "") in message for message in messages)


def test_a_root_of_which_only_a_backup_of_its_superblock_is_left_is_gone() -> None:
    boot = dataclasses.replace(ROOT, uuid="aaaa")
    lost = dataclasses.replace(ROOT, name="partition 2", kind="unknown", uuid=None, lost=UUID)
    other = dataclasses.replace(lost, lost=None)
    for volume, rules in ((lost, ["IMS813"]), (other, [])):
        findings, skipped = check_guest(linux_guest(debian(), volumes=(boot, volume), root=None))
        found = [f for f in findings if f.rule == "IMS813"]
        assert [f.rule for f in found] == rules
        assert all("partition 2" in (f.fix or "") and "backup" in f.message for f in found)
        assert ("IMS813" in {s.rule for s in skipped}) is not bool(rules)
