"""The entry that starts: its initramfs, what it waits for, its modules, and what GRUB reads."""

from __future__ import annotations

import dataclasses
import gzip
from typing import Any

import pytest

from imsprep.guest.model import Volume
from imsprep.report import Severity
from tests.support.guest_rules import check_guest
from tests.support.guest_trees import (
    ROOT,
    UUID,
    VIRTIO,
    cpio,
    debian,
    drivers,
    linux_guest,
    modules,
)

VERSION, OTHER = "4.19.0-27-amd64", "4.19.0-26-amd64"
INITRD, GRUB = f"/boot/initrd.img-{VERSION}", "/boot/grub/grub.cfg"
DRACUT = {"etc/initrd-release": b"x", "usr/lib/dracut/modules.txt": b"x"}
WAITS = "var/lib/dracut/hooks/initqueue/finished/devexists-"
GONE = "99999999-2222-4333-8444-555555555555"
E, W = Severity.ERROR, Severity.WARNING

MODULE = "/boot/grub/i386-pc/ext2.mod"
NORMAL = {"/boot/grub/i386-pc/normal.mod": b"\x002.06-13\0"}
OLD, NEW = 0x103D6, 0x163D6  # what the ext2.c of GRUB 2.06 reads, and that of 2.12


def reads(mask: int) -> dict[str, Any]:
    return {MODULE: b"\xa9" + (~mask & 0xFFFFFFFF).to_bytes(4, "little")}


@pytest.mark.parametrize(("more", "features", "severity", "said"), [
    (reads(OLD), ("64bit", "metadata_csum_seed"), Severity.ERROR, "metadata_csum_seed, which the ext4"),
    (reads(NEW), ("64bit", "metadata_csum_seed", "large_dir"), None, ""),
    (reads(NEW), ("inline_data",), Severity.ERROR, "does not read inline_data"),
    ({}, ("metadata_csum_seed",), Severity.WARNING, "GRUB 2.06-13 does not know"),
    ({}, ("64bit",), None, ""),
])  # fmt: skip
def test_what_grubs_module_refuses_is_an_error_and_its_version_a_warning(
    more: dict[str, Any], features: tuple[str, ...], severity: Severity | None, said: str
) -> None:
    volume = dataclasses.replace(ROOT, features=features)
    findings, skipped = check_guest(linux_guest({**debian(), **NORMAL, **more}, volumes=(volume,)))
    found = [(f.severity, f.message) for f in findings if f.rule == "IMS840"]
    assert [s for s, _ in found] == ([severity] if severity is not None else [])
    assert all(said in message for _, message in found)
    assert "IMS840" not in {s.rule for s in skipped}


def bad(arguments: str = "", **more: Any) -> dict[str, tuple[Severity, str]]:
    files = {**debian(), **more}
    text = files[GRUB]
    assert isinstance(text, str)
    files[GRUB] = text.replace(" ro ", f" ro {arguments} ")
    kept = {path: content for path, content in files.items() if content is not None}
    found, _ = check_guest(linux_guest(kept))
    return {f.rule: (f.severity, f.message) for f in found if f.severity > Severity.NOTE}


def dracut(**more: bytes) -> dict[str, Any]:
    return {INITRD: cpio({**DRACUT, **drivers(VERSION), **more})}


def test_an_initramfs_of_another_kernel_has_no_driver_for_this_one() -> None:
    found = bad(**{INITRD: cpio(drivers(OTHER))})
    assert found["IMS814"][1] == f"{INITRD} holds drivers for kernel {OTHER}, and {VERSION} starts"
    both = cpio({**drivers(OTHER), **drivers(VERSION)})
    assert bad(**{INITRD: both}) == {}


def test_an_initramfs_of_another_kernel_does_no_harm_where_the_drivers_are_built_in() -> None:
    built_in = "".join(f"kernel/{name}.ko\n" for name in VIRTIO)
    lists = {**modules(VERSION, ["ext4"]), f"/lib/modules/{VERSION}/modules.builtin": built_in}
    assert bad(**{INITRD: cpio(drivers(OTHER)), **lists}) == {}


def test_a_kernel_whose_modules_are_gone_is_found() -> None:
    without = {f"/lib/modules/{VERSION}/modules.dep": None}
    found = bad(**without, **modules(OTHER))
    assert found["IMS849"][0] is W
    assert f"/lib/modules has only {OTHER}" in found["IMS849"][1]
    no_network = cpio(drivers(VERSION, [n for n in VIRTIO if n != "virtio_net"]))
    assert bad(**without, **modules(OTHER), **{INITRD: no_network})["IMS849"][0] is E
    assert "IMS849" not in bad(**without), "a system that keeps its modules elsewhere"


@pytest.mark.parametrize(
    "argument",
    ["rd.driver.blacklist=virtio_blk", "modprobe.blacklist=nouveau,virtio-pci", "module_blacklist=virtio"],
)  # fmt: skip
def test_a_driver_of_the_disk_that_may_not_load_is_found(argument: str) -> None:
    assert argument in bad(argument)["IMS814"][1]
    assert bad("modprobe.blacklist=nouveau,virtio_balloon") == {}


WAITING = {
    f"rd.md.uuid={GONE}": E, f"mount.usr=UUID={GONE}": E, "resume=/dev/sda2": W,
    f"rd.luks.uuid=luks-{GONE}": E,
}  # fmt: skip


@pytest.mark.parametrize("argument", WAITING)
def test_what_dracut_waits_for_in_vain_is_found(argument: str) -> None:
    severity, message = bad(argument, **dracut())["IMS818"]
    assert severity is WAITING[argument]
    assert argument in message


def test_a_hook_of_dracut_that_waits_for_a_name_of_the_old_machine_is_found() -> None:
    hook = {WAITS + r"\x2fdev\x2fsda1.sh": b"x"}
    assert bad(**dracut(**hook))["IMS818"][0] is E


def test_an_initramfs_that_is_cut_off_is_damaged() -> None:
    whole = gzip.compress(cpio(drivers(VERSION)))
    for data in (whole[: len(whole) // 2], whole[:60] + bytes(40) + whole[100:]):
        found = bad(**{INITRD: data})
        assert list(found) == ["IMS816"]
        assert f"{INITRD} is damaged" in found["IMS816"][1]
    assert bad(**{INITRD: whole + bytes(512)}) == {}, "padding does no harm"


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
