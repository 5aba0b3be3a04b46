"""How the guest's network interfaces get their addresses.

Sources: netplan's YAML reference, interfaces(5), the ifcfg files of Red Hat's sysconfig.txt and of
SUSE's ifcfg(5), nm-settings-keyfile(5), systemd.network(5).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from imsprep.guest.chain.values import BootEntry
from imsprep.guest.linux.card_name import UNKNOWN, CardName, card_name
from imsprep.guest.linux.ini import read_ini
from imsprep.guest.linux.os_release import read_assignments
from imsprep.guest.model import Guest
from imsprep.guest.paths import CONNECTIONS, IFUPDOWN, LINKS, NETPLANS, ORDINARY
from imsprep.report import UnknownError

NETPLAN = ("/etc/netplan/*.yaml", "/lib/netplan/*.yaml")  # of one name, that in /etc counts
NOT_NETPLAN = "/etc/netplan/*.yml"  # netplan reads only what ends in .yaml
INTERFACES = ("/etc/network/interfaces", "/etc/network/interfaces.d/*")
IFCFG_REDHAT = "/etc/sysconfig/network-scripts/ifcfg-*"
IFCFG_SUSE = "/etc/sysconfig/network/ifcfg-*"
NETWORKD = "/etc/systemd/network/*.network"
_VENDOR_NETWORKD = "/usr/lib/systemd/network/*.network"
NETWORK_MANAGER = ("/etc/NetworkManager/NetworkManager.conf", "/etc/NetworkManager/conf.d/*.conf",
                   "/usr/lib/NetworkManager/conf.d/*.conf")  # fmt: skip
_NETWORKD_STARTS = (
    "/etc/systemd/system/*.wants/systemd-networkd.service",
    "/etc/systemd/system/*.wants/systemd-networkd.socket",
    "/etc/systemd/system/dbus-org.freedesktop.network1.service",
    "/usr/lib/systemd/system/*.wants/systemd-networkd.service",
)


# Daemons that use DHCP on every card that they find, where they are started.
def _any_card(name: str) -> tuple[str, ...]:
    """Return what starts a daemon, as patterns."""
    return (
        f"/etc/systemd/system/*.wants/{name}*.service",
        f"/etc/runlevels/*/{name}*",
        f"/etc/runit/runsvdir/*/{name}*",
        f"/var/service/{name}*",
        f"/etc/rc3.d/S*{name}*",
    )


_ANY_CARD = tuple(
    pattern
    for name in ("connman", "dhclient", "wickedd", "nm-cloud-setup", "udhcpc")
    for pattern in _any_card(name)
)
_NETIFRC = "/etc/runlevels/*/net.*"  # Gentoo's scripts use DHCP where /etc/conf.d/net is silent
_LIMIT = 128 * 1024  # characters of YAML of one kind; cloud-init brings some 6,000


class Interface(NamedTuple):
    """One configured interface; `name` may be a pattern, several are parted by blanks."""

    path: str
    name: str
    dhcp: bool
    mac: str | None  # the card that it is bound to
    starts: bool  # at boot
    member: bool = False  # of a bridge or bond, or the card below a VLAN: it needs no address
    virtual: bool = False  # a bridge, bond or VLAN, which is made at boot
    driver: str | None = None  # that the card must have


# Names that only other platforms give: VMware's slots (32 and above are no slots of QEMU's buses),
# its on-board index, Xen's cards, names made of a MAC address, and biosdevname's of real hardware;
# Proxmox puts its cards into the slots from 18. The second card's eth1 is not there either.
_FOREIGN = re.compile(
    r"ens(?:3[2-9]|[4-9]\d|\d{3,})(?:np\d+)?$|eno\d+$|enX\d+$|enx[0-9a-f]{12}$|em\d+$|p\d+p\d+$"
    r"|en(?:p\d+)?s(?:1[89]|2[0-3])$|eth[1-9]\d*$|venet"
)
# Cards of a server on KVM: by slot, by path, and as the kernel counts them.
_BY_PLACE = ("ens3", "ens5", "enp0s3", "enp1s0", "enp4s1")
_SAMPLES = ("eth0", *_BY_PLACE)
_COUNTED, _PLACED = re.compile(r"eth\d+$"), re.compile(r"en[sp]\d")
_USUAL = re.compile(r"eth\d|en[bopsuvxP\d]|ib|wl|ww|sl|usb|.*[*?\[!]")
_FOREIGN_DRIVERS = ("vmxnet3", "e1000", "e1000e", "hv_netvsc", "xen-netfront", "xen_netfront",
                    "vif", "ena", "gve")  # fmt: skip


def may_exist(interface: Interface, card: CardName = UNKNOWN) -> bool:
    """Return whether a server's card can have this name; names are patterns in some formats.

    `card` is what is known of how it is named.
    """
    samples = _BY_PLACE if card.never_eth else _SAMPLES[:1] if card.always_eth else _SAMPLES
    if interface.driver is not None and interface.driver.lower() in _FOREIGN_DRIVERS:
        return False
    names = interface.name.split() or ["*"]
    for name in names:
        if name.startswith("!"):
            return True
        if any(mark in name for mark in "*?["):
            if any(fnmatchcase(sample, name) for sample in samples):
                return True
        elif name == card.name or not (
            _FOREIGN.match(name)
            or (card.never_eth and _COUNTED.match(name))
            or (card.always_eth and _PLACED.match(name))
        ):
            return True
    return False


def usual(interface: Interface) -> bool:
    """Return whether the kernel or udev give such a name by themselves, or it is a pattern."""
    return any(_USUAL.match(name) for name in interface.name.split() or ["*"])


def named_otherwise(guest: Guest) -> bool:
    """Return whether something in the guest may give cards other names than those."""
    files = guest.matching("/etc/udev/rules.d/*", LINKS[0], "/etc/mactab", "/etc/iftab")
    entries = [route.entry for route in guest.boot.routes if route.entry is not None]
    given = ("ifname=", "net.ifnames.prefix=", "ifnames=")
    return any(True for _ in files) or any(
        argument.startswith(given) for entry in entries for argument in entry.arguments
    )


# By what the files of a way are brought up, as systemd names it.
_NETWORKD_UNIT, _MANAGER_UNIT = "systemd-networkd.service", "NetworkManager.service"


def masked(guest: Guest, path: str) -> str | None:
    """Return the masked service without which what a file sets up is not brought up, or None."""
    service = None
    if fnmatchcase(path, "*/netplan/*"):
        service = _MANAGER_UNIT if _netplan_hands_over(guest) else _NETWORKD_UNIT
    elif path.endswith(".network"):
        service = _NETWORKD_UNIT
    elif "/NetworkManager/" in path:
        service = _MANAGER_UNIT
    return service if service is not None and _is_masked(guest, service) else None


def _is_masked(guest: Guest, service: str) -> bool:
    unit = guest.files.get(f"/etc/systemd/system/{service}")
    return unit is not None and unit.target == "/dev/null"


def lacking(guest: Guest, path: str) -> str | None:
    """Return the program that reads a configuration file, if a whole system does not have it."""
    programs: tuple[str, ...] = ()
    name = ""
    if any(fnmatchcase(path, pattern) for pattern in INTERFACES):
        name, programs = "ifup", IFUPDOWN
    elif fnmatchcase(path, "*/netplan/*"):
        name, programs = "netplan", NETPLANS
        if _netplan_hands_over(guest) and any(map(guest.exists, NETPLANS)):
            name, programs = "NetworkManager", _MANAGERS
    elif "/NetworkManager/" in path:
        name, programs = "NetworkManager", _MANAGERS
    whole = all(any(map(guest.exists, places)) for places in ORDINARY)
    return name if programs and whole and not any(map(guest.exists, programs)) else None


_MANAGERS = ("/usr/sbin/NetworkManager", "/usr/bin/NetworkManager")


def interfaces(guest: Guest) -> list[Interface]:
    """Return the interfaces that any of the five configuration formats sets up, without lo."""
    readers: tuple[tuple[tuple[str, ...], Callable[[str, str], Iterator[Interface]]], ...] = (
        (INTERFACES, _interfaces), ((IFCFG_REDHAT, IFCFG_SUSE), _ifcfg),
        (CONNECTIONS, _connection), ((NETWORKD,), _networkd),
    )  # fmt: skip
    found = list(_netplan(guest))
    unsourced = not_sourced(guest)
    for patterns, read in readers:
        for path, text in _configurations(guest, *patterns):
            if path not in unsourced:
                found.extend(read(path, text))
    found.extend(_dhcpcd(guest))
    if not any(True for _ in guest.matching(*_NETWORKD_STARTS)):
        found = [i._replace(starts=False) if i.path.endswith(".network") else i for i in found]
    idle = {i.path for i in found if masked(guest, i.path) or lacking(guest, i.path)}
    found = [i._replace(starts=False) if i.path in idle else i for i in found]
    return [i for i in found if i.name != "lo"]


def not_sourced(guest: Guest) -> set[str]:
    """Return the files of /etc/network/interfaces.d that /etc/network/interfaces leaves out.

    Source: interfaces(5), `source` and `source-directory`.
    """
    main, more = INTERFACES
    paths = {path for path, _ in guest.matching(more)}
    for words in (line.split() for line in (guest.text(main) or "").splitlines()):
        for word in words[1:]:
            named = word if word.startswith("/") else f"/etc/network/{word}"
            if words[0] == "source":
                paths = {path for path in paths if not fnmatchcase(path, named)}
            elif words[0] == "source-directory":
                folder = named.rstrip("/")
                taken = {
                    p for p in paths if re.fullmatch(r"[\w-]+", p.rpartition("/")[2], re.ASCII)
                }
                paths -= {path for path in taken if fnmatchcase(path.rpartition("/")[0], folder)}
    return paths


_DHCPCD = "/etc/dhcpcd.conf"


def _dhcpcd(guest: Guest) -> Iterator[Interface]:
    """Yield what dhcpcd, where it is started, gives a fixed address or is bound to.

    Source: dhcpcd.conf(5): `interface`, `static ip_address`, `allowinterfaces`.
    """
    if not any(True for _ in guest.matching(*_any_card("dhcpcd"))):
        return
    name = "*"
    for line in (guest.text(_DHCPCD) or "").splitlines():
        words = line.partition("#")[0].split(None, 1)
        if len(words) == 2 and words[0] == "interface":
            name = words[1].strip()
        elif len(words) == 2 and words[0] == "static" and words[1].startswith("ip_address="):
            yield Interface(_DHCPCD, name, False, None, True)
        elif len(words) == 2 and words[0] == "allowinterfaces":
            yield Interface(_DHCPCD, words[1].strip(), True, None, True)


_FIXED = re.compile(r"ip=(?:\d+(?:\.\d+){3}|\[[0-9a-fA-F:]+\]):")
_DYNAMIC = ("dhcp", "on", "any", "dhcp6", "auto6", "either6", "both")


def fixed_on_command_line(entry: BootEntry) -> str | None:
    """Return the argument by which an entry gives the first card a fixed address, or None.

    Sources: dracut.cmdline(7), `ip=`; the Linux kernel's admin-guide/nfs/nfsroot.
    """
    for argument in entry.arguments:
        fields = argument.split(":")
        if _FIXED.match(argument) and not set(fields[-1:] + fields[6:7]) & set(_DYNAMIC):
            return argument
    return None


def bound_names(guest: Guest) -> Iterator[Interface]:
    """Yield the names that systemd's .link files give to one card each."""
    for path, text in _configurations(guest, LINKS[0]):
        sections = read_ini(text)
        mac, name = (
            sections.get("match", {}).get("macaddress"),
            sections.get("link", {}).get("name"),
        )
        if mac and name:
            yield Interface(path, name, False, mac, False)


