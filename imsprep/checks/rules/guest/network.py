"""IMS820–IMS824, IMS843, IMS844: a Linux guest's network: DHCP on whatever card the server has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import INFERRED, Evidence, UnknownError, rule
from imsprep.checks.subject.boot_entry import cut, place
from imsprep.checks.subject.guest import LINUX_GUIDE, advice, linux, listed
from imsprep.guest.linux import cloud_init
from imsprep.guest.linux.card_name import CardName, Way, card_name
from imsprep.guest.linux.network import (
    NETPLAN,
    NOT_NETPLAN,
    Interface,
    bound_names,
    brings_up_any,
    broken_yaml,
    fixed_on_command_line,
    interfaces,
    lacking,
    masked,
    may_exist,
    named_otherwise,
    not_sourced,
    usual,
)
from imsprep.guest.model import Guest
from imsprep.guest.paths import LINKS, UDEV_RULES
from imsprep.report import Severity
from imsprep.units import counted


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
    """Look for persistent-net rules that hold a rule, and for others that name by address."""
    for path, entry in linux(facts).matching(UDEV_RULES):
        generated = fnmatchcase(path, "*/*persistent*net*.rules")
        lines = [
            line for line in (entry.text or "").splitlines() if line.strip() and line[0] != "#"
        ]
        if not generated:
            lines = [line for line in lines if _NAMES_BY_ADDRESS.search(line)]
        if lines:
            fix = fixes.on_file("rm -f", "--delete", path)
            if not generated:
                fix = advice(f"remove the lines with an address from {path}")
            rules = counted(len(lines), "rule")
            yield Evidence(f"{path} holds {rules}", found=lines[0].strip()[:120], fix=fix)


_NAMES_BY_ADDRESS = re.compile(r"ATTR\{address\}\s*==.*\bNAME\s*:?=")


@rule(
    "IMS821",
    Severity.WARNING,
    "An initramfs carries udev rules for old network cards",
    why="They act before those on the disk, so the card is renamed all the same.",
    fix=advice(
        "remove the rules from /etc/udev/rules.d, and make the initramfs again with "
        "update-initramfs or dracut"
    ),
    source=LINUX_GUIDE,
)
def persistent_net_initramfs(facts: Facts) -> Iterator[Evidence]:
    """Look into every initramfs that could be read."""
    guest = linux(facts)
    for kernel in guest.kernels:
        for path in kernel.rules:
            again = fixes.initramfs_again(guest)
            fix = advice(
                "remove the rules from /etc/udev/rules.d, and make the initramfs again with "
                f"{again}"
            )
            yield Evidence(f"{kernel.initramfs} holds {path}", fix=fix)
    unread = [f"{k.initramfs or k.version}: {k.unread}" for k in guest.kernels if k.unread]
    if unread:
        raise UnknownError(listed(unread))
    guest.must_see("/lib/modules/*")
    if not any(kernel.initramfs for kernel in guest.kernels):
        raise UnknownError("there is no initramfs")


def _interfaces(facts: Facts) -> list[Interface]:
    guest = linux(facts)
    try:
        return [*interfaces(guest), *(i for i in cloud_init.own_network(guest) if i.name != "lo")]
    except ImportError:
        raise UnknownError("netplan's YAML needs imsprep[guest]") from None


@rule(
    "IMS822",
    Severity.WARNING,
    "A network interface does not use DHCP",
    why="The service gives addresses by DHCP; with another address the server cannot be reached.",
    fix=advice(
        "set the interface to DHCP in the file that is named, and remove its addresses and routes"
    ),
    source=LINUX_GUIDE,
)
def static_address(facts: Facts) -> Iterator[Evidence]:
    """Read netplan, interfaces, ifcfg, NetworkManager, systemd-networkd, and the command line."""
    for interface in _interfaces(facts):
        if not interface.dhcp and not interface.member:
            yield Evidence(f"{interface.path}: {interface.name} has no DHCP", expected="DHCP",
                           fix=fixes.with_dhcp(interface.path))  # fmt: skip
    for entry in dict.fromkeys(cloud_init.default_entries(linux(facts))):
        fixed = fixed_on_command_line(entry)
        if fixed is not None:
            yield Evidence(
                f"{place(entry)} says {cut(fixed)}",
                expected="ip=dhcp, or none",
                found=cut(fixed),
                fix=advice(f"remove it from the command line, and {fixes.AGAIN}"),
            )


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
    guest = linux(facts)
    written = _cloud_init_writes(guest)
    for interface in (*_interfaces(facts), *bound_names(guest)):
        if interface.mac:
            again = written and "cloud-init" in interface.path
            yield Evidence(
                f"{interface.path}: {interface.name} is for {interface.mac}"
                + ("; cloud-init writes the file again on a new server" if again else ""),
                found=interface.mac,
                fix=fixes.for_any_card(interface.path),
                severity=Severity.NOTE if again else None,
            )


@rule(
    "IMS824",
    Severity.WARNING,
    "No network interface is set up at boot",
    why="A server without network can only be reached by its console.",
    fix=advice(
        "set up the first interface with DHCP, in the way that this system sets up its network, "
        "or let cloud-init do it"
    ),
    source=INFERRED,
)
def no_network(facts: Facts) -> Iterator[Evidence]:
    """Ask for one interface that starts, or something that brings up what it finds."""
    guest = linux(facts)
    _must_be_yaml(guest)
    starting = [i for i in _interfaces(facts) if i.starts]
    if starting or _brings_up_any(guest):
        return
    services = {masked(guest, interface.path) for interface in _interfaces(facts)} - {None}
    if not any(True for _ in guest.matching(*_KNOWN_SYSTEMS)):
        raise UnknownError("the way in which this system sets its network up is not known")
    unread = [path for path, _ in guest.matching(NOT_NETPLAN)]
    programs = {lacking(guest, interface.path) for interface in _interfaces(facts)} - {None}
    more = f"; {', '.join(sorted(map(str, services)))} is masked" if services else ""
    more += f"; {', '.join(sorted(map(str, programs)))} is not installed" if programs else ""
    left = sorted(not_sourced(guest))
    more += f"; /etc/network/interfaces has no source line for {listed(left)}" if left else ""
    off = [interface for interface in _interfaces(facts) if not interface.starts]
    off = off if not (services or programs) else []
    more += f"; {off[0].path} is not to start at boot" if off else ""
    more += f"; netplan does not read {listed(unread)}, only what ends in .yaml" if unread else ""
    idle = services or programs or off
    what = "nothing brings up what the files set up" if idle else "no file sets up an interface"
    yield Evidence(f"{what}, and neither NetworkManager nor cloud-init would{more}")


# Traces of the programs whose files are read; a system without any goes another way.
_KNOWN_SYSTEMS = (
    "/etc/systemd/system/*.wants/*", "/etc/network/interfaces", "/etc/rc3.d/S*",
    "/etc/rc.d/rc3.d/S*", "/etc/runlevels/*/*", "/etc/runit/runsvdir/*/*", "/var/service/*",
    *NETPLAN, NOT_NETPLAN, "/etc/sysconfig/network-scripts/ifcfg-*", "/etc/sysconfig/network",
    "/etc/sysconfig/network/ifcfg-*",
)  # fmt: skip


def _must_be_yaml(guest: Guest) -> None:
    """Raise UnknownError if a file of netplan is no YAML: what it would set up is not known."""
    try:
        for path, line, why in broken_yaml(guest, *NETPLAN):
            raise UnknownError(f"{path} line {line}: {why} (IMS843)")
    except ImportError:
        raise UnknownError("netplan's YAML needs imsprep[guest]") from None


def _brings_up_any(guest: Guest) -> bool:
    """NetworkManager uses DHCP on cards without a profile; cloud-init writes a fallback."""
    return brings_up_any(guest) or (_cloud_init_writes(guest) and not cloud_init.own_network(guest))


def _cloud_init_writes(guest: Guest) -> bool:
    """Return whether cloud-init sets the network up on a new server."""
    try:
        network = cloud_init.settings(guest).get("network")
    except ImportError:
        return True
    off = isinstance(network, dict) and network.get("config") == "disabled"
    return cloud_init.installed(guest) and cloud_init.enabled(guest) and not off


@rule(
    "IMS843",
    Severity.WARNING,
    "A configuration file is not valid YAML",
    why="netplan then sets up no interface at all; cloud-init leaves the file out.",
    fix=advice("correct the line that is named (YAML knows no tabs); `netplan generate` tries it"),
    source="netplan's YAML reference; YAML 1.2, 6.1",
)
def no_yaml(facts: Facts) -> Iterator[Evidence]:
    """Read the files of netplan and cloud-init."""
    guest = linux(facts)
    try:
        for path, line, why in broken_yaml(guest, *NETPLAN, cloud_init.MAIN, cloud_init.MORE):
            yield Evidence(f"{path} line {line}: {why}")
    except ImportError:
        raise UnknownError("YAML needs imsprep[guest]") from None


@rule(
    "IMS844",
    Severity.WARNING,
    "Only network names are set up that the server's card does not get",
    why="The card has another name on KVM (ens3, enp1s0, or eth0 with net.ifnames=0...), so that"
    " nothing is set up.",
    fix=advice(
        'name any card: netplan `match: {name: "e*"}`, systemd-networkd `Name=e*`, a '
        "NetworkManager profile without interface-name; ifupdown: eth0, with net.ifnames=0 on the "
        "command line"
    ),
    source="systemd.net-naming-scheme(7), systemd.link(5); names of VMware's, Xen's and real cards,"
    " and that the server's card is on PCI: inferred",
)
def foreign_names(facts: Facts) -> Iterator[Evidence]:
    """Compare the names that start at boot with those that a card on KVM can get."""
    guest = linux(facts)
    _must_be_yaml(guest)
    cards = [i for i in _interfaces(facts) if not i.virtual and (i.starts or i.member)]
    if not cards or _brings_up_any(guest):
        return
    card = card_name(guest)
    possible = [i for i in cards if i.mac or _may_be(guest, i, card)]
    named = {entry.name for entry in bound_names(guest)}
    if possible or any(i.name in named for i in cards):
        return
    shown = ", ".join(dict.fromkeys(f"{_named(i)} ({i.path})" for i in cards[:4]))
    by_place = card.way is Way.PLACE and any(may_exist(i) for i in cards)
    yield Evidence(
        f"only {shown} is set up"
        + ("; udev names the card by its place, without net.ifnames=0" if by_place else ""),
        expected=_POSSIBLE.get((card.never_eth, card.always_eth), "eth0, ens3, enp1s0 or any"),
        found=cards[0].name,
        fix=fixes.for_any_name(cards[0].path),
    )


# By whether the card is never, and whether it is always, called eth0.
_POSSIBLE = {(True, False): "ens3, enp1s0 or any", (False, True): "eth0 or any"}


def _may_be(guest: Guest, interface: Interface, card: CardName) -> bool:
    """Return whether the server's card may be called so, as far as it is known."""
    if not may_exist(interface, card) or _renamed(guest, interface, card):
        return False
    return usual(interface) or interface.name == card.name or named_otherwise(guest)


def _named(interface: Interface) -> str:
    driver = f" of the driver {cut(interface.driver)}" if interface.driver else ""
    return f"{cut(interface.name)}{driver}"


def _renamed(guest: Guest, interface: Interface, card: CardName) -> bool:
    """Return whether net.ifnames=0 keeps a predictable name from being given.

    Newer ones of udev give it as an alternative name all the same, by which it may be set up.
    """
    if not re.match(r"en[sp]\d", interface.name) or " " in interface.name:
        return False
    if card.way is not Way.UNKNOWN:
        return card.always_eth
    entries = [route.entry for route in guest.boot.routes if route.entry is not None]
    rules = any(True for _ in guest.matching("/etc/udev/rules.d/*net*.rules", LINKS[0]))
    off = bool(entries) and all("net.ifnames=0" in entry.arguments for entry in entries)
    return off and not rules
