"""The root that the entry that starts names."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imsprep.guest.model import Volume
from imsprep.report import Severity
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import (
    EFI_AND_ROOT,
    ROOT,
    UUID,
    cpio,
    debian,
    drivers,
    linux_guest,
)

VERSION = "4.19.0-27-amd64"
INITRD = f"/boot/initrd.img-{VERSION}"
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


TOOLS = {"scripts/functions": b"x", "conf/initramfs.conf": b"x"}
DRACUT = {"etc/initrd-release": b"x", "usr/lib/dracut/modules.txt": b"x"}
BUILT_IN = {"etc/cmdline.d/00-root.conf": f"root=UUID={UUID}\n".encode()}


@pytest.mark.parametrize(("inside", "arguments", "more", "says"), [
    (TOOLS, "ro", {}, "initramfs-tools finds none"),
    (TOOLS, "ro boot=live", {}, None),
    (TOOLS, "ro nfsroot=10.0.0.1:/srv/root", {}, None),
    (TOOLS, "ro", {"/etc/initramfs-tools/conf.d/root": "ROOT=/dev/vda1\n"}, None),
    (TOOLS, "ro", {"/etc/initramfs-tools/initramfs.conf": "ROOT=/dev/vda1\n"}, None),
    (DRACUT, "ro", {}, "dracut finds none"),
    ({**DRACUT, **BUILT_IN}, "ro", {}, None),
    (DRACUT, "$kernelopts ro", {}, "dracut finds none (its line takes $kernelopts)"),
    ({}, "ro", {}, "the initramfs finds none"),
    ({}, "ro", {"/etc/os-release": "ID=talos\nNAME=Talos\n", "/etc/debian_version": None}, None),
])  # fmt: skip
def test_an_entry_without_a_root_finds_none(
    inside: dict[str, bytes], arguments: str, more: dict[str, str | None], says: str | None
) -> None:
    files = {**debian(), INITRD: cpio({**inside, **drivers(VERSION)}), **more}
    grub = files[GRUB]
    assert isinstance(grub, str)
    files[GRUB] = grub.replace(f"root=UUID={UUID} ro", arguments)
    kept = {path: content for path, content in files.items() if content is not None}
    found, skipped = check_guest(linux_guest(kept))
    messages = [f.message for f in found if f.rule == "IMS813"]
    assert len(messages) == (says is not None)
    assert all(f"has no root=, without which {says}" in message for message in messages)
    if says is None and not inside.keys() & BUILT_IN.keys():
        assert "IMS813" in {s.rule for s in skipped}


def test_systemd_finds_a_root_by_itself_where_the_firmware_is_uefi() -> None:
    files = {**debian(), INITRD: cpio({**DRACUT, **drivers(VERSION)})}
    grub = files[GRUB]
    assert isinstance(grub, str)
    stub = "search --fs-uuid --set=root {UUID}\nconfigfile ($root)/boot/grub/grub.cfg\n"
    files |= {GRUB: grub.replace(f"root=UUID={UUID} ro", "ro"), "/boot/efi/EFI/BOOT/BOOTX64.EFI": b"MZ",
              "/boot/efi/EFI/debian/grub.cfg": stub.replace("{UUID}", UUID)}  # fmt: skip
    found, skipped = check_guest(linux_guest(files, **EFI_AND_ROOT), hw_firmware_type="uefi")
    assert "IMS813" not in {f.rule for f in found}
    assert "IMS813" in {s.rule for s in skipped}


ARRAY = "5a1c0f3e-9b2d-4c6a-8e7f-001122334455"
MDADM_UUID = "5a1c0f3e:9b2d4c6a:8e7f0011:22334455"
MEMBERS = tuple(
    Volume(f"partition {n}", n << 30, 1 << 30, "Linux RAID", ARRAY) for n in (2, 3)
)  # fmt: skip


@pytest.mark.parametrize(
    ("root", "conf", "doubtful"),
    [
        ("/dev/md0", None, True),
        ("/dev/md0", "HOMEHOST <system>\nMAILADDR root\n", True),
        ("/dev/md0", f"ARRAY /dev/md1 metadata=1.2 UUID={MDADM_UUID}\n", True),
        ("/dev/md0", "ARRAY /dev/md0 UUID=00000000:9b2d4c6a:8e7f0011:22334455\n", True),
        ("/dev/md0", "# ARRAY /dev/md0\n", True),
        ("/dev/md/root", f"ARRAY metadata=1.2 UUID={MDADM_UUID}\n", True),
        ("/dev/md0", f"ARRAY /dev/md0 metadata=1.2 UUID={MDADM_UUID} name=a:0\n", False),
        ("/dev/md0", f"array /dev/md/0\n\tmetadata=1.2\n\tuuid={MDADM_UUID}\n", False),
        ("/dev/md/0", "ARRAY /dev/md0 devices=/dev/sda1,/dev/sdb1\n", False),
        ("/dev/md/root", f"ARRAY root UUID={MDADM_UUID}\n", False),
        (f"UUID={UUID}", None, False),
        ("/dev/md/vg/root", f"ARRAY vg/root UUID={MDADM_UUID}\n", False),
    ],
)
def test_an_array_that_no_line_names_may_get_another_name(
    root: str, conf: str | None, doubtful: bool
) -> None:
    tools = {"scripts/functions": b"x", "sbin/mdadm": b"x"}
    inside = {**drivers(VERSION), **tools}
    if conf is not None:
        inside["etc/mdadm/mdadm.conf"] = conf.encode()
    grub = f"linux /boot/vmlinuz-{VERSION} root={root}\ninitrd {INITRD}\n"
    files = {**debian(), GRUB: grub, INITRD: cpio(inside)}
    boot = dataclasses.replace(ROOT, uuid="33333333-2222-4333-8444-555555555555")
    found, _ = check_guest(linux_guest(files, volumes=(boot, *MEMBERS)))
    said = [(f.severity, f.message) for f in found if f.rule == "IMS812"]
    assert [severity for severity, _ in said] == [Severity.WARNING] * doubtful
    assert all("/dev/md127" in message and INITRD in message for _, message in said)


@pytest.mark.parametrize(
    ("label", "conf", "more", "severity"),
    [
        ("guest:0", "HOMEHOST <system>\n", {}, Severity.ERROR),
        ("guest:0", "MAILADDR root\n", {}, Severity.ERROR),
        ("guest:0", "HOMEHOST <ignore>\n", {}, Severity.WARNING),
        ("guest:0", "HOMEHOST guest\n", {}, Severity.WARNING),
        ("guest:0", f"ARRAY /dev/md1 UUID={MDADM_UUID}\n", {}, Severity.WARNING),
        ("0", "HOMEHOST <system>\n", {}, Severity.WARNING),
        (None, "HOMEHOST <system>\n", {}, Severity.WARNING),
        ("guest:0", "HOMEHOST <system>\n", {"arguments": "hostname=guest"}, Severity.WARNING),
        ("guest:0", "", {"maker": {"usr/lib/dracut/x": b""}}, Severity.WARNING),
        ("guest:0", "", {"root": "/dev/md/0"}, Severity.WARNING),
    ],
)
def test_an_array_of_another_host_surely_gets_another_name(
    label: str | None, conf: str, more: dict[str, Any], severity: Severity
) -> None:
    maker = more.get("maker", {"scripts/functions": b"x"})
    inside = {
        **drivers(VERSION),
        **maker,
        "sbin/mdadm": b"x",
        "etc/mdadm/mdadm.conf": conf.encode(),
    }
    root = f"{more.get('root', '/dev/md0')} {more.get('arguments', '')}"
    grub = f"linux /boot/vmlinuz-{VERSION} root={root}\ninitrd {INITRD}\n"
    files = {**debian(), GRUB: grub, INITRD: cpio(inside)}
    boot = dataclasses.replace(ROOT, uuid="33333333-2222-4333-8444-555555555555")
    members = [dataclasses.replace(member, label=label) for member in MEMBERS]
    found, _ = check_guest(linux_guest(files, volumes=(boot, *members)))
    assert [f.severity for f in found if f.rule == "IMS812"] == [severity]