def brings_up_any(guest: Guest) -> bool:
    """Return whether something uses DHCP on cards that no file names, cloud-init left aside."""
    if guest.exists("/etc/network/cloud-ifupdown-helper"):  # of Debian's own cloud images
        return True
    daemons = (p for p, _ in guest.matching(*_ANY_CARD, _NETIFRC) if not p.endswith("/net.lo"))
    if any(True for _ in daemons) or _vendor_networkd(guest):
        return True
    by_dhcpcd = any(True for _ in guest.matching(*_any_card("dhcpcd")))
    if by_dhcpcd and not any(i.dhcp for i in _dhcpcd(guest)):
        return True
    if not any(map(guest.exists, _MANAGERS)) or _is_masked(guest, _MANAGER_UNIT):
        return False
    card = card_name(guest)
    if any(_is_left_off(interface, card) for interface in interfaces(guest)):
        return False
    # A file in /etc stands for that of the same name in /usr/lib, even if it is empty.
    own = {path.rpartition("/")[2] for path, _ in guest.matching(*NETWORK_MANAGER[:2])}
    texts = [
        text
        for path, text in _configurations(guest, *NETWORK_MANAGER)
        if path.startswith("/etc/") or path.rpartition("/")[2] not in own
    ]
    if any(read_ini(t).get("main", {}).get("no-auto-default", "").strip() == "*" for t in texts):
        return False
    left_alone = any(_leaves_cards_alone(read_ini(text)) for text in texts)
    return not left_alone or _netplan_hands_over(guest)


