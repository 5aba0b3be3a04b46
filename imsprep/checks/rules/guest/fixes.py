"""The fixes of guest rules that are exact for what was found: commands for this file, this line.

A *command* is one line of shell that runs in the guest, and just so by `virt-customize
--run-command`. Names out of the image are quoted, so that pasting a fix runs nothing else.
"""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase

from imsprep.checks.rules.guest.advice import advice
from imsprep.guest.linux.bootloader import GRUB2, CommandLine
from imsprep.guest.linux.cloud_init import ours
from imsprep.guest.linux.fstab import Mount, guess_volume
from imsprep.guest.linux.kernels import VIRTIO
from imsprep.guest.linux.os_release import identify
from imsprep.guest.model import Guest, Volume

# Each on one line and without a blank that matters: a report may break it anywhere.
_CLOUD_SETTINGS = (
    "datasource_list: [ OpenStack ]",
    'datasource: {OpenStack: {metadata_urls: ["http://169.254.169.254"], max_wait: 120, '
    "timeout: 5, apply_network_config: false}}",
    "network: {config: disabled}",
    "manage_etc_hosts: localhost",
)
_UUID = re.compile(r"[0-9A-Fa-f-]{8,36}$")
_DEBIAN = ("debian", "ubuntu")


def command(line: str) -> str:
    """Write a fix that is the same command in the guest and for virt-customize."""
    return advice(f"`{line}`", f"--run-command {shlex.quote(line)}")


def shell(text: str) -> str:
    """Quote what an image says of itself for a shell; what a terminal could obey becomes `?`."""
    return shlex.quote("".join(c if c.isprintable() else "?" for c in text))


def on_file(inside: str, option: str, path: str) -> str:
    """Write a fix that does one thing to one file, with virt-customize's own option for it."""
    return advice(f"`{inside} {shell(path)}`", f"{option} {shell(path)}")


def with_line(path: str, line: str) -> str:
    """Add a line at the end of a file, where it has the last word; make the file if need be."""
    return command(f"printf '%s\\n' {shell(line)} >>{shell(path)}")


def cloud_settings(guest: Guest) -> str:
    """Write all that the guide asks of cloud-init to a file of its own."""
    lines = " ".join(shlex.quote(line) for line in _CLOUD_SETTINGS)
    return command(f"printf '%s\\n' {lines} >{ours(guest)}")


def mount_by_uuid(guest: Guest, mount: Mount) -> str | None:
    """Replace a kernel name in fstab by the UUID of the volume that it means."""
    root = mount.path == "/"
    uuid = _uuid(_root(guest) if root else guess_volume(mount.spec, guest.volumes))
    if uuid is None:
        return None
    return command(f"sed -i '{mount.line}s#{mount.spec}#UUID={uuid}#' /etc/fstab")


def without_mount(mount: Mount) -> str:
    """Set a line of fstab aside."""
    return command(f"sed -i '{mount.line}s/^/#/' /etc/fstab")


def root_by_uuid(guest: Guest, line: CommandLine, root: str) -> str | None:
    """Replace the root of one boot entry by the UUID of the volume that holds the system."""
    uuid = _uuid(_root(guest))
    texts = (guest.text(line.path) or "").splitlines()
    if (
        uuid is None
        or not re.fullmatch(r"[\w./=:-]+", root)
        or f"root={root}" not in texts[line.line - 1]
    ):
        return None  # the root comes from a variable
    return command(f"sed -i 's#root={root}\\b#root=UUID={uuid}#' {shell(line.path)}")


def _root(guest: Guest) -> Volume | None:
    return next((volume for volume in guest.volumes if volume.name == guest.root), None)


def _uuid(volume: Volume | None) -> str | None:
    known = volume is not None and volume.uuid is not None and _UUID.match(volume.uuid)
    return volume.uuid if volume is not None and known else None


def with_virtio(guest: Guest) -> str | None:
    """Name the drivers where the family's tool looks, and make every initramfs again."""
    family = _family(guest)
    if family in _DEBIAN:
        names = f"printf '%s\\n' {' '.join(VIRTIO)} >>/etc/initramfs-tools/modules"
        return command(f"{names} && update-initramfs -u -k all")
    if guest.exists("/usr/lib/dracut/dracut-init.sh"):
        line = f'add_drivers+=" {" ".join(VIRTIO)} "'
        conf = f"echo '{line}' >/etc/dracut.conf.d/virtio.conf"
        return command(f"{conf} && dracut -f --regenerate-all")
    return None


def initramfs_again(guest: Guest, before: str = "") -> str | None:
    """Make every initramfs again, after another command."""
    if _family(guest) in _DEBIAN:
        return command(f"{before}update-initramfs -c -k all")
    if guest.exists("/usr/lib/dracut/dracut-init.sh"):
        return command(f"{before}dracut -f --regenerate-all")
    return None


def with_serial_console(guest: Guest, path: str) -> str | None:
    """Tell the kernel to write to the first serial port, and write GRUB's menu again."""
    wanted = "console=tty0 console=ttyS0,115200"
    line = f"sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{wanted} /' /etc/default/grub"
    if not guest.exists("/etc/default/grub") or path not in GRUB2:
        return None
    return command(
        f"{line} && {'update-grub' if path == GRUB2[0] else f'grub2-mkconfig -o {path}'}"
    )


def _family(guest: Guest) -> str:
    system = identify(guest)
    return system.family if system is not None else ""


# How each format says DHCP, as a script for sed: pattern of the path, script.
_DHCP = (
    ("/etc/network/*", r"s/^\(\s*iface\s\+\S\+\s\+inet\s\+\)static/\1dhcp/;"
     r"/^\s*\(address\|netmask\|gateway\|network\|broadcast\|dns-\S*\)\s/d"),
    ("*/ifcfg-*", r"s/^BOOTPROTO=.*/BOOTPROTO=dhcp/;/^\(IPADDR\|NETMASK\|PREFIX\|GATEWAY\)/d"),
    ("/etc/NetworkManager/*", r"/^\[ipv4\]/,/^\[[^i]/{s/^method=.*/method=auto/;"
     r"/^\(address\|gateway\|route\)/d}"),
    ("/etc/systemd/network/*", r"/^\s*\(DHCP\|Address\|Gateway\)\s*=/d;"
     r"s/^\[Network\]/&\nDHCP=yes/"),
)  # fmt: skip
# And the setting that binds an interface to a card.
_CARD = (
    ("*/ifcfg-*", r"/^\(HWADDR\|LLADDR\)=/d"),
    ("/etc/NetworkManager/*", r"/^mac-address=/d"),
    ("/etc/systemd/network/*", r"/^\s*MACAddress\s*=/d"),
)  # fmt: skip


def with_dhcp(path: str) -> str | None:
    """Set the interfaces of a file to DHCP; None for netplan, which no line of sed can edit."""
    return _edit(path, _DHCP)


def for_any_card(path: str) -> str | None:
    """Remove the card's address from a file; None for netplan."""
    return _edit(path, _CARD)


def _edit(path: str, scripts: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, script in scripts:
        if fnmatchcase(path, pattern):
            return command(f"sed -i '{script}' {shell(path)}")
    return None
