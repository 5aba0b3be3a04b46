"""IMS848: a boot that was made to stop for someone at the console, and left so."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, rule
from imsprep.checks.subject.boot_entry import (
    Started,
    arguments,
    cut,
    origin,
    place,
    started,
    value,
)
from imsprep.checks.subject.guest import advice
from imsprep.guest.model import LINK
from imsprep.report import Severity

_DEFAULT = "/etc/systemd/system/default.target"
_DEFAULTS = (_DEFAULT, "/usr/local/lib/systemd/system/default.target",
             "/usr/lib/systemd/system/default.target",
             "/lib/systemd/system/default.target")  # fmt: skip
_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_STOPS = re.compile(
    r"rd\.break(?:=.*)?$|break(?:=.*)?$|single$|emergency$|rescue$|[sS1]$|-b$"
    r"|(?:rd\.)?systemd\.unit=(?:emergency|rescue)(?:\.target)?$|init=/(?:usr/)?bin/(?:[bd]?a)?sh$"
)


def _asked_target(found: Started, name: str) -> Iterator[Evidence]:
    """Look for the target that systemd.unit= names among the units of the system."""
    places = [f"{folder}/{name}" for folder in _UNITS]
    known = any(path in found.guest.files for path in _SYSTEMD)
    if known and name.endswith(".target") and not any(map(found.guest.exists, places)):
        yield Evidence(
            f"{place(found.entry)} says systemd.unit={cut(name)}, which is not in the image",
            found=f"systemd.unit={cut(name)}",
        )


_UNITS = ("/etc/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system")


def _default_target(found: Started) -> Iterator[Evidence]:
    """Look where default.target leads: systemd goes to rescue.target if that is nowhere."""
    guest = found.guest
    path = next((path for path in _DEFAULTS if path in guest.files), None)
    if path is None:
        if _runs_systemd(found) and _RESCUE in guest.files:
            guest.must_see(*_DEFAULTS)
            yield Evidence(
                "systemd has no default.target, and goes to rescue.target",
                expected=_WANTED,
                fix=_WITH_TARGET,
            )
        return
    link = guest.files[path]
    if link.target is None:
        return
    name = link.target.rpartition("/")[2]
    gone = link.target == "/dev/null"
    # A link into what is not there is only wrong where systemd and its units are.
    if link.kind == LINK and not gone and any(path in guest.files for path in _SYSTEMD):
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), link.target))
        guest.must_see(place, f"/usr{place}")
        gone = not any(guest.exists(f"{folder}/{name}") for folder in _UNITS)
    if gone or name in ("rescue.target", "emergency.target"):
        guest.must_see(*_DEFAULTS[: _DEFAULTS.index(path)])
        yield Evidence(
            f"{path} leads to {cut(link.target if gone else name)}"
            f"{', which is not a target' if gone else ''}",
            expected=_WANTED,
            found=cut(name),
            fix=_WITH_TARGET,
        )


_WANTED = "multi-user.target or graphical.target"
_WITH_TARGET = fixes.command(f"ln -sf /lib/systemd/system/multi-user.target {_DEFAULT}")
_RESCUE = "/lib/systemd/system/rescue.target"
_RUNLEVELS = frozenset("2345")  # as arguments of their own each stands for a target


def _runs_systemd(found: Started) -> bool:
    """Return whether the first program is systemd, which /sbin/init leads to."""
    init = found.guest.files.get("/sbin/init")
    asked = value(found, "init")
    usual = asked in (None, "/sbin/init", *_SYSTEMD)
    return usual and init is not None and (init.target or "").endswith("/systemd")


@rule(
    "IMS848",
    Severity.ERROR,
    "The boot stops for someone at the console",
    why="A server that waits for a key or opens a shell never comes up by itself.",
    fix=advice("remove the argument, and write the loader's configuration again"),
    source="systemd(1): kernel command line; dracut.cmdline(7): rd.break; initramfs-tools(7): "
    "break; GRUB manual 2.12: timeout",
)
def stops_on_purpose(facts: Facts) -> Iterator[Evidence]:
    """Look for arguments that open a shell, and for a menu without a time limit."""
    found = started(facts)
    for argument in dict.fromkeys(arguments(found)):
        if _STOPS.match(argument):
            yield Evidence(f"{origin(found, argument)} says {cut(argument)}", found=cut(argument))
    asked = [a.partition("=")[2] for a in arguments(found) if a.startswith("systemd.unit=")]
    if asked:
        yield from _asked_target(found, asked[-1])
    elif not _RUNLEVELS & set(arguments(found)):
        yield from _default_target(found)
    if found.route.waits is not None:
        yield Evidence(
            f"{cut(found.route.waits)}, so that the boot waits for a key",
            expected="an entry that starts by itself",
            fix=_WITHOUT_PASSWORD if "password" in found.route.waits else _WITH_TIMEOUT,
        )


_WITH_TIMEOUT = advice(
    "set GRUB_TIMEOUT=5 in /etc/default/grub (systemd-boot: timeout in loader.conf), and write the "
    "configuration again"
)
_WITHOUT_PASSWORD = advice(
    "add --unrestricted to CLASS in /etc/grub.d/10_linux (a password still guards the menu's "
    f"editor), and {fixes.AGAIN}"
)
