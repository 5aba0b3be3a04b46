"""IMS842: filters of LVM against the names that a server's disk gets."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imsprep.guest.model import Guest, Volume
from imsprep.report import Severity
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import ROOT, UUID, cpio, debian, drivers, linux_guest

VERSION = "4.19.0-27-amd64"
PHYSICAL = dataclasses.replace(ROOT, kind="LVM", uuid=None, part_uuid="AbCd-01")
LOGICAL = Volume("LVM vg/root", -1, 1 << 29, "ext4", UUID, clean=True)


def guest(conf: str, **more: Any) -> Guest:
    files = {**debian(), "/etc/lvm/lvm.conf": conf, **more}
    return linux_guest(files, volumes=(PHYSICAL, LOGICAL), root=LOGICAL.name)


def verdict(conf: str, **more: Any) -> Severity | None:
    findings, _ = check_guest(guest(conf, **more))
    return next((f.severity for f in findings if f.rule == "IMS842"), None)


@pytest.mark.parametrize(
    "value",
    ['[ "a|^/dev/sda.*|", "r|.*|" ]', '[ "a|/dev/disk/by-id/scsi-36000c29|", "r/.*/" ]',
     '"r|/dev/vd.*|", "r|.*|"', '[ "r|^/dev/|" ]'],
)  # fmt: skip
def test_a_filter_that_keeps_the_servers_disk_out_is_found(value: str) -> None:
    brackets = value if value.startswith("[") else f"[ {value} ]"
    assert verdict(f"devices {{\n\tfilter = {brackets}\n}}\n") is Severity.WARNING
    assert verdict(f"devices {{\n\tglobal_filter = {brackets}\n}}\n") is Severity.WARNING


@pytest.mark.parametrize(
    "value",
    ['[ "a|.*|" ]', '[ "a|^/dev/sd|", "a|^/dev/vd|", "r|.*|" ]', '[ "r|/dev/zd.*|", "r|/dev/drbd|" ]',
     '[ "a|/dev/disk/by-partuuid/abcd-01|", "r|.*|" ]', '[ "a|/dev/disk/by-id/.*|", "r|.*|" ]'],
)  # fmt: skip
def test_a_filter_that_lets_one_of_its_names_through_is_not(value: str) -> None:
    assert verdict(f"devices {{\n\tfilter = {value}\n}}\n") is None


def test_a_remark_is_no_filter_and_the_local_file_has_the_last_word() -> None:
    shut = 'devices {\n\tfilter = [ "a|/dev/sda|", "r|.*|" ]\n}\n'
    assert verdict('devices {\n\t# filter = [ "r|.*|" ]\n}\n') is None
    local = {"/etc/lvm/lvmlocal.conf": 'devices {\n\tfilter = [ "a|.*|" ]\n}\n'}
    assert verdict(shut, **local) is None


def test_a_filter_in_the_initramfs_of_a_root_on_lvm_stops_the_boot() -> None:
    image = cpio({**drivers(VERSION), "etc/lvm/lvm.conf": b"x"})
    shut = 'devices {\n\tfilter = [ "a|/dev/sda|", "r|.*|" ]\n}\n'
    assert verdict(shut, **{f"/boot/initrd.img-{VERSION}": image}) is Severity.ERROR


def test_what_is_not_understood_is_skipped() -> None:
    for conf in ('devices { filter = [ "a|(|" ] }', "devices { filter = "):
        _, skipped = check_guest(guest(conf))
        assert "IMS842" in {s.rule for s in skipped}


DEVICES = "/etc/lvm/devices/system.devices"
FILE = "VERSION=1.1.2\nIDTYPE=sys_wwid IDNAME=t10.ATA_VMware DEVNAME=/dev/sda3 PVID=abc PART=3\n"


@pytest.mark.parametrize(("conf", "inside", "severity"), [
    ("", True, None),  # Debian builds LVM without it
    ("devices { use_devicesfile = 0 }\n", True, None),
    ("devices { use_devicesfile = 1 }\n", False, Severity.WARNING),
    ("devices { use_devicesfile = 1 }\n", True, Severity.ERROR),
])  # fmt: skip
def test_a_devices_file_counts_where_it_is_used_and_stops_where_the_initramfs_has_it(
    conf: str, inside: bool, severity: Severity | None
) -> None:
    kept = {DEVICES.removeprefix("/"): b"x"} if inside else {}
    image = cpio({**drivers(VERSION), **kept})
    more = {DEVICES: FILE, f"/boot/initrd.img-{VERSION}": image}
    assert verdict(conf, **more) is severity
