"""How the guest's network interfaces get their addresses.

Sources: netplan's YAML reference, interfaces(5), the ifcfg files of Red Hat's sysconfig.txt and of
SUSE's ifcfg(5), nm-settings-keyfile(5), systemd.network(5).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from imsprep.guest.linux.ini import read_ini
from imsprep.guest.linux.os_release import read_assignments
from imsprep.guest.model import Guest
from imsprep.report import UnknownError

NETPLAN = ("/etc/netplan/*.yaml", "/etc/netplan/*.yml")
INTERFACES = ("/etc/network/interfaces", "/etc/network/interfaces.d/*")
IFCFG_REDHAT = "/etc/sysconfig/network-scripts/ifcfg-*"
IFCFG_SUSE = "/etc/sysconfig/network/ifcfg-*"
CONNECTIONS = "/etc/NetworkManager/system-connections/*"
NETWORKD = "/etc/systemd/network/*.network"
LINKS = "/etc/systemd/network/*.link"
NETWORK_MANAGER = ("/etc/NetworkManager/NetworkManager.conf", "/etc/NetworkManager/conf.d/*.conf",
                   "/usr/lib/NetworkManager/conf.d/*.conf")  # fmt: skip
_NETWORKD_STARTS = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
_LIMIT = 128 * 1024  # characters of YAML of one kind; cloud-init brings some 6,000


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
        (INTERFACES, _interfaces), ((IFCFG_REDHAT, IFCFG_SUSE), _ifcfg),
        ((CONNECTIONS,), _connection), ((NETWORKD,), _networkd),
    )  # fmt: skip
    found = list(_netplan(guest))
    for patterns, read in readers:
        for path, text in _configurations(guest, *patterns):
            found.extend(read(path, text))
    if not guest.exists(_NETWORKD_STARTS):
        found = [i._replace(starts=False) if i.path.endswith(".network") else i for i in found]
    return [i for i in found if i.name != "lo"]


def bound_names(guest: Guest) -> Iterator[Interface]:
    """Yield the names that systemd's .link files give to one card each."""
    for path, text in _configurations(guest, LINKS):
        sections = read_ini(text)
        mac, name = (
            sections.get("match", {}).get("macaddress"),
            sections.get("link", {}).get("name"),
        )
        if mac and name:
            yield Interface(path, name, False, mac, False)


def brings_up_any(guest: Guest) -> bool:
    """Say whether something uses DHCP on cards that no file names, cloud-init left aside."""
    if guest.exists("/etc/network/cloud-ifupdown-helper"):  # of Debian's own cloud images
        return True
    if not guest.exists("/usr/sbin/NetworkManager"):
        return False
    texts = [text for _, text in _configurations(guest, *NETWORK_MANAGER)]
    return not any(
        read_ini(t).get("main", {}).get("no-auto-default", "").strip() == "*" for t in texts
    )


def _configurations(guest: Guest, *patterns: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of configuration files, without copies that were set aside."""
    for path, entry in guest.matching(*patterns):
        if entry.text and not path.endswith(("~", ".bak", ".rpmsave", ".dpkg-old")):
            yield path, entry.text


def read_yaml_files(guest: Guest, *patterns: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and mapping of YAML files; UnknownError if they are more than anyone writes."""
    texts = list(_configurations(guest, *patterns))
    total = sum(len(text) for _, text in texts)
    if total > _LIMIT:
        raise UnknownError(f"{patterns[0]}: {total} characters of YAML are more than are read")
    for path, text in texts:
        yield path, read_yaml(text)


@functools.lru_cache(maxsize=256)
def read_yaml(text: str) -> dict[str, Any]:
    """Read a YAML mapping; {} for what is not one or not YAML. ImportError without PyYAML.

    Callers share what is returned and change nothing in it.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """A loader without merge keys, by which a small text becomes a huge mapping."""

        def flatten_mapping(self, node: Any) -> None:
            pass

    try:
        value = yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


def _netplan(guest: Guest) -> Iterator[Interface]:
    """Read all files as one: a later one changes what an earlier one says of an interface."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path, values in read_yaml_files(guest, *NETPLAN):
        network = values.get("network")
        ethernets = network.get("ethernets") if isinstance(network, dict) else None
        for name, settings in (ethernets if isinstance(ethernets, dict) else {}).items():
            if isinstance(settings, dict):
                found[str(name)] = (path, {**found.get(str(name), ("", {}))[1], **settings})
    for name, (path, settings) in found.items():
        match = settings.get("match")
        mac = match.get("macaddress") if isinstance(match, dict) else None
        card = mac if isinstance(mac, str) else None
        yield Interface(path, name, settings.get("dhcp4") is True, card, True)


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