def _is_left_off(interface: Interface, named: CardName) -> bool:
    """Return whether a profile of NetworkManager that does not start fits the server's card.

    It makes no profile of its own for a card for which there is one, whether that starts or not
    (`have_connection_for_device` of its nm-settings.c).
    """
    profile = "/NetworkManager/" in interface.path or fnmatchcase(interface.path, IFCFG_REDHAT)
    card = not (interface.virtual or interface.starts or interface.mac)
    return profile and card and usual(interface) and may_exist(interface, named)


def _leaves_cards_alone(sections: dict[str, dict[str, str]]) -> bool:
    """Return whether NetworkManager is configured not to manage Ethernet, as on Ubuntu servers."""
    devices = sections.get("keyfile", {}).get("unmanaged-devices", "")
    words = [word for word in re.split(r"[,;\s]+", devices) if word]
    return "*" in words and "except:type:ethernet" not in words


def _netplan_hands_over(guest: Guest) -> bool:
    """Return whether netplan gives all cards to NetworkManager."""
    for _, values in read_yaml_files(guest, *NETPLAN):
        network = values.get("network")
        if isinstance(network, dict) and network.get("renderer") == "NetworkManager":
            return True
    return False


def _vendor_networkd(guest: Guest) -> bool:
    """Return whether systemd-networkd starts with files of the distribution that use DHCP."""
    if not any(True for _ in guest.matching(*_NETWORKD_STARTS)):
        return False
    found = (i for p, t in _configurations(guest, _VENDOR_NETWORKD) for i in _networkd(p, t))
    return any(i.dhcp and not i.virtual and may_exist(i) for i in found)


