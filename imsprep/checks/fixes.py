"""The fixes of guest rules that are exact for what was found: commands for this file, this line.

A *command* is one line of shell that runs in the guest, and just so by `virt-customize
--run-command`. Names out of the image are quoted, so that pasting a fix runs nothing else.
"""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase

from imsprep.checks.subject.guest import advice
from imsprep.guest.chain.values import BootEntry, Initramfs
from imsprep.guest.linux.cloud_init import ours
from imsprep.guest.linux.fstab import Mount, guess_volume
from imsprep.guest.linux.kernels import VIRTIO
from imsprep.guest.linux.os_release import identify
from imsprep.guest.model import Guest, Volume
from imsprep.guest.paths import DRACUT

# Each on one line and without a blank that matters: a report may break it anywhere.
_CLOUD_SETTINGS = (
    "datasource_list: [ OpenStack ]",
    'datasource: {OpenStack: {metadata_urls: ["http://169.254.169.254"], max_wait: 120, '
    "timeout: 5, apply_network_config: false}}",
    "network: {config: disabled}",
    "manage_etc_hosts: localhost",
)
_HEAD = 400  # characters in which a generated file says so
_UUID = re.compile(r"[0-9A-Fa-f-]{8,36}$")
AGAIN = (
    "write the loader's configuration again with update-grub (Debian, Ubuntu) or grub2-mkconfig "
    "(RHEL family, SUSE)"
)
DEBIAN = ("debian", "ubuntu", "kali", "linuxmint", "pop", "devuan", "raspbian")
_ARCH = ("arch", "manjaro", "endeavouros", "cachyos")


def command(line: str) -> str:
    """Write a fix that is the same command in the guest and for virt-customize."""
    return advice(f"`{line}`", f"--run-command {_quoted(line)}")


def _quoted(line: str) -> str:
    """Quote a line of shell as one word: by double quotes where nothing in it has power there."""
    if "'" not in line or re.search(r"[$`!]", line):
        return shlex.quote(line)
    return '"' + re.sub(r'"|\\(?=["\\]|$)', r"\\\g<0>", line) + '"'


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
    if uuid is None or not re.fullmatch(r"[\w./=:-]+", mount.spec):
        return None
    return command(f"sed -i '{mount.line}s#{mount.spec}#UUID={uuid}#' /etc/fstab")


def in_line(mount: Mount, value: str) -> str | None:
    """Write a UUID in a line of fstab with its own letters."""
    key, _, written = mount.spec.partition("=")
    if not (re.fullmatch(r"[\w-]+", written) and re.fullmatch(r"[\w-]+", value)):
        return None
    return command(f"sed -i '{mount.line}s#{key}={written}#{key}={value}#' /etc/fstab")


def without_mount(mount: Mount) -> str:
    """Set a line of fstab aside."""
    return command(f"sed -i '{mount.line}s/^/#/' /etc/fstab")


def right_or_without_mount(mount: Mount) -> str:
    """Correct a line of fstab whose disk is not in the image, or set it aside."""
    return (
        f"Correct the device in line {mount.line} of /etc/fstab, or add the option nofail; to set"
        f" the line aside: {without_mount(mount)}"
    )


def root_uuid(guest: Guest) -> str | None:
    """Return the UUID of the volume that holds the system, or None."""
    return _uuid(_root(guest))


def root_by_uuid(guest: Guest, entry: BootEntry, root: str) -> str | None:
    """Replace the root of the entry that starts by the UUID of the volume that holds the system."""
    uuid = root_uuid(guest)
    if uuid is None:
        return None
    known = guest.files.get(entry.path)
    lines = (known.text or "").splitlines() if known is not None else []
    line = lines[entry.line - 1] if 0 < entry.line <= len(lines) else ""
    if not re.fullmatch(r"[\w./=:-]+", root) or f"root={root}" not in line:
        # It comes from a variable, another file or the initramfs.
        return advice(
            f"set root=UUID={uuid} (in GRUB_CMDLINE_LINUX, grubenv's kernelopts or the entry's "
            "file), and write the loader's configuration again"
        )
    script = f"{entry.line}s#root={root}\\b#root=UUID={uuid}#"
    mend = command(f"sed -i '{script}' {shell(entry.path)}")
    return _until_generated(known.text or "" if known else "", entry.path) + mend


def _until_generated(text: str, path: str) -> str:
    """Return what makes a change of a file last that a tool may write again; "" if none does."""
    name = path.rpartition("/")[2]
    if name != "grub.cfg":
        return ""
    usually = "" if "automatically generated by" in text[:_HEAD] else "usually "
    return (
        f"The file {name} is {usually}generated: once the system starts, see that"
        f" /etc/default/grub has no such root=, and {AGAIN}. For now: "
    )


def _root(guest: Guest) -> Volume | None:
    return next((volume for volume in guest.volumes if volume.name == guest.root), None)


