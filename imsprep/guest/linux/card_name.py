"""Which name the network card of a server gets: the kernel's, udev's by its place, or a file's.

The kernel counts: eth0. systemd's udev then names a card of a PCI bus by its slot or path (ens3,
enp0s3) unless `net.ifnames=0`, a mask or a `.link` file keeps it from that. On KVM the card is one
of virtio on PCI; in which slot, and so under which name, is not known. Sources: systemd.link(5),
systemd.net-naming-scheme(7), 80-net-setup-link.rules and the older 80-net-name-slot.rules; Debian's
README of udev (75-persistent-net-generator.rules of Debian 8 and older, where udev gives no names
by place). That the service's card is on PCI is inferred from the drivers that its guide asks for.
"""

from __future__ import annotations

import enum
import re
from fnmatch import fnmatchcase
from typing import NamedTuple

from imsprep.guest.linux.ini import read_ini
from imsprep.guest.linux.os_release import identify
from imsprep.guest.model import Entry, Guest
from imsprep.guest.paths import (
    LINKS,
    NET_GENERATORS,
    NET_RULES,
    UDEV_RULES,
    UDEVD,
    VENDOR_RULES,
)

_SETUP_LINK, _NAME_SLOT = (rule.rpartition("/")[2] for rule in NET_RULES)
_GENERATOR = NET_GENERATORS[0].rpartition("/")[2]
# SUSE's udev decides by settings of its own whether it gives such names.
_OWN_WAY = {"sles", "opensuse", "suse"}
_ELSEWHERE = ("/etc/mactab", "/etc/iftab")  # nameif(8), ifrename(8)
_ARGUMENTS = ("ifname=", "net.ifnames.prefix=", "ifnames=")  # of dracut and others
_NAMES = re.compile(r"\bNAME\s*:?=(?!=)|ID_NET_NAME|\blink\b.*\bname\b|nameif|ifrename")
_OFF = ("0", "no", "false", "off", "n", "f")
# The card as udev sees it; of the places some that a card on KVM may have.
_KERNEL_NAME, _DRIVER, _TYPE = "eth0", "virtio_net", "ether"
_PLACES = ("pci-0000:00:03.0", "pci-0000:00:05.0", "pci-0000:01:00.0", "pci-0000:04:01.0")


class Way(enum.Enum):
    """Who gives the name that the card has in the end."""

    KERNEL = "the kernel"  # eth0
    PLACE = "udev, by its place"  # ens3, enp0s3
    FILE = "a .link file"
    UNKNOWN = "not known"


class CardName(NamedTuple):
    """How the card is named."""

    way: Way
    name: str | None = None  # of a .link file
    others: bool = False  # udev gives names by its place as alternatives too

    @property
    def always_eth(self) -> bool:
        """Return whether it has no other name than the kernel's: eth0."""
        return self.way is Way.KERNEL and not self.others

    @property
    def never_eth(self) -> bool:
        """Return whether it is proved, for a card on PCI, that it is not called eth0."""
        return self.way is Way.PLACE


UNKNOWN = CardName(Way.UNKNOWN)


def card_name(guest: Guest) -> CardName:
    """Return how the first card of a server is named; UnknownError where files were not seen."""
    entries = [route.entry for route in guest.boot.routes if route.entry is not None]
    if not entries or any(e.unknown for e in entries) or not any(map(guest.exists, UDEVD)):
        return UNKNOWN
    if (
        _named_elsewhere(guest)
        or _named_in_initramfs(guest)
        or any(argument.startswith(_ARGUMENTS) for entry in entries for argument in entry.arguments)
    ):
        return UNKNOWN
    off = {entry.value("net.ifnames") in _OFF for entry in entries}
    by_link = _by_link(guest)
    if off == {True}:
        return CardName(Way.KERNEL, others=by_link.others)
    return _by_rules(guest, by_link) if off == {False} else UNKNOWN


def _named_elsewhere(guest: Guest) -> bool:
    """Return whether an older udev, a rule of the system's own or another program gives names."""
    system = identify(guest)
    if system is None or {system.family, *system.relatives} & _OWN_WAY:
        return True
    if any(map(guest.exists, (*NET_GENERATORS, *_ELSEWHERE))):
        return True
    for path, entry in guest.matching(UDEV_RULES):
        lines = (line for line in (entry.text or "").splitlines() if not line.startswith("#"))
        if path.rpartition("/")[2] not in (_SETUP_LINK, _NAME_SLOT) and any(
            _NAMES.search(line) for line in lines
        ):
            return True
    for path, _ in guest.matching(*VENDOR_RULES):  # these name cards; one of /etc takes its place
        name = path.rpartition("/")[2]
        if name not in (_SETUP_LINK, _NAME_SLOT, _GENERATOR) and not guest.exists(
            f"/etc/udev/rules.d/{name}"
        ):
            return True
    ifupdown = guest.text("/etc/network/interfaces") or ""
    return re.search(r"^\s*rename\s", ifupdown, re.MULTILINE) is not None


