"""cloud-init: whether it is there, will run, and is set as the service's guide asks.

Sources: cloud-init's documentation (boot stages, ds-identify, configuration merging);
"Installing Cloud-Init" and "Configuring Cloud-Init", user guide of the service.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from typing import NamedTuple

from imsprep.guest.chain.values import BootEntry
from imsprep.guest.linux.network import (
    Interface,
    of_cloud_init,
    read_yaml,
    read_yaml_files,
)
from imsprep.guest.model import Guest

MAIN, MORE = "/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg"
PROGRAMS = ("/usr/bin/cloud-init", "/usr/local/bin/cloud-init")
DISABLED, IDENTIFY = "/etc/cloud/cloud-init.disabled", "/etc/cloud/ds-identify.cfg"

# The services that ask for metadata; the names behind the first two are those of cloud-init 24.3.
# What systemd starts is linked in a .wants folder; cloud-init's generator alone, which adds
# cloud-init.target at boot, starts nothing if the services are not linked there.
_SERVICES = ("cloud-init", "cloud-init-local", "cloud-init-main", "cloud-init-network")
_UNITS = tuple(
    f"{folder}/*.wants/{name}.service"
    for folder in ("/etc/systemd/system", "/lib/systemd/system")
    for name in _SERVICES
)
# What is masked keeps all or a part of it from running.
_UNIT_NAMES = (
    "cloud-init.target",
    "cloud-config.target",
    *(f"{name}.service" for name in (*_SERVICES, "cloud-config", "cloud-final")),
)
_GENERATOR = "/etc/systemd/system-generators/cloud-init-generator"
# systemd looks at no start script of a service for which it has a unit.
_UNIT = "/lib/systemd/system/cloud-init.service"
_SCRIPTS = ("/etc/rc3.d/S*cloud-init*", "/etc/rc.d/rc3.d/S*cloud-init*",
            "/etc/runlevels/*/cloud-init*", "/etc/runit/runsvdir/*/cloud-init*",
            "/var/service/cloud-init*")  # fmt: skip
_LINE_LIMIT = 4096  # characters; the kernel takes no longer command line (COMMAND_LINE_SIZE)
_MERGE_DEPTH = 8  # YAML's aliases can make a mapping that holds itself


def installed(guest: Guest) -> bool:
    """Return whether cloud-init is there."""
    return any(guest.exists(path) for path in PROGRAMS) or guest.exists(MAIN)


def enabled(guest: Guest) -> bool:
    """Return whether it runs at boot."""
    return stopped(guest) is None


def stopped(guest: Guest) -> str | None:
    """Return what keeps it from running at boot, or None."""
    if guest.exists(DISABLED):
        return f"{DISABLED} is there"
    if re.search(r"^\s*policy:\s*disabled", guest.text(IDENTIFY) or "", re.MULTILINE):
        return f"{IDENTIFY} says policy: disabled"
    for boot in default_entries(guest):
        if "cloud-init=disabled" in boot.arguments:
            return f"{boot.path} line {boot.line} says cloud-init=disabled"
        for argument in boot.arguments:
            if argument.removeprefix("systemd.mask=") in _UNIT_NAMES:
                return f"{boot.path} line {boot.line} says {argument}"
    masked = [name for name in _UNIT_NAMES if _is_null(guest, f"/etc/systemd/system/{name}")]
    if masked:
        return f"{masked[0]} is masked"
    if _is_null(guest, _GENERATOR):
        return f"{_GENERATOR} is masked, so that nothing starts cloud-init.target"
    starters = _UNITS if guest.exists(_UNIT) else (*_UNITS, *_SCRIPTS)
    linked = any(True for _ in guest.matching(*starters))
    return None if linked else "no unit or start script of cloud-init is enabled"


def _is_null(guest: Guest, path: str) -> bool:
    entry = guest.files.get(path)
    return entry is not None and entry.target == "/dev/null"


def default_entries(guest: Guest) -> list[BootEntry]:
    """Return the boot entries that start by default, of every firmware."""
    return [route.entry for route in guest.boot.routes if route.entry is not None]


def ignition_platform(guest: Guest) -> SeedSource | None:
    """Return the platform that Ignition asks, which sets such systems up at their first start.

    Source: Ignition's documentation, "Supported platforms": ignition.platform.id, and
    flatcar.oem.id of Flatcar.
    """
    for entry in default_entries(guest):
        for key in ("ignition.platform.id", "flatcar.oem.id", "coreos.oem.id"):
            value = entry.value(key)
            if value:
                where = f"{entry.path} line {entry.line}" if entry.line else entry.path
                return SeedSource(where, f"{key}={value[:60]}", (value.lower(),))
    return None


class SeedSource(NamedTuple):
    """A data source that is forced, and where."""

    where: str
    text: str
    names: tuple[str, ...]  # in lower case


def forced_source(guest: Guest) -> SeedSource | None:
    """Return the source that the command line or ds-identify forces, whatever the list says.

    Sources: cloud-init's documentation, "Kernel command line" (ds=, ci.ds=, ci.datasource=), and
    tools/ds-identify (`datasource:` of its configuration).
    """
    for entry in default_entries(guest):
        for argument in entry.arguments:
            key, _, value = argument.strip("\"'").partition("=")
            if key in ("ds", "ci.ds", "ci.datasource") and value:
                name = value.partition(";")[0].strip("\"'[] ").lower()
                where = f"{entry.path} line {entry.line}"
                return SeedSource(where, argument[:120], (name.removesuffix("-net"),))
    found = re.search(r"^\s*datasource:\s*(.+?)\s*$", guest.text(IDENTIFY) or "", re.MULTILINE)
    if found is not None:
        names = tuple(re.findall(r"\w+", found[1].lower()))
        return SeedSource(IDENTIFY, f"datasource: {found[1][:100]}", names)
    return None


def settings(guest: Guest) -> dict[str, object]:
    """Merge the configuration as cloud-init does: later files win, the command line last."""
    merged: dict[str, object] = {}
    for pattern in (MAIN, MORE):
        for _, values in read_yaml_files(guest, pattern):
            _merge(merged, values)
    for _, values in _on_command_line(guest):
        _merge(merged, values)
    return merged


def _on_command_line(guest: Guest) -> Iterator[tuple[str, dict[str, object]]]:
    r"""Yield what the entries that start by default hand over, and where that stands.

    Source: cloud-init's documentation, "Kernel command line": `cc: YAML end_cc`, in which `\n` is
    a line's end and which may be quoted as in a URL.
    """
    for entry in default_entries(guest):
        line = urllib.parse.unquote(" ".join(entry.arguments)).replace("\\n", "\n")
        for text in re.findall(r"(?:^| )cc:(.*?)(?:end_cc|$)", line, re.DOTALL):
            yield f"{entry.path} line {entry.line}", read_yaml(text.strip()[:_LINE_LIMIT])


def _merge(into: dict[str, object], more: dict[str, object], depth: int = 0) -> None:
    for key, value in more.items():
        old = into.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and depth < _MERGE_DEPTH:
            into[key] = both = dict(old)  # an alias may hold it elsewhere too
            _merge(both, value, depth + 1)
        else:
            into[key] = value


def own_network(guest: Guest) -> list[Interface]:
    """Return the interfaces that cloud-init's own configuration sets up; they come before others.

    It takes them rather than what the data source says, and writes no fallback.
    """
    network = settings(guest).get("network")
    if not isinstance(network, dict) or network.get("config") == "disabled":
        return []
    if not (installed(guest) and enabled(guest)):
        return []
    return list(of_cloud_init(where(guest, "network"), network))


def ours(guest: Guest) -> str:
    """Return the file for the guide's settings, so named that it has the last word."""
    usual, last = (f"/etc/cloud/cloud.cfg.d/{name}_openstack.cfg" for name in ("99", "zzz"))
    return last if any(path > usual for path, _ in guest.matching(MORE)) else usual


def where(guest: Guest, key: str) -> str:
    """Return the file, or the line of a boot entry, that has the last word on a setting."""
    lines = [place for place, values in _on_command_line(guest) if key in values]
    if lines:
        return f"{lines[-1]}, after cc:"
    files = [path for path, values in read_yaml_files(guest, MORE) if key in values]
    return files[-1] if files else MAIN
