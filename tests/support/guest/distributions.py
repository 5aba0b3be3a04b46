"""Trees of other distributions, with the file names and formats that they really have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.guest.trees import (
    ELF_X86_64,
    UUID,
    Link,
    cpio,
    drivers,
    kernel,
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
FAMILY = {
    "centos6": ("/lib/udev/rules.d/75-persistent-net-generator.rules", "ACTION=...\n"),
    "centos7": ("/etc/sysconfig/network", "NETWORKING=yes\n"),
    "sles12": ("/etc/sysconfig/network/dhcp", 'DHCLIENT_SET_HOSTNAME="no"\n'),
    "ubuntu": ("/etc/cloud/cloud.cfg.d/99_x.cfg", "manage_etc_hosts: true\n"),
}
