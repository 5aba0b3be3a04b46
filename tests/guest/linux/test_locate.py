"""Which volume of the image a device specification means, and which mean none here."""

from __future__ import annotations

import pytest

from imsprep.guest.linux.locate import State, locate, read_crypttab, whole
from imsprep.guest.model import FILE, Entry, Guest, Volume
from imsprep.image.volumes.signatures import LUKS, LVM, RAID

UUID = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"
ROOT = Volume("partition 1", 1, 1, "ext4", UUID, label="root")


def guest(*more: Volume, crypttab: str | None = None) -> Guest:
    files = {} if crypttab is None else {"/etc/crypttab": Entry(FILE, text=crypttab)}
    return Guest(table="gpt", volumes=(ROOT, *more), files=files)


@pytest.mark.parametrize(("spec", "state"), [
    (f"UUID={UUID}", State.HERE), (f'"UUID={UUID}"', State.HERE), ("LABEL=root", State.HERE),
    ("UUID=dead-beef", State.GONE), ("/dev/vda1", State.NAME), ("/dev/sda1", State.NAME),
    ("/dev/sda9", State.GONE), ("/dev/sdb1", State.GONE), ("/dev/nvme0n1p1", State.NAME),
    ("/dev/disk/by-path/pci-1", State.OLD), ("ID=ata-disk", State.OLD), ("/dev/zram0", State.MADE),
    ("/dev/sr0", State.DRIVE), ("tmpfs", State.NO_DISK), ("server:/share", State.NO_DISK),
    ("/dev/md0", State.GONE), ("/dev/mapper/root", State.UNKNOWN), ("/dev/mapper/vg-home", State.GONE),
    ("/dev/disk/by-id/virtio-1", State.UNKNOWN), ("PARTUUID=1/PARTNROFF=1", State.UNKNOWN),
])  # fmt: skip
def test_a_specification_has_one_meaning(spec: str, state: State) -> None:
    found = locate(spec, guest())
    assert found.state is state, found
    assert (found.volume is ROOT) is (state in (State.HERE, State.NAME))


@pytest.mark.parametrize(("spec", "kind"), [
    ("UUID=dead-beef", LUKS), ("/dev/md0", RAID), ("/dev/mapper/vg-home", LUKS),
])  # fmt: skip
def test_what_may_be_inside_another_volume_is_unknown(spec: str, kind: str) -> None:
    found = locate(spec, guest(Volume("partition 2", 2, 1, kind)))
    assert found.state is State.UNKNOWN
    assert "partition 2" in found.why


def test_what_crypttab_opens_is_made_at_boot() -> None:
    text = "# a comment\ndata UUID=1 none luks,nofail\nswap /dev/sda2\n\nbad\n"
    assert locate("/dev/mapper/data", guest(crypttab=text)).state is State.MADE
    first, second = read_crypttab(text)
    assert (first.name, first.key, first.options, first.line) == (
        "data",
        "none",
        ("luks", "nofail"),
        2,
    )
    assert (first.required, second.required) == (False, True)


def test_a_volume_is_whole_if_all_its_disks_are_in_the_image() -> None:
    assert whole(ROOT, guest()) is None
    part = Volume("LVM vg/root", 1, 1, "ext4", UUID, missing="pv1")
    assert "another physical volume of the group vg (pv1)" in (whole(part, guest()) or "")
    array = Volume("md0", 1, 1, RAID, missing="RAID 1")
    assert "another disk is missing" in (whole(array, guest()) or "")
    btrfs = Volume("partition 3", 3, 1, "btrfs", "b", devices=2)
    assert "2 devices, of which the image holds 1" in (whole(btrfs, guest(btrfs)) or "")
    other = Volume("partition 4", 4, 1, "btrfs", "b", devices=2)
    assert whole(btrfs, guest(btrfs, other)) is None


def test_a_group_that_is_not_read_may_have_any_name() -> None:
    found = locate("/dev/vg/home", guest(Volume("partition 2", 2, 1, LVM, unread="no reader")))
    assert (found.state, "no reader" in found.why) == (State.UNKNOWN, True)