def _uuid(volume: Volume | None) -> str | None:
    known = volume is not None and volume.uuid is not None and _UUID.match(volume.uuid)
    return volume.uuid if volume is not None and known else None


def with_virtio(guest: Guest, maker: str | None) -> str | None:
    """Return how the family's tool adds the drivers and makes the initramfs again.

    No command line: what these tools do on a given system cannot be tried here.
    """
    names = " ".join(VIRTIO)
    own = family(guest)
    if maker == "mkinitcpio" or own in _ARCH or guest.exists("/etc/mkinitcpio.conf"):
        return advice(
            f"MODULES=({names}) in /etc/mkinitcpio.conf, and make the images again with mkinitcpio"
        )
    if maker == "booster":
        return advice(f"modules: {','.join(VIRTIO)} in /etc/booster.yaml, then rebuild its images")
    if maker == "mkinitfs" or own == "alpine":
        return advice(
            "features with virtio in /etc/mkinitfs/mkinitfs.conf, and make it again with mkinitfs"
        )
    if own in DEBIAN and maker != "dracut":
        return advice(
            f"{names} in /etc/initramfs-tools/modules, and make it again with update-initramfs"
        )
    if maker == "dracut" or guest.exists(DRACUT):
        return advice(
            f'add_drivers+=" {names} " in /etc/dracut.conf.d/virtio.conf, and make it again '
            "with dracut"
        )
    return None


def initramfs_again(guest: Guest) -> str:
    """Name the tool that makes an initramfs on the system."""
    if family(guest) in DEBIAN:
        return "update-initramfs"
    return "dracut" if guest.exists(DRACUT) else "the tool that made it"


def without_start(fix: str) -> str:
    """Say how a fix is applied to a system that does not start."""
    return f"The system does not start as it is: chroot into it from a rescue system. {fix}"


def damaged_initramfs(guest: Guest, image: Initramfs, version: str | None) -> str:
    """Make an initramfs of the kernel `version` again, in a system that cannot start."""
    maker = image.maker or initramfs_again(guest)
    lead = without_start("See that /boot has room for a whole initramfs. ")
    if maker in ("initramfs-tools", "update-initramfs") and version is not None:
        # -t: for old versions, to replace what was changed since; others accept and ignore it.
        return lead + command(f"update-initramfs -c -t -k {shell(version)}")
    if maker == "dracut" and version is not None and image.path.startswith("/"):
        return lead + command(f"dracut -f {shell(image.path)} {shell(version)}")
    if maker == "mkinitcpio":
        return lead + command("mkinitcpio -P")
    return lead + advice("make the initramfs again with the tool that made it")


def usual(guest: Guest) -> bool:
    """Return whether it is of a family whose kernels, modules and initramfs are of the usual kind.

    Systems of other kinds keep modules elsewhere, or have the initramfs in the kernel.
    """
    return family(guest) in DEBIAN or guest.exists(DRACUT)


def family(guest: Guest) -> str:
    """Return the name of the distribution, as os-release writes it; "" if it is not known."""
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
_IN_MATCH = r"/^\[Match\]/,/^\[[^M]/s/^\s*\(Permanent\)\?MACAddress\s*=.*/{}=e*/"
# And the setting that binds an interface to a card.
_CARD = (
    ("*/ifcfg-*", r"/^\(HWADDR\|LLADDR\)=/d"),
    ("/etc/NetworkManager/*", r"/^mac-address=/d"),
    # systemd leaves a file out whose [Match] says nothing.
    ("/etc/systemd/network/*.network", _IN_MATCH.format("Name")),
    ("/etc/systemd/network/*.link", _IN_MATCH.format("OriginalName")),
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


# How each format names any card, or the one that the server has.
_KEPT = (
    "eth0 in {path}, and add net.ifnames=0 to the command line (GRUB_CMDLINE_LINUX in "
    f"/etc/default/grub), so that the card keeps that name; {AGAIN}"
)
_ANY_NAME = (
    ("/etc/network/*", f"name {_KEPT}"),
    ("*/ifcfg-*", f"set DEVICE={_KEPT}"),
    ("*/netplan/*", 'write `match: {{name: "e*"}}` for the interface in {path}'),
    ("*.network", "write `Name=e*` in the section [Match] of {path}"),
    ("*/NetworkManager/*", "remove interface-name and [match] from {path}, which is then for any "
     "card"),
    ("/etc/dhcpcd.conf", "remove allowinterfaces from {path}, and what stands below `interface`"),
    ("/etc/cloud/*", "remove `network` with its interfaces from {path}: cloud-init then sets up "
     "the card that it finds"),
)  # fmt: skip


def for_any_name(path: str) -> str | None:
    """Return what to do about a file with names that the server's card does not get."""
    for pattern, words in _ANY_NAME:
        if fnmatchcase(path, pattern):
            return advice(words.format(path=shell(path)))
    return None
