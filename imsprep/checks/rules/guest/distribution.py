"""IMS839: settings that the user guide asks of one family of distributions only."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.subject.guest import LINUX_GUIDE, advice, linux
from imsprep.guest.linux import cloud_init
from imsprep.guest.linux.network import IFCFG_REDHAT
from imsprep.guest.linux.os_release import System, identify, read_assignments
from imsprep.guest.model import Guest
from imsprep.report import Severity

_REDHAT = ("centos", "rhel", "ol", "euleros", "openeuler", "almalinux", "rocky")
_GENERATOR = "/lib/udev/rules.d/75-persistent-net-generator.rules"


@rule(
    "IMS839",
    Severity.NOTE,
    "Settings that the guide asks of this distribution are not made",
    why="Without them a lease can run out for good, or the host name and metadata route go wrong.",
    fix=advice("make the setting in the file that is named"),
    source=LINUX_GUIDE,
)
def family_settings(facts: Facts) -> Iterator[Evidence]:
    """Ask each family for its own; a system that is not known has none."""
    guest = linux(facts)
    system = identify(guest)
    if system is None:
        raise UnknownError("the image does not say which system it is")
    for path, setting in _lacking(guest, system):
        empty = fixes.on_file("truncate -s 0", "--truncate", path)
        fix = empty if path == _GENERATOR else fixes.with_line(path, setting)
        lacks = setting if path == _GENERATOR else f"does not set {setting}"
        yield Evidence(f"{path} {lacks}", fix=fix)


def _lacking(guest: Guest, system: System) -> Iterator[tuple[str, str]]:
    if system.family in ("debian", "ubuntu"):
        yield from _debian(guest)
    elif system.family in ("sles", "opensuse"):
        yield from _assigned(guest, "/etc/sysconfig/network/dhcp",
                             DHCLIENT_USE_LAST_LEASE="no", DHCLIENT_SET_HOSTNAME="no")  # fmt: skip
    elif system.family in _REDHAT:
        yield from _redhat(guest, system)


def _debian(guest: Guest) -> Iterator[tuple[str, str]]:
    try:
        settings = cloud_init.settings(guest)
    except ImportError:
        raise UnknownError("cloud-init's YAML needs imsprep[guest]") from None
    if cloud_init.installed(guest) and settings.get("manage_etc_hosts") != "localhost":
        yield cloud_init.ours(guest), "manage_etc_hosts: localhost"


def _redhat(guest: Guest, system: System) -> Iterator[tuple[str, str]]:
    configured = False
    for path, entry in guest.matching(IFCFG_REDHAT):
        values = read_assignments(entry.text or "")
        if values.get("BOOTPROTO", "").lower() == "dhcp":
            configured = True
            if values.get("PERSISTENT_DHCLIENT", "").lower() not in ("y", "yes", "1"):
                yield path, 'PERSISTENT_DHCLIENT="y"'
    if configured:  # NetworkManager's own profiles know neither of the two
        yield from _assigned(guest, "/etc/sysconfig/network", NOZEROCONF="yes")
    if system.version[:1] == (6,) and guest.exists(_GENERATOR) and guest.files[_GENERATOR].size:
        yield _GENERATOR, "is not empty: it writes rules for network cards again"


def _assigned(guest: Guest, path: str, **wanted: str) -> Iterator[tuple[str, str]]:
    values = read_assignments(guest.text(path) or "")
    for key, value in wanted.items():
        if values.get(key, "").lower() != value:
            yield path, f'{key}="{value}"'
