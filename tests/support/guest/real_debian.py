"""The real Debian of `make guest-images`, and faults planted into copies of its disk by debugfs.

IMSPREP_GUEST_IMAGES says where the images are if not in build/guest-images. Without them, tests that
use them are skipped. While they are being built under a lock, as .ci/run does it by flock(1), these
tests wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fixtures.guest_images import MIB, is_current
from tests.support.guest.trees import UUID

IMAGES = Path(os.environ.get("IMSPREP_GUEST_IMAGES", "build/guest-images"))
ROOT_START = MIB  # of debian-small, whose only partition it is

# What becomes of a file: its new text, made of the old one if it is a function; None removes it.
Changes = Mapping[str, str | Callable[[str], str] | None]


@functools.cache
def _wait_for_builder() -> None:
    with contextlib.suppress(FileNotFoundError), Path(f"{IMAGES}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)


def need_built(path: Path) -> None:
    """Skip unless `make guest-images` made this file, and with the builder as it is now."""
    _wait_for_builder()
    if not path.exists() or not is_current(IMAGES):
        old = "of an older builder" if path.exists() else "not there"
        pytest.skip(f"{path} is {old}: make guest-images")


NEW_UUID = "99999999-2222-4333-8444-555555555555"
GRUB = "/boot/grub/grub.cfg"
WANTS = "/etc/systemd/system/cloud-init.target.wants"
PASSWORD: Changes = {"/etc/shadow": "root:$y$j9T$x:19000:0:99999:7:::\n"}
DEBIAN_FAULTS: dict[str, tuple[Changes, str]] = {
    "fstab by name": ({"/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n"}, "IMS810"),
    "fstab with a data disk": (
        {"/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\nUUID={NEW_UUID} /d xfs defaults 0 2\n"}, "IMS811"),
    "root by name": (
        {GRUB: lambda text: text.replace(f"root=UUID={UUID}", "root=/dev/sda1")}, "IMS812"),
    "root elsewhere": (
        {GRUB: lambda text: text.replace(f"root=UUID={UUID}", f"root=UUID={NEW_UUID}")}, "IMS813"),
    "no virtio_blk": ({"INITRD": "no-virtio_blk"}, "IMS814"),
    "no virtio_scsi": ({"INITRD": "no-virtio_scsi"}, "IMS815"),
    "no virtio_net": ({"INITRD": "no-virtio_net"}, "IMS815"),
    "persistent net in the initramfs": ({"INITRD": "rules"}, "IMS821"),
    "no initramfs": ({"INITRD": None}, "IMS816"),
    "no serial console": (
        {GRUB: lambda text: text.replace(" console=ttyS0,115200", "")}, "IMS817"),
    "persistent net": ({"/etc/udev/rules.d/70-persistent-net.rules": 'NAME="eth0"\n'}, "IMS820"),
    "static address": (
        {"/etc/network/interfaces": "auto eth0\niface eth0 inet static\naddress 10.0.0.2/8\n"}, "IMS822"),
    "a name that udev does not give": (
        {GRUB: lambda text: text.replace(" net.ifnames=0", "")}, "IMS844"),
    "an initramfs by what the kernel does not unpack": (
        {"CONFIG": lambda text: text.replace("CONFIG_RD_ZSTD=y", "# CONFIG_RD_ZSTD is not set")}, "IMS861"),
    "no network": ({"/etc/network/interfaces": "auto lo\niface lo inet loopback\n"}, "IMS824"),
    "bound to a card": (
        {"/etc/systemd/network/70-e.link": "[Match]\nMACAddress=52:54:00:12:34:56\n[Link]\nName=e0\n"}, "IMS823"),
    "cloud-init removed": (
        {"/usr/bin/cloud-init": None, "/etc/cloud/cloud.cfg": None, **PASSWORD}, "IMS825"),
    "cloud-init disabled": ({"/etc/cloud/cloud-init.disabled": "\n", **PASSWORD}, "IMS826"),
    "cloud-init not linked": (
        {**{f"{WANTS}/{name}.service": None for name in ("cloud-init", "cloud-init-local")}, **PASSWORD}, "IMS826"),
    "cloud-init off on the command line": (
        {GRUB: lambda text: text.replace(" ro ", " ro cloud-init=disabled "), **PASSWORD}, "IMS826"),
    "another data source": (
        {"/etc/cloud/cloud.cfg.d/99_zz.cfg": "datasource_list: [ Ec2 ]\n"}, "IMS827"),
    "settings lack": ({"/etc/cloud/cloud.cfg.d/99_zz.cfg": "network: {config: {}}\n"}, "IMS828"),
    "stale state": ({"/var/lib/cloud/instances/i-1": "x\n"}, "IMS829"),
    "authorized keys": ({"/root/.ssh/authorized_keys": "ssh-rsa AAAA\n"}, "IMS830"),
    "host keys": ({"/etc/ssh/ssh_host_rsa_key": "KEY\n"}, "IMS831"),
    "machine-id": ({"/etc/machine-id": "0123456789abcdef0123456789abcdef\n"}, "IMS832"),
    "history": ({"/root/.bash_history": "ls\n"}, "IMS833"),
    "logs": ({"/var/log/syslog": "line\n"}, "IMS834"),
    "leases": ({"/var/lib/dhcp/dhclient.leases": "lease {}\n"}, "IMS835"),
    "VMware tools": ({"/usr/bin/vmtoolsd": "ELF\n"}, "IMS836"),
    "empty password": ({"/etc/shadow": "root::19000:0:99999:7:::\n"}, "IMS837"),
    "locked password without cloud-init": (
        {"/etc/cloud/cloud-init.disabled": "\n"}, "IMS837"),
    "manage_etc_hosts": ({"/etc/cloud/cloud.cfg.d/99_zz.cfg": "manage_etc_hosts: true\n"}, "IMS839"),
    "sshd with passwords": (
        {"/etc/ssh/sshd_config.d/10-cloud.conf": "PasswordAuthentication yes\nPermitRootLogin no\n"}, "IMS838"),
}  # fmt: skip


# What else a fault rightly causes.
CAUSED = {"locked password without cloud-init": {"IMS826"}}


_OF_KERNEL = {"INITRD": "initrd.img-*", "CONFIG": "config-*"}  # in /boot, with its version


def faulty(changes: Changes, scratch: Path) -> Path:
    """Make a copy of debian-small's whole disk in `scratch` with these changes; one at a time."""
    source, disk = IMAGES / "debian-small.raw", scratch / "faulty.raw"
    need_built(source)
    subprocess.run(["cp", "--sparse=always", source, disk], check=True)
    root = f"{disk}?offset={ROOT_START}"
    commands = []
    for number, (path, content) in enumerate(changes.items()):
        new = scratch / f"new{number}"
        initrd = path == "INITRD"
        if path in _OF_KERNEL:
            path = "/boot/" + next((IMAGES / "base/boot").glob(_OF_KERNEL[path])).name
        if initrd:
            new = IMAGES.resolve() / "initramfs" / f"{content}.img"
        elif callable(content):
            before = _debugfs(root, "-R", f"cat {path}")
            after = content(before)
            assert after != before, f"{path} lacks what was to be changed"
            new.write_text(after)
        elif content is not None:
            new.write_text(content)
        folders = path.split("/")[1:-1]
        commands += [f"mkdir /{'/'.join(folders[: depth + 1])}" for depth in range(len(folders))]
        commands.append(f"rm {path}")
        if content is not None:
            commands.append(f"write {new} {path}")
    script = scratch / "commands"
    script.write_text("\n".join(commands) + "\n")
    _debugfs(root, "-w", "-f", str(script))
    return disk


def _debugfs(file_system: str, *words: str) -> str:
    command = ["debugfs", *words, file_system]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
