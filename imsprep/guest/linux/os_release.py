"""Identify the system, and which of the service's `os_version` strings fits it.

The strings are those of "Values of Related Parameters" (API reference): a name, a version and
`64bit`, in no uniform spelling. They are compared by family, version and width, never by text.
Sources of the guest's side: os-release(5) and the release files of older distributions.
"""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from imsprep.cloud.os_names import read_os_name
from imsprep.guest.model import Guest

_IDS = {
    "sled": "sles", "sles_sap": "sles", "opensuse-leap": "opensuse", "redhat": "rhel",
    "opensuse-tumbleweed": "opensuse", "oracle": "ol", "euler": "euleros",
}  # fmt: skip

# Release files of systems without os-release, or that tell the minor version: path, pattern, id.
_RELEASE_FILES = (
    ("/etc/oracle-release", r"Oracle Linux Server release (\d[\d.]*)", "ol"),
    ("/etc/euleros-release", r"EulerOS release (\d[\d.]*)", "euleros"),
    ("/etc/openEuler-release", r"openEuler release (\d[\d.]*)", "openeuler"),
    ("/etc/centos-release", r"CentOS.* release (\d[\d.]*)", "centos"),
    ("/etc/redhat-release", r"CentOS.* release (\d[\d.]*)", "centos"),
    ("/etc/redhat-release", r"Red Hat Enterprise Linux.* release (\d[\d.]*)", "rhel"),
    ("/etc/redhat-release", r"Fedora.* release (\d+)", "fedora"),
    ("/etc/SuSE-release", r"SUSE Linux Enterprise Server (\d+)", "sles"),
    ("/etc/SuSE-release", r"openSUSE (\d[\d.]*)", "opensuse"),
    ("/etc/lsb-release", r"DISTRIB_ID=Ubuntu\s+DISTRIB_RELEASE=(\d[\d.]*)", "ubuntu"),
    ("/etc/debian_version", r"^(\d[\d.]*)", "debian"),
    ("/etc/alpine-release", r"^(\d[\d.]*)", "alpine"),
)  # fmt: skip

_MACHINE_BITS = {"x86_64": 64, "aarch64": 64, "i386": 32, "arm": 32}

# How many numbers of a version make the release that a string must agree with.
_RELEASE_DEPTH = {"ubuntu": 2, "sles": 2, "opensuse": 2, "openeuler": 2, "euleros": 2}


class System(NamedTuple):
    """A system's family, version and width; `bits` is None if nothing tells."""

    family: str
    version: tuple[int, ...]
    bits: int | None
    name: str  # for messages
    source: str  # the file that tells
    relatives: tuple[str, ...] = ()  # families of ID_LIKE in os-release(5), the closest first


def identify(guest: Guest) -> System | None:
    """Identify the Linux distribution of the guest; None if it is not known."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        values = read_assignments(guest.text(path) or "")
        if values.get("ID"):
            family = _IDS.get(values["ID"].lower(), values["ID"].lower())
            version = numbers(values.get("VERSION_ID", ""))
            pack = re.search(r"\(SP(\d+)", values.get("VERSION", ""))
            if family == "euleros" and version[1:] == (0,) and pack is not None:
                version = (version[0], int(pack[1]))  # the service writes 2.0 (SP5) as 2.5
            longer = _from_release_file(guest, family)
            if longer is not None and longer.version[: len(version)] == version:
                version = longer.version
            name = values.get("PRETTY_NAME") or f"{family} {values.get('VERSION_ID', '')}".strip()
            like = values.get("ID_LIKE", "").lower().split()
            relatives = tuple(_IDS.get(other, other) for other in like)
            return System(family, version, _bits(guest), name, path, relatives)
    return _from_release_file(guest, None)


def _from_release_file(guest: Guest, family: str | None) -> System | None:
    for path, pattern, its_family in _RELEASE_FILES:
        text = (guest.text(path) or "")[:4096]
        found = re.search(pattern, text, re.MULTILINE)
        if found is None or family not in (None, its_family):
            continue
        version = numbers(found[1])
        patch = re.search(r"PATCHLEVEL\s*=\s*(\d+)", text)
        if patch is not None and its_family == "sles":
            version = (*version, int(patch[1]))
        name = text.splitlines()[0].strip()
        if name[:1].isdigit():  # debian_version and alpine-release hold the version alone
            name = f"{its_family.capitalize()} {name}"
        return System(its_family, version, _bits(guest), name, path)
    return None


def _bits(guest: Guest) -> int | None:
    return _MACHINE_BITS.get(guest.machine or "")


def numbers(text: str) -> tuple[int, ...]:
    """Read the numbers of a version: `7.9.2009` is (7, 9, 2009)."""
    found = re.match(r"\d+(?:\.\d+)*", text.strip())
    return tuple(int(part[:9]) for part in found[0].split(".")) if found else ()


def read_assignments(text: str) -> dict[str, str]:
    """Read `KEY=value` lines as a shell would, without running anything."""
    values = {}
    for line in text.splitlines():
        key, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not key.startswith("#"):
            try:
                words = shlex.split(value, comments=True)
            except ValueError:
                words = [value]
            values[key.strip()] = " ".join(words)
    return values


class Wanted(NamedTuple):
    """What an `os_version` string means."""

    family: str | None  # None: "Other..." or a family that is not known
    version: tuple[int, ...]
    bits: int | None


# Families of the guest's side, where the service's names tell more apart; None: not compared.
_FAMILIES = {
    "centos-stream": "centos", "sled": "sles", "windows-server": "windows",
    "fedora-coreos": "fedora", "freebsd": None, "neokylin": None, None: None,
}  # fmt: skip


def parse_os_version(text: str) -> Wanted:
    """Read one of the service's strings."""
    name = read_os_name(text)
    family = _FAMILIES.get(name.system, name.system)
    version = name.version
    if family == "sles":
        version = (*version[:1], name.pack or 0)
    return Wanted(family, version, name.bits)


def depth(family: str) -> int:
    """Return how many numbers of the version make a release of this family."""
    return _RELEASE_DEPTH.get(family, 1)


def fits(system: System, os_version: str) -> bool:
    """Return whether a string means this system: same family, release and width."""
    wanted = parse_os_version(os_version)
    count = depth(system.family)
    return (
        wanted.family == system.family
        and padded(wanted.version, count) == padded(system.version, count)
        and (system.bits is None or wanted.bits is None or wanted.bits == system.bits)
    )


def padded(version: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Cut or fill a version to `count` numbers."""
    return (*version, *(0,) * count)[:count]


def fitting(system: System, strings: list[str]) -> list[str]:
    """Return the strings that fit, the nearest minor version first."""
    found = [text for text in strings if fits(system, text)]
    return sorted(found, key=lambda text: _distance(parse_os_version(text).version, system.version))


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(abs(a - b) for a, b in zip(padded(one, 3), padded(other, 3), strict=True))
