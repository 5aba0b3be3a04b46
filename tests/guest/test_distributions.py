"""Trees of other distributions, with the file names and formats that they really have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imsprep.cloud.sites import SITES
from imsprep.guest.linux.cloud_init import default_entries
from imsprep.guest.linux.network import interfaces
from imsprep.guest.linux.os_release import fitting, identify
from imsprep.report import Severity
from tests.support.guest_rules import check_guest as check
from tests.support.guest_trees import (
    ELF_X86_64,
    UUID,
    VIRTIO,
    Link,
    cpio,
    drivers,
    kernel,
    linux_guest,
    modules,
)

FSTAB = f"UUID={UUID} / ext4 defaults 0 0\n"
CLOUD = {
    "/usr/bin/cloud-init": "#!/usr/bin/python3\n",
    "/etc/cloud/cloud.cfg": (
        "datasource_list: [ OpenStack ]\ndatasource:\n  OpenStack:\n"
        "    metadata_urls: ['http://169.254.169.254']\n    max_wait: 120\n    timeout: 5\n"
        "    apply_network_config: false\nnetwork: {config: disabled}\n"
        "manage_etc_hosts: localhost\n"
    ),
    "/etc/systemd/system/multi-user.target.wants/cloud-init.service": Link(
        "/usr/lib/systemd/system/cloud-init.service"
    ),
}
COMMON: dict[str, Any] = {
    "/bin/sh": ELF_X86_64,
    "/etc/fstab": FSTAB,
    "/etc/shadow": "root:!!:17000:0:99999:7:::\n",
    "/etc/ssh/sshd_config": "PasswordAuthentication no\nPermitRootLogin no\n",
    **CLOUD,
}

CENTOS6 = "2.6.32-754.el6.x86_64"
CENTOS7 = "3.10.0-1160.el7.x86_64"
RHEL9 = "5.14.0-427.el9.x86_64"
SLES = "4.12.14-122-default"
UBUNTU = "5.15.0-107-generic"
ALPINE = "6.6.32-0-virt"
BLS_ID = "0123456789abcdef0123456789abcdef"

TREES: dict[str, Mapping[str, Any]] = {
    "centos6": {
        **COMMON,
        "/etc/systemd/system/multi-user.target.wants/cloud-init.service": None,
        "/etc/rc.d/rc3.d/S51cloud-init": Link("../init.d/cloud-init"),
        "/etc/redhat-release": "CentOS release 6.10 (Final)\n",
        "/etc/centos-release": "CentOS release 6.10 (Final)\n",
        "/boot/grub/grub.conf": (
            "default=0\ntimeout=5\ntitle CentOS\n\troot (hd0,0)\n"
            f"\tkernel /boot/vmlinuz-{CENTOS6} ro root=UUID={UUID} console=ttyS0,115200\n"
            f"\tinitrd /boot/initramfs-{CENTOS6}.img\n"
        ),
        "/boot/grub/menu.lst": Link("./grub.conf"),
        "/etc/sysconfig/network-scripts/ifcfg-eth0": (
            'DEVICE="eth0"\nBOOTPROTO=dhcp\nONBOOT=yes\nTYPE=Ethernet\nPERSISTENT_DHCLIENT="y"\n'
        ),
        "/etc/sysconfig/network": "NETWORKING=yes\nNOZEROCONF=yes\n",
        "/lib/udev/rules.d/75-persistent-net-generator.rules": "",
        "/etc/sysconfig/network-scripts/ifcfg-lo": "DEVICE=lo\nIPADDR=127.0.0.1\n",
        **kernel(CENTOS6, f"/boot/initramfs-{CENTOS6}.img"),
    },
    "centos7": {
        **COMMON,
        "/etc/os-release": 'NAME="CentOS Linux"\nVERSION_ID="7"\nID="centos"\nPRETTY_NAME="CentOS Linux 7 (Core)"\n',
        "/etc/centos-release": "CentOS Linux release 7.7.1908 (Core)\n",
        "/boot/grub2/grub.cfg": (
            f"menuentry 'CentOS' {{\n\tlinux16 /boot/vmlinuz-{CENTOS7} root=UUID={UUID} ro "
            f"console=ttyS0\n\tinitrd16 /boot/initramfs-{CENTOS7}.img\n}}\n"
        ),
        "/etc/sysconfig/network-scripts/ifcfg-eth0": (
            "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\nPERSISTENT_DHCLIENT=y\n"
        ),
        "/etc/sysconfig/network": "NOZEROCONF=yes\n",
        **kernel(CENTOS7, f"/boot/initramfs-{CENTOS7}.img"),
    },
    "rhel9": {
        **COMMON,
        "/etc/os-release": 'NAME="Red Hat Enterprise Linux"\nVERSION_ID="9.4"\nID="rhel"\nPRETTY_NAME="Red Hat Enterprise Linux 9.4 (Plow)"\n',
        "/boot/grub2/grub.cfg": "load_env\ninsmod blscfg\nblscfg\n",
        "/boot/grub2/grubenv": (
            f"# GRUB Environment Block\nkernelopts=root=UUID={UUID} ro console=ttyS0,115200n8\n####"
        ),
        f"/boot/loader/entries/{BLS_ID}-{RHEL9}.conf": (
            f"title Red Hat Enterprise Linux\nversion {RHEL9}\nlinux /boot/vmlinuz-{RHEL9}\n"
            f"initrd /boot/initramfs-{RHEL9}.img\noptions $kernelopts $tuned_params\n"
            "grub_users $grub_users\n"
        ),
        "/etc/NetworkManager/system-connections/eth0.nmconnection": (
            "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=auto\n"
        ),
        **kernel(RHEL9, f"/boot/initramfs-{RHEL9}.img"),
    },
    "sles12": {
        **COMMON,
        "/etc/os-release": 'NAME="SLES"\nVERSION_ID="12.5"\nID="sles"\nPRETTY_NAME="SUSE Linux Enterprise Server 12 SP5"\n',
        "/boot/grub2/grub.cfg": (
            f"\tlinux /boot/vmlinuz-{SLES} root=UUID={UUID} console=ttyS0,115200\n"
            f"\tinitrd /boot/initrd-{SLES}\n"
        ),
        "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
        "/etc/sysconfig/network/dhcp": (
            'DHCLIENT_USE_LAST_LEASE="no"\nDHCLIENT_SET_HOSTNAME="no"\n'
        ),
        "/etc/sysconfig/network/ifcfg-lo": "IPADDR=127.0.0.1/8\nSTARTMODE='nfsroot'\n",
        **kernel(SLES, f"/boot/initrd-{SLES}"),
    },
    "ubuntu": {
        **COMMON,
        "/etc/os-release": 'NAME="Ubuntu"\nVERSION_ID="18.04"\nID=ubuntu\nPRETTY_NAME="Ubuntu 18.04.6 LTS"\n',
        "/boot/grub/grub.cfg": (
            f"\tlinux\t/boot/vmlinuz-{UBUNTU} root=UUID={UUID} ro console=ttyS0\n"
            f"\tinitrd\t/boot/initrd.img-{UBUNTU}\n"
        ),
        "/etc/netplan/50-cloud-init.yaml": (
            "network:\n  version: 2\n  ethernets:\n    ens3:\n      dhcp4: true\n"
        ),
        **kernel(UBUNTU, f"/boot/initrd.img-{UBUNTU}"),
    },
    "alpine": {
        **COMMON,
        "/etc/systemd/system/multi-user.target.wants/cloud-init.service": None,
        "/etc/runlevels/default/cloud-init": Link("/etc/init.d/cloud-init"),
        "/etc/os-release": 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.0\nPRETTY_NAME="Alpine Linux v3.20"\n',
        "/boot/extlinux.conf": (
            "DEFAULT menu.c32\nLABEL virt\n  MENU LABEL Linux virt\n  LINUX vmlinuz-virt\n"
            f"  INITRD initramfs-virt\n  APPEND root=UUID={UUID} modules=sd-mod,ext4 console=ttyS0\n"
        ),
        "/etc/network/interfaces": "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
        "/boot/vmlinuz-virt": b"MZ",
        "/boot/initramfs-virt": cpio(drivers(ALPINE)),
        **modules(ALPINE),
    },
}  # fmt: skip
for _tree in TREES.values():
    for _path in [path for path, content in _tree.items() if content is None]:
        del _tree[_path]

OS_VERSIONS = {
    "centos6": "CentOS 6.10 64bit",
    "centos7": "CentOS 7.7 64bit",
    "rhel9": None,
    "sles12": "SUSE Linux Enterprise Server 12 SP5 64bit",
    "ubuntu": "Ubuntu 18.04 server 64bit",
    "alpine": None,
}


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


STATIC = {
    "centos7": ("/etc/sysconfig/network-scripts/ifcfg-eth0",
                "DEVICE=eth0\nBOOTPROTO=static\nIPADDR=10.0.0.2\nONBOOT=yes\n"),
    "rhel9": ("/etc/NetworkManager/system-connections/eth0.nmconnection",
              "[connection]\nid=eth0\ntype=ethernet\n[ipv4]\nmethod=manual\naddress1=10.0.0.2/24\n"),
    "sles12": ("/etc/sysconfig/network/ifcfg-eth0",
               "BOOTPROTO='static'\nIPADDR='10.0.0.2/24'\nSTARTMODE='auto'\n"),
    "ubuntu": ("/etc/netplan/50-cloud-init.yaml",
               "network:\n  ethernets:\n    ens3:\n      addresses: [10.0.0.2/24]\n"),
    "alpine": ("/etc/network/interfaces",
               "auto eth0\niface eth0 inet static\n\taddress 10.0.0.2/24\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", STATIC)
def test_a_fixed_address_is_found_in_every_format(name: str) -> None:
    path, text = STATIC[name]
    findings, _ = check(linux_guest({**TREES[name], path: text}), os_version="Other")
    assert {f.rule for f in findings} - {"IMS802"} == {"IMS822"}


BOUND = {
    "centos7": ("/etc/sysconfig/network-scripts/ifcfg-eth0",
                "BOOTPROTO=dhcp\nHWADDR=52:54:00:12:34:56\nPERSISTENT_DHCLIENT=y\n"),
    "rhel9": ("/etc/NetworkManager/system-connections/eth0.nmconnection",
              "[connection]\ntype=ethernet\n[ethernet]\nmac-address=52:54:00:12:34:56\n[ipv4]\nmethod=auto\n"),
    "ubuntu": ("/etc/netplan/50-cloud-init.yaml",
               "network:\n  ethernets:\n    ens3:\n      dhcp4: true\n      match: {macaddress: '52:54:00:12:34:56'}\n"),
    "alpine": ("/etc/systemd/network/10-lan.network",
               "[Match]\nMACAddress=52:54:00:12:34:56\n[Network]\nDHCP=yes\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUND)
def test_a_card_that_is_bound_is_found_in_every_format(name: str) -> None:
    path, text = BOUND[name]
    findings, _ = check(linux_guest({**TREES[name], path: text}), os_version="Other")
    assert {f.rule: f.severity for f in findings if f.rule != "IMS802"} == {
        "IMS823": Severity.WARNING
    }


@pytest.mark.parametrize(
    "text", ["a: &a [*a, *a]", "[" * 5000, "\t", "network: 5", "network: {ethernets: [1]}", "!!python/object:os.system {}"]
)  # fmt: skip
def test_odd_yaml_is_no_configuration(text: str) -> None:
    assert interfaces(linux_guest({"/etc/netplan/x.yaml": text})) == []


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


FAMILY = {
    "centos6": ("/lib/udev/rules.d/75-persistent-net-generator.rules", "ACTION=...\n"),
    "centos7": ("/etc/sysconfig/network", "NETWORKING=yes\n"),
    "sles12": ("/etc/sysconfig/network/dhcp", 'DHCLIENT_SET_HOSTNAME="no"\n'),
    "ubuntu": ("/etc/cloud/cloud.cfg.d/99_x.cfg", "manage_etc_hosts: true\n"),
}


@pytest.mark.parametrize("name", FAMILY)
def test_a_setting_of_the_family_is_asked_for(name: str) -> None:
    path, text = FAMILY[name]
    findings, _ = check(
        linux_guest({**TREES[name], path: text}), os_version=OS_VERSIONS[name] or ""
    )
    assert [f.rule for f in findings] == ["IMS839"]


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


def test_settings_of_cloud_init_are_merged_all_the_way_down() -> None:
    more = {"/etc/cloud/cloud.cfg.d/50_x.cfg": "datasource: {OpenStack: {max_wait: 9}}\n",
            "/etc/cloud/cloud.cfg.d/60_x.cfg": "datasource: {OpenStack: {max_wait: 120}}\n"}  # fmt: skip
    assert severities({**TREES["ubuntu"], **more}, "ubuntu") == {}


def test_more_yaml_than_anyone_writes_is_skipped_and_not_passed() -> None:
    many = {f"/etc/cloud/cloud.cfg.d/{n:02}.cfg": "x: [1, 2]\n" * 3000 for n in range(9)}
    _, skipped = check(linux_guest({**TREES["ubuntu"], **many}), os_version=OS_VERSIONS["ubuntu"])
    assert {"IMS827", "IMS828"} <= {s.rule for s in skipped}


def test_the_service_pack_of_an_old_suse_is_part_of_its_version() -> None:
    text = "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n"
    system = identify(linux_guest({"/etc/SuSE-release": text}))
    assert system is not None
    assert (system.family, system.version) == ("sles", (11, 4))
