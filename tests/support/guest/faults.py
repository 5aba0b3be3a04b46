"""Faults of a Linux system, each planted into the well-prepared tree with the finding that it makes."""

from __future__ import annotations

from typing import Any

from imsprep.report import Severity
from tests.support.guest.trees import (
    ELF_X86_64,
    UUID,
    VIRTIO,
    Link,
    cpio,
    debian,
    drivers,
)

KERNEL = "4.19.0-27-amd64"
INITRD = f"/boot/initrd.img-{KERNEL}"
FSTAB = f"UUID={UUID} / ext4 defaults 0 1\n"
GRUB = "/boot/grub/grub.cfg"
LINUX = f"initrd {INITRD}; linux /boot/vmlinuz-{KERNEL}"
CLOUD = "/etc/cloud/cloud.cfg.d/99_openstack.cfg"
MISSING_UUID = "99999999-2222-4333-8444-555555555555"
E, W, N = Severity.ERROR, Severity.WARNING, Severity.NOTE
PASSWORD = {"/etc/shadow": "root:$6$x$y:1::::::\n"}
# What is changed in the well-prepared tree (None: removed), and the only finding that must come.
FAULTS: dict[str, tuple[dict[str, Any], str, Severity]] = {
    "fstab with /dev/sda1": ({"/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n"}, "IMS810", E),
    "fstab with /dev/vda1": ({"/etc/fstab": "/dev/vda1 / ext4 defaults 0 1\n"}, "IMS810", W),
    "fstab with a data disk": (
        {"/etc/fstab": f"{FSTAB}UUID={MISSING_UUID} /data xfs defaults 0 2\n"}, "IMS811", E),
    "fstab with a data disk, nofail": (
        {"/etc/fstab": f"{FSTAB}UUID={MISSING_UUID} /data xfs nofail 0 2\n"}, "IMS811", N),
    "fstab with a data disk, noauto": (
        {"/etc/fstab": f"{FSTAB}UUID={MISSING_UUID} /data xfs noauto 0 2\n"}, "IMS811", N),
    "fstab with a disk of the network": (
        {"/etc/fstab": f"{FSTAB}UUID={MISSING_UUID} /data xfs _netdev 0 2\n"}, "IMS811", N),
    "fstab with default for defaults": (
        {"/etc/fstab": f"UUID={UUID} / ext4 noatime,default 0 1\n"}, "IMS858", W),
    "fstab without a line for the root": ({"/etc/fstab": "# nothing yet\n"}, "IMS859", W),
    "fstab with the identifier of an old disk": (
        {"/etc/fstab": f"{FSTAB}ID=wwn-0x5000c500a1b2c3d4-part1 /data xfs defaults 0 2\n"},
        "IMS810", E),
    "fstab with a missing volume": (
        {"/etc/fstab": f"{FSTAB}/dev/mapper/vg0-data /data xfs defaults 0 2\n"}, "IMS811", E),
    "grub with /dev/sda1": ({GRUB: f"{LINUX} root=/dev/sda1 console=ttyS0\n"}, "IMS812", E),
    "grub with another UUID": (
        {GRUB: f"{LINUX} root=UUID={MISSING_UUID} ro console=ttyS0\n"}, "IMS813", E),
    "no virtio_blk": (
        {INITRD: cpio(drivers(KERNEL, [n for n in VIRTIO if n != "virtio_blk"]))}, "IMS814", E),
    "no virtio_pci": (
        {INITRD: cpio(drivers(KERNEL, [n for n in VIRTIO if n != "virtio_pci"]))}, "IMS814", E),
    "no virtio_net in the initramfs": (
        {INITRD: cpio(drivers(KERNEL, [n for n in VIRTIO if n != "virtio_net"]))}, "IMS815", N),
    "metadata at another address": (
        {CLOUD: debian()[CLOUD].replace("169.254.169.254", "10.20.0.5:8775")}, "IMS827", W),
    "no initramfs": ({INITRD: None}, "IMS816", E),
    "no serial console": ({GRUB: f"{LINUX} root=UUID={UUID} ro quiet\n"}, "IMS817", N),
    "persistent net rules": (
        {"/etc/udev/rules.d/70-persistent-net.rules": 'SUBSYSTEM=="net", NAME="eth0"\n'}, "IMS820", W),
    "persistent net rules in the initramfs": (
        {INITRD: cpio({**drivers(KERNEL),
                       "etc/udev/rules.d/70-persistent-net.rules": b'SUBSYSTEM=="net"\n'})},
        "IMS821", W),
    "a static address": (
        {"/etc/network/interfaces": "auto eth0\niface eth0 inet static\n  address 10.0.0.2/24\n"},
        "IMS822", W),
    "no network": ({"/etc/network/interfaces": "auto lo\niface lo inet loopback\n"}, "IMS824", W),
    "cloud-init switched off": ({"/etc/cloud/cloud-init.disabled": "", **PASSWORD}, "IMS826", W),
    "cloud-init switched off on the command line": (
        {GRUB: f"{LINUX} root=UUID={UUID} console=ttyS0 cloud-init=disabled\n", **PASSWORD}, "IMS826", W),
    "cloud-init switched off for ds-identify": (
        {"/etc/cloud/ds-identify.cfg": "policy: disabled\n", **PASSWORD}, "IMS826", W),
    "cloud-init masked on the command line": (
        {GRUB: f"{LINUX} root=UUID={UUID} console=ttyS0 systemd.mask=cloud-init.service\n", **PASSWORD},
        "IMS826", W),
    "cloud-init's target masked": (
        {"/etc/systemd/system/cloud-init.target": Link("/dev/null"), **PASSWORD}, "IMS826", W),
    "cloud-init's generator masked": (
        {"/etc/systemd/system-generators/cloud-init-generator": Link("/dev/null"), **PASSWORD},
        "IMS826", W),
    "cloud-init masked": (
        {"/etc/systemd/system/cloud-init.service": Link("/dev/null"), **PASSWORD}, "IMS826", W),
    "cloud-init's generator without its services": (
        {"/etc/systemd/system/cloud-init.target.wants/cloud-init.service": None,
         "/lib/systemd/system-generators/cloud-init-generator": "",
         "/lib/systemd/system/cloud-init.service": "", "/etc/rc3.d/S01cloud-init": "", **PASSWORD},
        "IMS826", W),
    "cloud-init not enabled": (
        {"/etc/systemd/system/cloud-init.target.wants/cloud-init.service": None, **PASSWORD},
        "IMS826", W),
    "another data source": (
        {CLOUD: debian()[CLOUD].replace("[ OpenStack ]", "[ Ec2, None ]")}, "IMS827", W),
    "another data source configured in front": (
        {CLOUD: debian()[CLOUD].replace("[ OpenStack ]", "[ NoCloud, OpenStack ]").replace(
            "datasource:\n", "datasource:\n  NoCloud: {seedfrom: 'http://10.0.0.1/'}\n")}, "IMS827", W),
    "a setting of the guide lacks": (
        {CLOUD: debian()[CLOUD].replace("    max_wait: 120\n", "")}, "IMS828", N),
    "stale instance state": ({"/var/lib/cloud/instances/i-1/sem": ""}, "IMS829", W),
    "authorized keys": ({"/home/ann/.ssh/authorized_keys": "ssh-ed25519 AAAA ann\n"}, "IMS830", W),
    "a private key": ({"/root/.ssh/id_ed25519": "-----BEGIN\n"}, "IMS830", W),
    "host keys": ({"/etc/ssh/ssh_host_rsa_key": "-----BEGIN\n"}, "IMS831", N),
    "machine-id": ({"/etc/machine-id": "0123456789abcdef0123456789abcdef\n"}, "IMS832", W),
    "shell history": ({"/root/.bash_history": "mysql -psecret\n"}, "IMS833", N),
    "logs": ({"/var/log/syslog": "Jan  1 host kernel:\n"}, "IMS834", N),
    "DHCP leases": ({"/var/lib/dhcp/dhclient.eth0.leases": "lease {}\n"}, "IMS835", N),
    "DHCP leases of Red Hat": (
        {"/var/lib/dhclient/dhclient.leases": "lease {}\n"}, "IMS835", N),
    "DHCP leases of dhcpcd": ({"/var/lib/dhcpcd/eth0.lease": "lease\n"}, "IMS835", N),
    "DHCP leases of NetworkManager": (
        {"/var/lib/NetworkManager/internal-1-eth0.lease": "ADDRESS=10.0.0.2\n"}, "IMS835", N),
    "VMware tools": ({"/usr/bin/vmtoolsd": ELF_X86_64}, "IMS836", W),
    "VirtualBox additions": ({"/usr/sbin/VBoxService": ELF_X86_64}, "IMS836", W),
    "an empty root password": ({"/etc/shadow": "root::19000::::::\n"}, "IMS837", E),
    "sshd with passwords": (
        {"/etc/ssh/sshd_config": "PasswordAuthentication yes\nPermitRootLogin no\n"}, "IMS838", N),
    "another architecture": (
        {"/bin/sh": ELF_X86_64[:18] + b"\xb7\x00"}, "IMS803", E),
}  # fmt: skip
