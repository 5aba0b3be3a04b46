"""The disk as a loader sees it: volumes by name, UUID, label, and what is not known of them."""

from __future__ import annotations

import pytest

from imsprep.guest.chain.devices import Devices, UnknownStepError, mapped, may_hide
from imsprep.guest.model import UNKNOWN, Volume
from imsprep.guest.tree import Tree
from imsprep.image.volumes.signatures import LVM, RAID
from tests.support.guest.trees import UUID, MemoryFileSystem

ROOT = Volume("partition 2", 2, 1, "ext4", UUID, label="root", part_uuid="ABCD-01")
VOLUME = Volume("LVM my-vg/root", 3, 1, "xfs", "1111")
FILES = Tree({"/": MemoryFileSystem({"/boot/grub/grub.cfg": "set timeout=5\n"})})


def devices(*more: Volume) -> Devices:
    return Devices((ROOT, VOLUME, *more), {"partition 2": [FILES]})


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("hd0,gpt2", "partition 2"), ("hd0,msdos2", "partition 2"), ("hd,2", "partition 2"),
        ("virtio-blk/vd0,gpt2", "partition 2"), ("hd1,gpt2", None), ("hd0,gpt7", None), ("hd0", None),
        ("lvm/my--vg-root", "LVM my-vg/root"), ("lvm/my-vg-root", None), ("partition 2", "partition 2"),
        ("md/0", None), ("other", None),
    ],
)  # fmt: skip
def test_grub_s_names_mean_volumes_of_the_first_disk(device: str, name: str | None) -> None:
    assert devices().named(device) == name


@pytest.mark.parametrize("device", ["cryptouuid/1", "lvmid/a/b", "memdisk", "loop0", "luks,1"])
def test_what_is_not_followed_is_unknown_and_not_absent(device: str) -> None:
    with pytest.raises(UnknownStepError, match=r"is not supported|may be inside"):
        devices().named(device)


def test_a_raid_may_be_made_of_what_is_not_known() -> None:
    for kind in (RAID, UNKNOWN):
        with pytest.raises(UnknownStepError):
            devices(Volume("partition 3", 3, 1, kind)).named("md/0")


@pytest.mark.parametrize(
    ("by", "value", "name"),
    [
        ("uuid", UUID.upper(), "partition 2"), ("label", "root", "partition 2"), ("label", "Root", None),
        ("partuuid", "abcd-01", "partition 2"), ("file", "/boot/grub/grub.cfg", "partition 2"),
        ("uuid", "2222", None), ("file", "/none", None),
    ],
)  # fmt: skip
def test_a_volume_is_found_by_what_it_has(by: str, value: str, name: str | None) -> None:
    assert devices().search(by, value) == name


def test_a_search_ends_as_unknown_where_something_may_hide() -> None:
    closed = Volume("partition 3", 3, 1, "crypto_LUKS", None)
    hidden = devices(Volume("partition 3", 3, 1, LVM, None, unread="no reader"))
    with pytest.raises(UnknownStepError, match="may be inside partition 3"):
        hidden.search("uuid", "2222")
    with pytest.raises(UnknownStepError, match="partition 3: no reader"):
        hidden.search("file", "/none")
    assert may_hide(closed)
    assert not may_hide(ROOT)
    lost = devices(Volume("partition 3", 3, 1, LVM, None, lost="2222", unread="no reader"))
    assert lost.search("uuid", "2222") is None, "its superblock is gone, and a loader finds none"


def test_files_are_read_from_their_own_volume() -> None:
    file = devices().find("partition 2", "/boot/grub/grub.cfg")
    assert file is not None
    assert (file.name, file.text(), file.head(3)) == (
        "partition 2:/boot/grub/grub.cfg", "set timeout=5\n", b"set",
    )  # fmt: skip
    assert (file.size, file.is_folder) == (14, False)
    assert devices().names("partition 2", "/boot/grub") == ["grub.cfg"]
    assert devices().find("LVM my-vg/root", "/boot/grub/grub.cfg") is None
    assert [one.volume for one in devices().everywhere("/boot")] == ["partition 2"]
    with pytest.raises(UnknownStepError, match="it is not read"):
        devices().must_see("LVM my-vg/root")
    devices().must_see("partition 2")


def test_the_device_mapper_doubles_hyphens() -> None:
    assert mapped("LVM my-vg/root") == "my--vg-root"
    assert mapped("partition 2") is None