def _named_in_initramfs(guest: Guest) -> bool:
    """Return whether an initramfs names the card by what the system does not have, or no more.

    There udev names it first, and policies of the system that say `keep` leave it so.
    """
    own = (path for path, _ in guest.matching(UDEV_RULES, *VENDOR_RULES, *LINKS))
    names = {path.rpartition("/")[2] for path in own}
    return any(
        not names.issuperset(image.naming)
        for image in guest.boot.images
        if _DRIVER in image.drivers
    )


def _by_rules(guest: Guest, by_link: CardName) -> CardName:
    """Return what the rules that lead to a name come to, of which one of /etc counts first."""
    masked = False
    for name in (_SETUP_LINK, _NAME_SLOT):
        own = guest.files.get(f"/etc/udev/rules.d/{name}")
        rule = own or guest.files.get(f"/lib/udev/rules.d/{name}")
        if rule is not None and _is_nothing(rule):
            masked = True
        elif rule is not None:
            text = rule.text or ""
            asked = [m[1] for m in re.finditer(r"net\.ifnames\}\s*([!=]=\s*\"\w*\")", text)]
            if any(one.replace(" ", "") != '=="0"' for one in asked) or "NAME" not in text:
                return UNKNOWN
            return by_link if name == _SETUP_LINK else CardName(Way.PLACE)
    return CardName(Way.KERNEL) if masked else UNKNOWN


def _is_nothing(entry: Entry) -> bool:
    """Return whether a file is masked: a link to /dev/null, or empty."""
    return entry.target == "/dev/null" or (entry.text is not None and not entry.text.strip())


def _by_link(guest: Guest) -> CardName:
    """Return what the first .link file that fits the card says."""
    files: dict[str, Entry] = {}
    for pattern in LINKS:  # of one name, that of the first folder counts
        for path, entry in guest.matching(pattern):
            files.setdefault(path.rpartition("/")[2], entry)
    if any(True for _ in guest.matching(*(f"{pattern}.d/*" for pattern in LINKS))):
        return UNKNOWN
    for _, entry in sorted(files.items()):
        if _is_nothing(entry):
            continue
        sections = read_ini(entry.text or "")
        fits = _fits(sections.get("match", {}))
        if fits is None:
            return UNKNOWN
        if fits:
            return _of_link(sections.get("link", {}))
    return CardName(Way.KERNEL)


def _of_link(link: dict[str, str]) -> CardName:
    policy = link.get("namepolicy", "").split()
    others = bool({"slot", "path"} & set(link.get("alternativenamespolicy", "").split()))
    if {"slot", "path"} & set(policy):
        return CardName(Way.PLACE, others=others)
    if {"mac", "onboard", "database"} & set(policy):
        return UNKNOWN  # QEMU's cards have none of the last two as a rule
    name = link.get("name")
    return CardName(Way.FILE if name else Way.KERNEL, name or None, others)


def _fits(match: dict[str, str]) -> bool | None:
    """Return whether a [Match] fits the card; None where that is not known."""
    verdicts = [_verdict(key, value) for key, value in match.items() if value]
    if False in verdicts:
        return False
    return True if verdicts and None not in verdicts else None


def _verdict(key: str, value: str) -> bool | None:
    """Return whether one condition holds for the card."""
    seen = {"originalname": _KERNEL_NAME, "driver": _DRIVER, "type": _TYPE}.get(key)
    words = value.removeprefix("!").split()
    if seen is not None:
        return any(fnmatchcase(seen, word) for word in words) is not value.startswith("!")
    if value.startswith("!"):
        return None
    if key == "path":
        everywhere = all(any(fnmatchcase(place, word) for word in words) for place in _PLACES)
        return True if everywhere else False if "usb" in value else None
    if key in ("macaddress", "permanentmacaddress", "kind"):
        return False  # of another card, or of no card
    return False if (key, value) == ("property", "ID_BUS=usb") else None
