"""IMS855: what opens and mounts the volume of the root."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imsprep.guest.model import Volume
from imsprep.report import Severity
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import ROOT, VIRTIO, cpio, debian, drivers, linux_guest, modules

VERSION = "4.19.0-27-amd64"
GRUB, INITRD = "/boot/grub/grub.cfg", f"/boot/initrd.img-{VERSION}"
DRACUT = {"etc/initrd-release": b"x", "usr/lib/dracut/modules.txt": b"x"}
LVM = {"usr/sbin/lvm": b"x"}
PHYSICAL = Volume("partition 1", 1 << 20, 1 << 30, "LVM")
LOGICAL = dataclasses.replace(ROOT, name="LVM vg-0/root", offset=-1)


def said(
    inside: dict[str, bytes], arguments: str = "", kind: str = "ext4", lvm: bool = True, **more: Any
) -> tuple[list[tuple[Severity, str]], list[str]]:
    """What IMS855 finds, and why it is skipped."""
    root = "/dev/mapper/vg--0-root" if lvm else f"UUID={ROOT.uuid}"
    grub = f"linux /boot/vmlinuz-{VERSION} root={root} {arguments}\ninitrd {INITRD}\n"
    files = {**debian(), "/etc/fstab": "", GRUB: grub,
             INITRD: cpio({**drivers(VERSION), **inside}), **more}  # fmt: skip
    volumes = (PHYSICAL, dataclasses.replace(LOGICAL, kind=kind)) if lvm else (
        dataclasses.replace(ROOT, kind=kind),)  # fmt: skip
    found, skipped = check_guest(linux_guest(files, volumes=volumes))
    return ([(f.severity, f.message) for f in found if f.rule == "IMS855"],
            [s.reason for s in skipped if s.rule == "IMS855"])  # fmt: skip


def test_a_logical_volume_needs_lvm_in_the_initramfs() -> None:
    ((severity, message),), _ = said(DRACUT)
    assert severity is Severity.ERROR
    assert message == (
        f"{INITRD} has no program lvm, and root=/dev/mapper/vg--0-root is a logical volume"
    )
    assert said({**DRACUT, **LVM}) == ([], [])
    assert said({**DRACUT, "sbin/lvm.static": b"x"}) == ([], [])
    assert said(DRACUT, lvm=False) == ([], [])
    assert said({}) == ([], []), "of a maker that is not known it is not known what it runs"


def test_what_lies_in_a_file_system_inside_is_not_called_absent() -> None:
    found, (reason,) = said({**DRACUT, "squashfs-root.img": b"x"})
    assert found == []
    assert "squashfs-root.img" in reason


@pytest.mark.parametrize(("arguments", "named"), [
    ("rd.lvm.lv=vg-0/root", None), ("rd.lvm.lv=vg-0/swap rd.lvm.lv=vg-0/root", None),
    ("rd.lvm.vg=vg-0", None), ("rd_LVM_LV=vg-0/root", None), ("rd.lvm=1", None),
    ("rd.lvm=0 rd.lvm=1", None), ("rd.lvm=1 rd.lvm=0", "rd.lvm=0"),
    ("rd.lvm=0", "rd.lvm=0"), ("rd_NO_LVM", "rd_NO_LVM"),
    ("rd.lvm.lv=vg-0/swap", "rd.lvm.lv=vg-0/swap"), ("rd.lvm.vg=vg", "rd.lvm.vg=vg"),
])  # fmt: skip
def test_dracut_activates_only_what_it_is_to(arguments: str, named: str | None) -> None:
    found, _ = said({**DRACUT, **LVM}, arguments)
    assert [severity for severity, _ in found] == [Severity.ERROR] * (named is not None)
    assert all(named is not None and named in message for _, message in found)
    tools = {"scripts/functions": b"x", **LVM}
    assert said(tools, arguments)[0] == [], "other makers do not read it"


@pytest.mark.parametrize(("kind", "lists", "inside", "found"), [
    ("XFS", ["xfs", "ext4"], [], True), ("XFS", ["xfs", "ext4"], ["xfs"], False),
    ("XFS", ["ext4"], [], False), ("ext3", ["ext4"], ["ext3"], False), ("ext4", ["ext4"], [], True),
    ("btrfs", ["btrfs"], ["raid6_pq"], True), ("F2FS", ["f2fs"], [], False),
])  # fmt: skip
def test_a_driver_that_is_a_module_has_to_be_in_the_initramfs(
    kind: str, lists: list[str], inside: list[str], found: bool
) -> None:
    names = [*VIRTIO, *inside]
    messages, _ = said(drivers(VERSION, names), kind=kind, lvm=False,
                       **modules(VERSION, [*VIRTIO, *lists]))  # fmt: skip
    assert [s for s, _ in messages] == [Severity.ERROR] * found
    assert all(f"{INITRD} has no driver" in message for _, message in messages)


@pytest.mark.parametrize("inside", [{"usr/bin/busybox": b"x"}, drivers("5.10.0-1-amd64")])
def test_an_initramfs_without_modules_of_the_kernel_is_not_judged_by_them(
    inside: dict[str, bytes],
) -> None:
    lists = modules(VERSION, [*VIRTIO, "ext4"])
    files = {**debian(), INITRD: cpio(inside), **lists}
    found, _ = check_guest(linux_guest(files))
    assert "IMS855" not in {f.rule for f in found}


@pytest.mark.parametrize(("arguments", "maker", "found"), [
    ("rd.lvm.lv=vg-0/root", DRACUT, True), ("rd.lvm.lv=vg-0/root rd.lvm.lv=vg-0/usr", DRACUT, False),
    ("rd.lvm.vg=vg-0", DRACUT, False), ("", DRACUT, False),
    ("rd.lvm.lv=vg-0/root", {"scripts/functions": b"x"}, False),
])  # fmt: skip
def test_dracut_mounts_usr_too_before_it_hands_over(
    arguments: str, maker: dict[str, bytes], found: bool
) -> None:
    usr = dataclasses.replace(
        LOGICAL, name="LVM vg-0/usr", uuid="22222222-2222-4333-8444-555555555555"
    )
    grub = f"linux /boot/vmlinuz-{VERSION} root=/dev/vg-0/root {arguments}\ninitrd {INITRD}\n"
    files = {**debian(), GRUB: grub, INITRD: cpio({**drivers(VERSION), **maker, **LVM}),
             "/etc/fstab": "/dev/vg-0/root / ext4 defaults 0 1\n/dev/vg-0/usr /usr ext4 defaults 0 2\n"}  # fmt: skip
    said_, _ = check_guest(linux_guest(files, volumes=(PHYSICAL, LOGICAL, usr)))
    messages = [f.message for f in said_ if f.rule == "IMS855"]
    assert ["the /usr is vg--0-usr" in message for message in messages] == [True] * found
