"""How the guest's network interfaces get their addresses.

Sources: netplan's YAML reference, interfaces(5), the ifcfg files of Red Hat's sysconfig.txt and of
SUSE's ifcfg(5), nm-settings-keyfile(5), systemd.network(5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from imsprep.guest.ini import read_ini
from imsprep.guest.model import Guest
from imsprep.guest.osrelease import read_assignments

NETPLAN = ("/etc/netplan/*.yaml", "/etc/netplan/*.yml")
INTERFACES = ("/etc/network/interfaces", "/etc/network/interfaces.d/*")
IFCFG_REDHAT = "/etc/sysconfig/network-scripts/ifcfg-*"
IFCFG_SUSE = "/etc/sysconfig/network/ifcfg-*"
CONNECTIONS = "/etc/NetworkManager/system-connections/*"
NETWORKD = "/etc/systemd/network/*.network"
_LIMIT = 64 * 1024  # characters of a YAML file; more is no network configuration


class Interface(NamedTuple):
    """One configured interface."""

    path: str
    name: str
    dhcp: bool
    mac: str | None  # the card that it is bound to
    starts: bool  # at boot


def interfaces(guest: Guest) -> list[Interface]:
    """Return the interfaces that any of the five configuration formats sets up, without lo."""
    readers: tuple[tuple[tuple[str, ...], Callable[[str, str], Iterator[Interface]]], ...] = (
        (NETPLAN, _netplan), (INTERFACES, _interfaces), ((IFCFG_REDHAT, IFCFG_SUSE), _ifcfg),
        ((CONNECTIONS,), _connection), ((NETWORKD,), _networkd),
    )  # fmt: skip
    found: list[Interface] = []
    for patterns, read in readers:
        for path, entry in guest.matching(*patterns):
            if entry.text and not path.endswith(("~", ".bak", ".rpmsave", ".dpkg-old")):
                found.extend(read(path, entry.text))
    return [i for i in found if i.name != "lo"]


def read_yaml(text: str) -> dict[str, Any]:
    """Read a YAML mapping; {} for what is not one or not YAML. ImportError without PyYAML."""
    import yaml

    class Loader(yaml.SafeLoader):
        """A loader without merge keys, by which a small text becomes a huge mapping."""

        def flatten_mapping(self, node: Any) -> None:
            pass

    try:
        value = yaml.load(text[:_LIMIT], Loader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


def _netplan(path: str, text: str) -> Iterator[Interface]:
    network = read_yaml(text).get("network")
    ethernets = network.get("ethernets") if isinstance(network, dict) else None
    for name, settings in (ethernets if isinstance(ethernets, dict) else {}).items():
        if isinstance(settings, dict):
            match = settings.get("match")
            mac = match.get("macaddress") if isinstance(match, dict) else None
            card = mac if isinstance(mac, str) else None
            yield Interface(path, str(name), settings.get("dhcp4") is True, card, True)


def _interfaces(path: str, text: str) -> Iterator[Interface]:
    lines = [line.split() for line in text.splitlines()]
    starts = {
        name
        for words in lines
        if words and (words[0] == "auto" or words[0].startswith("allow-"))
        for name in words[1:]
    }
    for words in lines:
        if len(words) > 3 and words[0] == "iface" and words[2] == "inet":
            name, method = words[1], words[3]
            if method not in ("loopback", "manual"):
                yield Interface(path, name, method == "dhcp", None, name in starts)


def _ifcfg(path: str, text: str) -> Iterator[Interface]:
    values = read_assignments(text)
    name = values.get("DEVICE") or path.rsplit("ifcfg-", 1)[-1]
    if (
        values.get("TYPE", "Ethernet").lower() not in ("ethernet", "eth")
        or "BRIDGE" in values
        or "MASTER" in values
    ):
        return
    protocol = values.get("BOOTPROTO", "none").lower()
    dhcp = protocol.startswith("dhcp") or protocol == "bootp"
    starts = values.get("ONBOOT", "yes").lower() != "no" and values.get(
        "STARTMODE", "auto"
    ) not in ("off", "manual")
    yield Interface(path, name, dhcp, values.get("HWADDR") or values.get("LLADDR"), starts)


def _connection(path: str, text: str) -> Iterator[Interface]:
    sections = read_ini(text)
    connection = sections.get("connection", {})
    if connection.get("type", "") not in ("ethernet", "802-3-ethernet"):
        return
    wired = sections.get("ethernet") or sections.get("802-3-ethernet") or {}
    name = connection.get("interface-name") or connection.get("id") or path.rsplit("/", 1)[-1]
    method = sections.get("ipv4", {}).get("method", "auto")
    starts = connection.get("autoconnect", "true").lower() != "false"
    yield Interface(path, name, method == "auto", wired.get("mac-address"), starts)


def _networkd(path: str, text: str) -> Iterator[Interface]:
    sections = read_ini(text)
    match = sections.get("match", {})
    dhcp = sections.get("network", {}).get("dhcp", "no").lower() in (
        "yes",
        "true",
        "ipv4",
        "both",
        "1",
    )
    yield Interface(path, match.get("name", "*"), dhcp, match.get("macaddress"), True)
