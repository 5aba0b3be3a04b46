"""What the initramfs waits for."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imsprep.guest.model import Volume
from imsprep.report import Severity
from tests.support.guest.rules import bad, check_guest
from tests.support.guest.trees import ROOT, UUID, cpio, debian, drivers, linux_guest

VERSION = "4.19.0-27-amd64"
INITRD = f"/boot/initrd.img-{VERSION}"
DRACUT = {"etc/initrd-release": b"x", "usr/lib/dracut/modules.txt": b"x"}
WAITS = "var/lib/dracut/hooks/initqueue/finished/devexists-"
GONE = "99999999-2222-4333-8444-555555555555"
E, W = Severity.ERROR, Severity.WARNING


def dracut(**more: bytes) -> dict[str, Any]:
    return {INITRD: cpio({**DRACUT, **drivers(VERSION), **more})}


WAITING = {
    f"rd.md.uuid={GONE}": E, f"mount.usr=UUID={GONE}": E, "resume=/dev/sda2": W,
    f"rd.luks.uuid=luks-{GONE}": E, "rd.lvm.vg=old": E, "rd_LVM_VG=old": E, "rd_LVM_LV=old/root": E,
}  # fmt: skip


@pytest.mark.parametrize("argument", WAITING)
def test_what_dracut_waits_for_in_vain_is_found(argument: str) -> None:
    severity, message = bad(argument, **dracut())["IMS818"]
    assert severity is WAITING[argument]
    assert argument in message


def test_a_hook_of_dracut_that_waits_for_a_name_of_the_old_machine_is_found() -> None:
    hook = {WAITS + r"\x2fdev\x2fsda1.sh": b"x"}
    assert bad(**dracut(**hook))["IMS818"][0] is E


@pytest.mark.parametrize(("conf", "arguments", "found"), [
    (f"RESUME=UUID={GONE}\n", "", True), (f'RESUME="/dev/disk/by-uuid/{GONE}"\n', "", True),
    ("RESUME=none\n", "", False), (f"RESUME=UUID={GONE}\n", "noresume", False),
    (f"RESUME=UUID={GONE}\n", f"resume=UUID={UUID}", False),
])  # fmt: skip
def test_initramfs_tools_waits_for_the_disk_to_resume_from(
    conf: str, arguments: str, found: bool
) -> None:
    inside = {"scripts/functions": b"x", "conf/conf.d/resume": conf.encode()}
    said = bad(arguments, **{INITRD: cpio({**drivers(VERSION), **inside})})
    assert {rule: severity for rule, (severity, _) in said.items()} == (
        {"IMS818": W} if found else {}
    )
    assert all(GONE in message for _, message in said.values())


def test_what_the_initramfs_says_itself_is_said_of_the_initramfs() -> None:
    built_in = {"etc/cmdline.d/90lvm.conf": b"rd.lvm.lv=old/swap\n"}
    severity, message = bad(**dracut(**built_in))["IMS818"]
    assert severity is E
    assert message.startswith(f"{INITRD} (its own command line): rd.lvm.lv=old/swap is not in")
    hook = {WAITS + r"\x2fdev\x2fsda1.sh": b"x"}
    assert bad(**dracut(**hook))["IMS818"][1].startswith(f"{INITRD}: /dev/sda1 is a name")


@pytest.mark.parametrize(("inside", "options", "severity"), [
    ("cryptroot/crypttab", "luks", E), ("cryptroot/crypttab", "luks,nofail", None),
    ("etc/crypttab", "luks", W),
])  # fmt: skip
def test_a_disk_that_the_initramfs_opens_has_to_be_there(
    inside: str, options: str, severity: Severity | None
) -> None:
    tools = {"scripts/functions": b"x"} if "cryptroot" in inside else DRACUT
    line = f"data UUID={GONE} none {options}\n".encode()
    found = bad(**{INITRD: cpio({**tools, **drivers(VERSION), inside: line})})
    assert found.get("IMS818", (None, ""))[0] is severity
    assert all(f"{INITRD}: UUID={GONE}, from which its crypttab opens data," in m for _, m in found.values())  # fmt: skip


PHYSICAL = Volume("partition 1", 1 << 20, 1 << 30, "LVM", part_type="0x8e")
LOGICAL = dataclasses.replace(ROOT, name="LVM vg/root", offset=-1, part_type=None)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("rd.lvm.lv=vg/root", ""),
        ("rd.lvm.vg=vg", ""),
        # dracut's documentation names group and volume; the bare name is waited for below /dev.
        ("rd.lvm.vg=vg rd.lvm.lv=root", "rd.lvm.lv=root is not in the image (no group of LVM is"),
        ("rd.lvm.lv=vg/root rd.lvm.vg=other", "rd.lvm.vg=other is not in the image"),
    ],
)
@pytest.mark.parametrize("unread", [None, "its metadata is damaged"])
def test_dracut_waits_for_groups_of_lvm_too(arguments: str, found: str, unread: str | None) -> None:
    inside = {**DRACUT, **drivers(VERSION), "usr/sbin/lvm": b"x"}
    grub = f"linux /boot/vmlinuz-{VERSION} root=/dev/vg/root {arguments}\ninitrd {INITRD}\n"
    files = {**debian(), "/boot/grub/grub.cfg": grub, INITRD: cpio(inside)}
    volumes = (dataclasses.replace(PHYSICAL, unread=unread), LOGICAL)
    messages = [
        f.message for f in check_guest(linux_guest(files, volumes=volumes))[0] if f.rule == "IMS818"
    ]
    assert [found in message for message in messages] == [True] * bool(found and not unread)
