"""IMS817: whether a boot can be seen on the serial console."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, rule
from imsprep.checks.subject.boot_entry import (
    place,
    started,
)
from imsprep.checks.subject.guest import LINUX_GUIDE, advice
from imsprep.report import Severity


@rule(
    "IMS817",
    Severity.NOTE,
    "The kernel does not write to the serial console",
    why="Without it the console log of the server stays empty when boot goes wrong.",
    fix=advice(
        "add console=tty0 console=ttyS0,115200 to GRUB_CMDLINE_LINUX and write grub.cfg again"
    ),
    source=LINUX_GUIDE,
)
def serial_console(facts: Facts) -> Iterator[Evidence]:
    """Look for console=ttyS0 (ttyAMA0 on arm) in the command line of the entry that starts."""
    entry = started(facts).entry
    if not any(a.startswith(("console=ttyS", "console=ttyAMA")) for a in entry.arguments):
        yield Evidence(f"{place(entry)} has no console=ttyS0")
