"""IMS851: the first program of the system, to which the initramfs hands over."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.rules.guest.advice import advice
from imsprep.checks.rules.guest.entry import cut, started, value
from imsprep.guest.paths import INITS, ORDINARY
from imsprep.report import Severity


@rule(
    "IMS851",
    Severity.ERROR,
    "The system has no first program",
    why="The kernel panics where the initramfs finds no init to hand over to: “No init found”.",
    fix=advice("install the package of the init system again (Debian, Ubuntu: systemd-sysv)"),
    source="the Linux kernel's init/main.c: /sbin/init, /etc/init, /bin/init, /bin/sh; "
    "initramfs-tools(7): init; systemd's switch-root",
)
def no_init(facts: Facts) -> Iterator[Evidence]:
    """Look for what may be the first program, where the system has its ordinary programs."""
    found = started(facts)
    guest = found.guest
    if guest.root is None or not all(any(map(guest.exists, places)) for places in ORDINARY):
        return  # not a system as a whole, or of another kind
    asked = value(found, "init")
    if asked is not None and asked not in INITS:
        raise UnknownError(f"init={cut(asked)} was not looked for")
    maker = found.image.maker if found.image is not None else None
    # Other makers' initramfs may start systemd by its own name.
    places = [path for path in INITS if maker != "initramfs-tools" or "systemd" not in path]
    if not any(map(guest.exists, places)):
        yield Evidence(f"{guest.root} has none of {', '.join(places)}", expected="/sbin/init")
