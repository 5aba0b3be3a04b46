"""IMS848: a boot that was made to stop for someone at the console, and left so."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, rule
from imsprep.checks.rules.guest import fixes
from imsprep.checks.rules.guest.advice import advice
from imsprep.checks.rules.guest.entry import arguments, cut, place, started
from imsprep.report import Severity

_DEFAULT = "/etc/systemd/system/default.target"
_STOPS = re.compile(
    r"rd\.break(?:=.*)?$|break(?:=.*)?$|single$|emergency$|rescue$|[sS1]$|-b$"
    r"|(?:rd\.)?systemd\.unit=(?:emergency|rescue)(?:\.target)?$|init=/(?:usr/)?bin/(?:[bd]?a)?sh$"
)


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
            yield Evidence(f"{place(found.entry)} says {cut(argument)}", found=cut(argument))
    link = found.guest.files.get(_DEFAULT)
    target = (link.target or "").rpartition("/")[2] if link is not None else ""
    overridden = any(a.startswith("systemd.unit=") for a in arguments(found))
    if target in ("rescue.target", "emergency.target") and not overridden:
        yield Evidence(
            f"{_DEFAULT} leads to {target}",
            expected="multi-user.target or graphical.target",
            found=target,
            fix=fixes.command(f"ln -sf /lib/systemd/system/multi-user.target {_DEFAULT}"),
        )
    if found.route.waits is not None:
        yield Evidence(
            f"{cut(found.route.waits)}, so that the boot waits for a key",
            expected="an entry that starts by itself",
            fix=advice("set GRUB_TIMEOUT=5 in /etc/default/grub (systemd-boot: timeout in "
                       "loader.conf), and write the configuration again"),
        )  # fmt: skip
