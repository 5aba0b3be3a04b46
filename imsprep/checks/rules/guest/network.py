"""IMS820–IMS824: a Linux guest's network: DHCP on whatever card the server has."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.rules.guest import fixes
from imsprep.checks.rules.guest.advice import INFERRED, LINUX_GUIDE, advice, linux, listed
from imsprep.guest.linux import cloud_init
from imsprep.guest.linux.network import Interface, bound_names, brings_up_any, interfaces
from imsprep.guest.model import Guest
from imsprep.report import Severity


@rule(
    "IMS820",
    Severity.WARNING,
    "udev rules bind interface names to old network cards",
    why="The server's card has another MAC address, becomes eth1, and has no configuration.",
    fix=advice(
        "rm /etc/udev/rules.d/*persistent*net*.rules",
        "--delete '/etc/udev/rules.d/*persistent*net*.rules'",
    ),
    source=LINUX_GUIDE,
)
def persistent_net(facts: Facts) -> Iterator[Evidence]:
    """Look for persistent-net rules that hold a rule."""
    for path, entry in linux(facts).matching("/etc/udev/rules.d/*persistent*net*.rules"):
        lines = [
            line for line in (entry.text or "").splitlines() if line.strip() and line[0] != "#"
        ]
        if lines:
            yield Evidence(f"{path} holds {len(lines)} rules", found=lines[0].strip()[:120],
                           fix=fixes.on_file("rm -f", "--delete", path))  # fmt: skip


@rule(
    "IMS821",
    Severity.WARNING,
    "An initramfs carries udev rules for old network cards",
    why="They act before those on the disk, so the card is renamed all the same.",
    fix=advice(
        "remove the rules from /etc/udev/rules.d, then `update-initramfs -u -k all` or `dracut -f`"
    ),
    source=LINUX_GUIDE,
)
def persistent_net_initramfs(facts: Facts) -> Iterator[Evidence]:
    """Look into every initramfs that could be read."""
    guest = linux(facts)
    for kernel in guest.kernels:
        for path in kernel.rules:
            fix = fixes.initramfs_again(guest, "rm -f /etc/udev/rules.d/*persistent*net*; ")
            yield Evidence(f"{kernel.initramfs} holds {path}", fix=fix)
    unread = [f"{k.initramfs or k.version}: {k.unread}" for k in guest.kernels if k.unread]
    if unread:
        raise UnknownError(listed(unread))
    guest.must_see("/lib/modules/*")
    if not any(kernel.initramfs for kernel in guest.kernels):
        raise UnknownError("there is no initramfs")


def _interfaces(facts: Facts) -> list[Interface]:
    try:
        return interfaces(linux(facts))
    except ImportError:
        raise UnknownError("netplan's YAML needs imsprep[guest]") from None


@rule(
    "IMS822",
    Severity.WARNING,
    "A network interface does not use DHCP",
    why="The service gives addresses by DHCP; with another address the server cannot be reached.",
    fix=advice(
        "set the interface to DHCP in the file that is named; netplan: `netplan set "
        "'ethernets.NAME={dhcp4: true, addresses: null, routes: null}'`"
    ),
    source=LINUX_GUIDE,
)
def static_address(facts: Facts) -> Iterator[Evidence]:
    """Read netplan, interfaces, ifcfg, NetworkManager and systemd-networkd."""
    for interface in _interfaces(facts):
        if not interface.dhcp:
            yield Evidence(f"{interface.path}: {interface.name} has no DHCP", expected="DHCP",
                           fix=fixes.with_dhcp(interface.path))  # fmt: skip


@rule(
    "IMS823",
    Severity.WARNING,
    "A network interface is bound to one card",
    why="The server's card has another MAC address, so the configuration does not apply.",
    fix=advice(
        "remove the MAC address (HWADDR, macaddress, mac-address, MACAddress) from the file"
    ),
    source=INFERRED,
)
def bound_to_card(facts: Facts) -> Iterator[Evidence]:
    """Look for MAC addresses in the same files."""
    for interface in (*_interfaces(facts), *bound_names(linux(facts))):
        if interface.mac:
            yield Evidence(
                f"{interface.path}: {interface.name} is for {interface.mac}",
                found=interface.mac,
                fix=fixes.for_any_card(interface.path),
            )


@rule(
    "IMS824",
    Severity.WARNING,
    "No network interface is set up at boot",
    why="A server without network can only be reached by its console.",
    fix=advice(
        "set up the first interface with DHCP: `nmcli connection add type ethernet`; or "
        "`printf 'auto eth0\\niface eth0 inet dhcp\\n' >>/etc/network/interfaces`; or let "
        "cloud-init do it"
    ),
    source=INFERRED,
)
def no_network(facts: Facts) -> Iterator[Evidence]:
    """Ask for one interface that starts, or something that brings up what it finds."""
    guest = linux(facts)
    if any(interface.starts for interface in _interfaces(facts)) or _brings_up_any(guest):
        return
    yield Evidence("no file sets up an interface, and neither NetworkManager nor cloud-init would")


def _brings_up_any(guest: Guest) -> bool:
    """NetworkManager uses DHCP on cards without a profile; cloud-init writes a fallback."""
    if brings_up_any(guest):
        return True
    try:
        network = cloud_init.settings(guest).get("network")
    except ImportError:
        return True
    off = isinstance(network, dict) and network.get("config") == "disabled"
    return cloud_init.installed(guest) and cloud_init.enabled(guest) and not off
