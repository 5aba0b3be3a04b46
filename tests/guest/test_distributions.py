"""Trees of other distributions, with the file names and formats that they really have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from imsprep.cloud.sites import SITES
from imsprep.guest.linux.cloud_init import default_entries
from imsprep.guest.linux.network import interfaces
from imsprep.guest.linux.os_release import fitting, identify
from imsprep.report import Severity
from tests.support.guest.distributions import (
    FAMILY,
    OS_VERSIONS,
    TREES,
)
from tests.support.guest.rules import check_guest as check
from tests.support.guest.trees import (
    UUID,
    VIRTIO,
    cpio,
    drivers,
    linux_guest,
)


@pytest.mark.parametrize("name", TREES)
def test_a_well_prepared_system_has_no_finding_but_that_its_site_does_not_know_it(
    name: str,
) -> None:
    guest = linux_guest(TREES[name])
    findings, skipped = check(guest, os_version=OS_VERSIONS[name] or "Other(64 bit)")
    assert [f.rule for f in findings] == ([] if OS_VERSIONS[name] else ["IMS802"])
    assert skipped == []


@pytest.mark.parametrize("name", TREES)
def test_the_fitting_os_version_is_told(name: str) -> None:
    system = identify(linux_guest(TREES[name]))
    assert system is not None
    found = fitting(system, list(SITES["otc"].os_versions.all))
    assert (found[0] if found else None) == OS_VERSIONS[name]


@pytest.mark.parametrize("name", TREES)
def test_the_command_line_and_the_interface_are_found(name: str) -> None:
    guest = linux_guest(TREES[name])
    lines = default_entries(guest)
    assert [line.value("root") for line in lines] == [f"UUID={UUID}"]
    assert [(i.dhcp, i.starts, i.mac) for i in interfaces(guest)] == [(True, True, None)]


BOOT_FILES = {
    "centos6": "/boot/grub/grub.conf",
    "centos7": "/boot/grub2/grub.cfg",
    "rhel9": "/boot/grub2/grubenv",
    "sles12": "/boot/grub2/grub.cfg",
    "ubuntu": "/boot/grub/grub.cfg",
    "alpine": "/boot/extlinux.conf",
}


@pytest.mark.parametrize("name", TREES)
def test_a_root_by_name_is_found_in_every_boot_loader(name: str) -> None:
    path = BOOT_FILES[name]
    files = {**TREES[name], path: TREES[name][path].replace(f"UUID={UUID}", "/dev/sda1")}
    findings, _ = check(linux_guest(files), os_version=OS_VERSIONS[name] or "Other")
    assert {f.rule for f in findings} - {"IMS802"} == {"IMS812"}


@pytest.mark.parametrize("name", TREES)
def test_a_missing_driver_is_found_in_every_initramfs(name: str) -> None:
    guest = linux_guest(TREES[name])
    path, version = guest.kernels[0].initramfs, guest.kernels[0].version
    assert path is not None
    files = {**TREES[name], path: cpio(drivers(version, [n for n in VIRTIO if n != "virtio_blk"]))}
    findings, _ = check(linux_guest(files), os_version=OS_VERSIONS[name] or "Other")
    assert {f.rule for f in findings} - {"IMS802"} == {"IMS814"}


LAUGHS = "a0: &a0 [x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)
MERGES = "a0: &a0 {k: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 30)
)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/cloud/cloud.cfg", LAUGHS + "datasource_list: *a29\n"),
        ("/etc/cloud/cloud.cfg", LAUGHS + "datasource: {OpenStack: {max_wait: *a29}}\n"),
        ("/etc/cloud/cloud.cfg", MERGES),
        (
            "/etc/netplan/x.yaml",
            LAUGHS + "network: {ethernets: {e: {match: {macaddress: *a29}}}}\n",
        ),
        ("/etc/network/interfaces", "\n" * 250_000),
        ("/etc/netplan/x.yaml", "\n" * 250_000),
        ("/etc/redhat-release", "CentOS " * 30_000),
        ("/boot/grub2/grub.cfg", "kernelopts" * 25_000),
        ("/boot/grub2/grub.cfg", "\tlinux " + "$" * 250_000),
        ("/boot/grub/grub.conf", "kernel " + "--x " * 60_000),
        ("/etc/fstab", "UUID=" * 50_000 + " / ext4"),
        ("/etc/fstab", "/dev/sda1 / ext4\n" * 15_000),
        ("/etc/sysconfig/network-scripts/ifcfg-e", "'" * 250_000),
        ("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n" * 5_000),
    ],
)
@pytest.mark.slow
def test_texts_that_are_made_to_be_slow_come_to_an_end(path: str, text: str) -> None:
    guest = linux_guest({**TREES["centos7"], path: text})
    findings, _ = check(guest, os_version="Other")
    assert all(len(f.message) < 1000 for f in findings)


@pytest.mark.parametrize("name", FAMILY)
def test_a_setting_of_the_family_is_asked_for(name: str) -> None:
    path, text = FAMILY[name]
    findings, _ = check(
        linux_guest({**TREES[name], path: text}), os_version=OS_VERSIONS[name] or ""
    )
    assert [f.rule for f in findings] == ["IMS839"]
    assert re.search(" does not set .*[=:]| is not empty: ", findings[0].message)


def severities(files: Mapping[str, Any], name: str) -> dict[str, Severity]:
    findings, _ = check(linux_guest(files), os_version=OS_VERSIONS[name] or "Other")
    return {f.rule: f.severity for f in findings if f.rule != "IMS802"}


def test_settings_of_cloud_init_are_merged_all_the_way_down() -> None:
    more = {"/etc/cloud/cloud.cfg.d/50_x.cfg": "datasource: {OpenStack: {max_wait: 9}}\n",
            "/etc/cloud/cloud.cfg.d/60_x.cfg": "datasource: {OpenStack: {max_wait: 120}}\n"}  # fmt: skip
    assert severities({**TREES["ubuntu"], **more}, "ubuntu") == {}


@pytest.mark.slow
def test_more_yaml_than_anyone_writes_is_skipped_and_not_passed() -> None:
    many = {f"/etc/cloud/cloud.cfg.d/{n:02}.cfg": "x: [1, 2]\n" * 3000 for n in range(9)}
    _, skipped = check(linux_guest({**TREES["ubuntu"], **many}), os_version=OS_VERSIONS["ubuntu"])
    assert {"IMS827", "IMS828"} <= {s.rule for s in skipped}


def test_the_service_pack_of_an_old_suse_is_part_of_its_version() -> None:
    text = "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n"
    system = identify(linux_guest({"/etc/SuSE-release": text}))
    assert system is not None
    assert (system.family, system.version) == ("sles", (11, 4))


def test_the_service_pack_of_euleros_is_the_second_number_of_its_version() -> None:
    text = 'ID="euleros"\nVERSION="2.0 (SP5)"\nVERSION_ID="2.0"\n'
    files = {"/etc/os-release": text, "/etc/euleros-release": "EulerOS release 2.0 (SP5)\n"}
    system = identify(linux_guest(files))
    assert system is not None
    assert (system.family, system.version) == ("euleros", (2, 5))
