"""How a guest's interfaces get their addresses, in each of the formats that say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imsprep.guest.linux.network import interfaces
from imsprep.report import Severity
from tests.support.guest.distributions import (
    BOUND,
    OS_VERSIONS,
    STATIC,
    TREES,
)
from tests.support.guest.rules import check_guest as check
from tests.support.guest.trees import (
    ELF_X86_64,
    Link,
    linux_guest,
)


@pytest.mark.parametrize("name", STATIC)
def test_a_fixed_address_is_found_in_every_format(name: str) -> None:
    path, text = STATIC[name]
    findings, _ = check(linux_guest({**TREES[name], path: text}), os_version="Other")
    assert {f.rule for f in findings} - {"IMS802"} == {"IMS822"}


@pytest.mark.parametrize("name", BOUND)
def test_a_card_that_is_bound_is_found_in_every_format(name: str) -> None:
    path, text = BOUND[name]
    findings, _ = check(linux_guest({**TREES[name], path: text}), os_version="Other")
    assert {f.rule: f.severity for f in findings if f.rule != "IMS802"} == {
        "IMS823": Severity.WARNING
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["a: &a [*a, *a]", "[" * 5000, "\t", "network: 5", "network: {ethernets: [1]}", "!!python/object:os.system {}"]
)  # fmt: skip
def test_odd_yaml_is_no_configuration(text: str) -> None:
    assert interfaces(linux_guest({"/etc/netplan/x.yaml": text})) == []


def severities(files: Mapping[str, Any], name: str) -> dict[str, Severity]:
    findings, _ = check(linux_guest(files), os_version=OS_VERSIONS[name] or "Other")
    return {f.rule: f.severity for f in findings if f.rule != "IMS802"}


def test_a_later_file_of_netplan_changes_an_earlier_one() -> None:
    first = "network: {ethernets: {ens3: {dhcp4: false, addresses: [10.0.0.2/24]}}}\n"
    assert severities({**TREES["ubuntu"], "/etc/netplan/00-installer.yaml": first}, "ubuntu") == {}
    later = {
        **TREES["ubuntu"],
        "/etc/netplan/99-static.yaml": "network: {ethernets: {ens3: {dhcp4: no}}}\n",
    }
    assert severities(later, "ubuntu") == {"IMS822": Severity.WARNING}


def test_a_file_of_systemd_networkd_needs_the_service() -> None:
    files = {p: t for p, t in TREES["alpine"].items() if p != "/etc/network/interfaces"}
    files["/etc/systemd/network/10-lan.network"] = "[Match]\nName=e*\n[Network]\nDHCP=ipv4\n"
    assert severities(files, "alpine") == {"IMS824": Severity.WARNING}
    files["/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"] = Link(
        "/usr/lib/systemd/system/systemd-networkd.service")  # fmt: skip
    assert severities(files, "alpine") == {}


def test_network_manager_brings_up_what_no_profile_names_unless_it_is_told_not_to() -> None:
    files = {p: t for p, t in TREES["rhel9"].items() if "system-connections" not in p}
    assert severities(files, "rhel9") == {"IMS824": Severity.WARNING}
    files["/usr/sbin/NetworkManager"] = ELF_X86_64
    assert severities(files, "rhel9") == {}
    files["/usr/lib/NetworkManager/conf.d/00-server.conf"] = "[main]\nno-auto-default=*\n"
    assert severities(files, "rhel9") == {"IMS824": Severity.WARNING}


def test_debians_cloud_images_bring_up_any_card() -> None:
    files = {**TREES["ubuntu"], "/etc/network/cloud-ifupdown-helper": "#!/bin/sh\n"}
    del files["/etc/netplan/50-cloud-init.yaml"]
    assert severities(files, "ubuntu") == {}


def test_a_link_file_that_names_one_card_is_found() -> None:
    link = "[Match]\nMACAddress=52:54:00:12:34:56\n[Link]\nName=eth0\n"
    files = {**TREES["ubuntu"], "/etc/systemd/network/70-eth0.link": link}
    assert severities(files, "ubuntu") == {"IMS823": Severity.WARNING}
    harmless = {
        **TREES["ubuntu"],
        "/etc/systemd/network/99-default.link": "[Match]\nOriginalName=*\n",
    }
    assert severities(harmless, "ubuntu") == {}