def _configurations(guest: Guest, *patterns: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of configuration files, without copies that were set aside."""
    for path, entry in guest.matching(*patterns):
        if entry.text and not path.endswith(("~", ".bak", ".rpmsave", ".dpkg-old")):
            yield path, entry.text


def read_yaml_files(guest: Guest, *patterns: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield path and mapping of YAML files; UnknownError if they are more than anyone writes."""
    texts = list(_configurations(guest, *patterns))
    total = sum(len(text) for _, text in texts)
    if total > _LIMIT:
        raise UnknownError(f"{patterns[0]}: {total} characters of YAML are more than are read")
    for path, text in texts:
        yield path, read_yaml(text)


def read_yaml(text: str) -> dict[str, object]:
    """Read a YAML mapping; {} for what is not one or not YAML. ImportError without PyYAML.

    Callers share what is returned and change nothing in it.
    """
    value, _ = _load(text)
    return value if isinstance(value, dict) else {}


def yaml_fault(text: str) -> tuple[int, str] | None:
    """Return the line and the reason for which a text is no YAML, or None."""
    return _load(text)[1]


@functools.lru_cache(maxsize=256)
def _load(text: str) -> tuple[object, tuple[int, str] | None]:
    import yaml

    class Loader(yaml.SafeLoader):
        """A loader without merge keys, by which a small text becomes a huge mapping."""

        def flatten_mapping(self, node: object) -> None:
            pass

    try:
        return yaml.load(text, Loader), None
    except yaml.constructor.ConstructorError:
        return None, None  # an unknown tag; the text itself is YAML
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, ((mark.line + 1) if mark else 1, str(error.problem or "no YAML"))
    except yaml.YAMLError as error:
        return None, (1, str(error).splitlines()[0])
    except (RecursionError, ValueError, TypeError):
        return None, None


def broken_yaml(guest: Guest, *patterns: str) -> Iterator[tuple[str, int, str]]:
    """Yield path, line and reason of files that are no YAML."""
    for path, text in _configurations(guest, *patterns):
        fault = yaml_fault(text)
        if fault is not None:
            yield path, *fault


_VIRTUAL = ("bridges", "bonds", "vlans", "tunnels", "vrfs", "dummy-devices")


def _netplan(guest: Guest) -> Iterator[Interface]:
    """Read all files as one: a later one changes what an earlier one says of an interface."""
    own = {path.rpartition("/")[2] for path, _ in guest.matching(NETPLAN[0])}
    yield from _of_version_2(
        (path, values.get("network"))
        for path, values in read_yaml_files(guest, *NETPLAN)
        if not (path.startswith("/lib/") and path.rpartition("/")[2] in own)
    )


def of_cloud_init(path: str, network: dict[str, object]) -> Iterator[Interface]:
    """Yield the interfaces of cloud-init's own setting `network`, in either of its versions.

    Source: cloud-init's documentation, "Network configuration", versions 1 and 2.
    """
    if network.get("version") != 1:
        yield from _of_version_2([(path, network)])
        return
    listed = network.get("config")
    items = [i for i in (listed if isinstance(listed, list) else []) if isinstance(i, dict)]
    members = {str(name) for item in items for key in _MEMBER_KEYS for name in _names(item, key)}
    for item in items:
        name, kind = item.get("name"), item.get("type")
        if isinstance(name, str) and kind in ("physical", "bond", "bridge", "vlan"):
            subnets = item.get("subnets")
            types = [
                str(subnet.get("type"))
                for subnet in (subnets if isinstance(subnets, list) else [])
                if isinstance(subnet, dict) and subnet.get("type") != "manual"  # it is brought up
            ]
            mac = item.get("mac_address")
            yield Interface(
                path, name, bool({"dhcp", "dhcp4"} & set(types)),
                mac if isinstance(mac, str) else None, True,
                name in members or not types, kind != "physical",
            )  # fmt: skip


_MEMBER_KEYS = ("bond_interfaces", "bridge_interfaces", "vlan_link")


def _names(item: dict[str, object], key: str) -> list[object]:
    value = item.get(key)
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []


def _of_version_2(networks: Iterable[tuple[str, object]]) -> Iterator[Interface]:
    found: dict[tuple[str, str], tuple[str, dict[str, object]]] = {}
    for path, network in networks:
        for kind in ("ethernets", *_VIRTUAL):
            defined = network.get(kind) if isinstance(network, dict) else None
            for name, settings in (defined if isinstance(defined, dict) else {}).items():
                if isinstance(settings, dict):
                    key = (kind, str(name))
                    found[key] = (path, {**found.get(key, ("", {}))[1], **settings})
    members = {
        str(member)
        for (kind, _), (_, settings) in found.items()
        if kind in _VIRTUAL
        for member in _members(settings)
    }
    for (kind, name), (path, settings) in found.items():
        yield _netplan_interface(path, kind, name, settings, name in members)


def _members(settings: dict[str, object]) -> list[object]:
    below = settings.get("interfaces")
    link = settings.get("link")
    return [*(below if isinstance(below, list) else []), *([link] if isinstance(link, str) else [])]


def _netplan_interface(
    path: str, kind: str, name: str, settings: dict[str, object], member: bool
) -> Interface:
    match = settings.get("match")
    match = match if isinstance(match, dict) else None
    mac = match.get("macaddress") if match is not None else None
    driver = match.get("driver") if match is not None else None
    shown = name
    if match is not None:  # then the key is only a handle
        pattern = match.get("name")
        shown = pattern if isinstance(pattern, str) else name if mac else "*"
    return Interface(
        path, shown, settings.get("dhcp4") in (True, "yes", "true", "on"),
        mac if isinstance(mac, str) else None, True, member, kind != "ethernets",
        driver if isinstance(driver, str) else None,
    )  # fmt: skip


def _interfaces(path: str, text: str) -> Iterator[Interface]:
    lines = [line.split() for line in text.splitlines()]
    made = _made_of_others(lines)
    starts = [
        name
        for words in lines
        if words and (words[0] == "auto" or words[0].startswith("allow-"))
        for name in words[1:]
    ]
    for words in lines:
        if len(words) > 3 and words[0] == "iface" and words[2] == "inet":
            name, method = words[1], words[3]
            virtual = name in made or bool(re.match(r"(?:br|bond|vlan|dummy)\d|.*\.\d+$", name))
            started = [pattern for one in starts if (pattern := _brought_up(one, name))]
            shown = started[0] if started else name
            if method not in ("loopback", "manual"):
                dhcp = method == "dhcp"
                yield Interface(path, shown, dhcp, None, bool(started), virtual=virtual)
            elif method == "manual":
                yield Interface(path, shown, False, None, bool(started), True, virtual)


def _brought_up(word: str, name: str) -> str | None:
    """Return the cards for which a word of an `auto` line brings a stanza up, or None.

    `/PATTERN` means every card that fits, `/PATTERN=NAME` gives those the stanza NAME.
    """
    if not word.startswith("/"):
        physical, _, logical = word.partition("=")
        return physical if name in (logical or physical,) else None
    pattern, _, logical = word[1:].partition("=")
    if logical:
        return pattern if name == logical else None
    return name if fnmatchcase(name, pattern) else None


def _made_of_others(lines: list[list[str]]) -> set[str]:
    """Return the interfaces whose stanza names the cards that they are made of."""
    made, name = set(), ""
    for words in lines:
        if words[:1] == ["iface"] and len(words) > 1:
            name = words[1]
        elif words and re.match(r"(?:bridge|bond)[_-](?:ports|slaves)|vlan[_-]raw", words[0]):
            made.add(name)
    return made


def _ifcfg(path: str, text: str) -> Iterator[Interface]:
    values = read_assignments(text)
    name = values.get("DEVICE") or path.rsplit("ifcfg-", 1)[-1]
    kind = values.get("TYPE", "Ethernet").lower()
    virtual = kind not in ("ethernet", "eth") or bool(
        {"BRIDGE", "BONDING_MASTER", "ETHERDEVICE"} & values.keys() and kind != "ethernet"
    )
    virtual = virtual or values.get("VLAN", "").lower() == "yes"
    member = bool({"BRIDGE", "MASTER", "TEAM_MASTER"} & values.keys())
    protocol = values.get("BOOTPROTO", "none").lower()
    dhcp = protocol.startswith("dhcp") or protocol == "bootp"
    starts = values.get("ONBOOT", "yes").lower() != "no" and values.get(
        "STARTMODE", "auto"
    ) not in ("off", "manual")
    mac = values.get("HWADDR") or values.get("LLADDR")
    yield Interface(path, name, dhcp, mac, starts, member, virtual)


def _connection(path: str, text: str) -> Iterator[Interface]:
    sections = read_ini(text)
    connection = sections.get("connection", {})
    kind = connection.get("type", "")
    if kind not in ("ethernet", "802-3-ethernet", "bridge", "bond", "vlan", "team"):
        return
    member = bool(connection.get("master") or connection.get("controller"))
    wired = sections.get("ethernet") or sections.get("802-3-ethernet") or {}
    match = {
        key: value.replace(";", " ").strip() for key, value in sections.get("match", {}).items()
    }
    name = connection.get("interface-name") or match.get("interface-name") or "*"
    method = sections.get("ipv4", {}).get("method", "auto")
    starts = connection.get("autoconnect", "true").lower() != "false"
    virtual = "ethernet" not in kind
    mac = wired.get("mac-address")
    driver = match.get("driver") or None
    yield Interface(path, name, method == "auto", mac, starts, member, virtual, driver)


def _networkd(path: str, text: str) -> Iterator[Interface]:
    sections = read_ini(text)
    match, network = sections.get("match", {}), sections.get("network", {})
    dhcp = network.get("dhcp", "no").lower() in ("yes", "true", "ipv4", "both", "1")
    # Repeated keys add to one another.
    names = re.findall(r"^\s*Name\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    name = " ".join(names) or "*"
    member = bool({"bridge", "bond", "vlan", "vrf", "batmanadvanced"} & network.keys())
    virtual = bool(re.match(r"(?:br|bond|vlan|docker|veth|virbr|cni|wg|tun|tap|lxc)", name))
    unmanaged = sections.get("link", {}).get("unmanaged", "").lower() in ("yes", "true", "1")
    if unmanaged or match.get("type", "ether") not in ("ether", "*", ""):
        return
    driver = match.get("driver")
    mac = match.get("macaddress") or match.get("permanentmacaddress")
    yield Interface(path, name, dhcp, mac, True, member, virtual, driver)
