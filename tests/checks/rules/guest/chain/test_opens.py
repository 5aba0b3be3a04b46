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


BOOT = dataclasses.replace(ROOT, uuid="33333333-2222-4333-8444-555555555555")
ARRAY = "5a1c0f3e-9b2d-4c6a-8e7f-001122334455"
MEMBERS = (Volume("partition 2", 1 << 30, 1 << 30, "Linux RAID", ARRAY),
           Volume("partition 3", 2 << 30, 1 << 30, "Linux RAID", ARRAY))  # fmt: skip
CLOSED = (Volume("partition 2", 1 << 30, 1 << 30, "LUKS", ARRAY),)
TOOLS = {"scripts/functions": b"x"}
MDADM, CRYPTSETUP = {"sbin/mdadm": b"x"}, {"usr/sbin/cryptsetup": b"x"}


def of_inner(
    root: str, inside: dict[str, bytes], volumes: tuple[Volume, ...], arguments: str = ""
) -> list[str]:
    """What IMS855 says of a root inside volumes that cannot be read; /boot is apart."""
    grub = f"linux /boot/vmlinuz-{VERSION} root={root} {arguments}\ninitrd {INITRD}\n"
    files = {**debian(), GRUB: grub, INITRD: cpio({**drivers(VERSION), **inside})}
    found, _ = check_guest(linux_guest(files, volumes=(BOOT, *volumes)))
    assert all(f.severity is Severity.ERROR for f in found if f.rule == "IMS855")
    return [f.message for f in found if f.rule == "IMS855"]


@pytest.mark.parametrize("root", [f"UUID={ROOT.uuid}", "/dev/md0", "/dev/md/root", "LABEL=root",
                                  "/dev/mapper/vg-root", "/dev/vg/root"])  # fmt: skip
@pytest.mark.parametrize("maker", [TOOLS, DRACUT])
def test_a_root_that_only_a_raid_can_hold_needs_mdadm(root: str, maker: dict[str, bytes]) -> None:
    (message,) = of_inner(root, maker, MEMBERS)
    assert message == (
        f"{INITRD} has no program mdadm, and root={root} can only lie in partition 2, partition 3 "
        "(Linux RAID)"
    )
    assert of_inner(root, {**maker, **MDADM}, MEMBERS) == []
    assert of_inner(root, {}, MEMBERS) == [], "of a maker that is not known"
    assert of_inner(root, maker, (*MEMBERS, dataclasses.replace(CLOSED[0], name="x"))) == []
    assert of_inner(root, maker, ()) == []


@pytest.mark.parametrize("root", [f"UUID={BOOT.uuid}", "/dev/nfs", "/dev/mapper/root", "/dev/vda1",
                                  "/dev/mapper/mpatha", "/dev/bcache/a"])  # fmt: skip
def test_a_root_that_lies_elsewhere_needs_none(root: str) -> None:
    assert of_inner(root, TOOLS, MEMBERS) == []


@pytest.mark.parametrize(("arguments", "said_"), [
    ("rd.md=0", "says rd.md=0"), ("rd_NO_MD", "says rd_NO_MD"), ("rd.md=0 rd.md=1", None),
    ("rd.md=1", None), ("rd.md", None), ("rd.luks=0", None), ("rd.lvm=0", None),
    ("rd.md.uuid=5a1c0f3e:9b2d4c6a:8e7f0011:22334455", None),
    ("rd.md.uuid=00000000:9b2d4c6a:8e7f0011:22334455", "only what rd.md.uuid=00000000"),
    ("rd.md.uuid=00000000:0:0:0 rd.md.uuid=5a1c0f3e:9b2d4c6a:8e7f0011:22334455", None),
])  # fmt: skip
def test_dracut_assembles_only_what_it_is_to(arguments: str, said_: str | None) -> None:
    found = of_inner("/dev/md0", {**DRACUT, **MDADM}, MEMBERS, arguments)
    assert [said_ is not None and said_ in message for message in found] == [True] * bool(said_)
    assert of_inner("/dev/md0", {**TOOLS, **MDADM}, MEMBERS, arguments) == []


@pytest.mark.slow
def test_a_root_that_only_an_encrypted_volume_can_hold_needs_what_opens_it() -> None:
    for root in ("/dev/mapper/vda2_crypt", f"UUID={ROOT.uuid}", "/dev/mapper/luks-a"):
        (message,) = of_inner(root, TOOLS, CLOSED)
        assert "no program cryptsetup" in message
        assert of_inner(root, {**TOOLS, **CRYPTSETUP}, CLOSED) == []
        assert of_inner(root, {**DRACUT, "usr/lib/systemd/systemd-cryptsetup": b"x"}, CLOSED) == []
        assert of_inner(root, {"lib/mdev/x": b"x"}, CLOSED) == [], "mkinitfs has it built in"
        assert "rd.luks=0" in of_inner(root, {**DRACUT, **CRYPTSETUP}, CLOSED, "rd.luks=0")[0]
