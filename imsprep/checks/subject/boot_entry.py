"""Which boot entry the rules speak of: the one that starts by default on the server."""

from __future__ import annotations

from typing import NamedTuple

from imsprep.checks.facts import Facts
from imsprep.checks.rule import UnknownError
from imsprep.checks.subject.guest import any_guest
from imsprep.guest.chain.values import BIOS, UEFI, BootEntry, Initramfs, Route
from imsprep.guest.model import WINDOWS, Guest, Kernel


class Started(NamedTuple):
    """What starts: on which way, and what was found of its kernel and initramfs."""

    guest: Guest
    route: Route
    entry: BootEntry
    image: Initramfs | None  # None: the entry names none, or it was not examined
    kernel: Kernel | None  # as it is installed below /lib/modules


def firmware(facts: Facts, guest: Guest) -> str:
    """Return the firmware that the request asks for, or that the image is for."""
    if facts.request.architecture == "arm" or guest.machine == "aarch64":
        return UEFI
    return facts.request.hw_firmware_type or (BIOS if guest.boot_code else UEFI)


def route_of(facts: Facts) -> tuple[Guest, Route]:
    """Return the way that the server's firmware goes; UnknownError where none was found."""
    guest = any_guest(facts)
    if guest.system == WINDOWS:
        raise UnknownError("the image holds Windows, not Linux")
    wanted = firmware(facts, guest)
    route = guest.boot.route(wanted)
    if route is None:
        reasons = [guest.boot.unread or f"no loader was found that {wanted.upper()} would start"]
        raise UnknownError("; ".join([*reasons, *guest.unread]))
    if route.unknown is not None:
        raise UnknownError(f"{route.loader}: {route.unknown}")
    return guest, route


def started(facts: Facts) -> Started:
    """Return the entry that starts by default; UnknownError where it was not followed so far."""
    guest, route = route_of(facts)
    entry = route.entry
    if entry is None:
        raise UnknownError("the loader has no menu (IMS807)")
    if entry.unknown is not None:
        raise UnknownError(f"{entry.title}: {entry.unknown}")
    image = guest.boot.image(entry)
    return Started(guest, route, entry, image, _kernel(guest, entry, image))


def _kernel(guest: Guest, entry: BootEntry, image: Initramfs | None) -> Kernel | None:
    versions = [entry.version, *(image.versions if image is not None else ())]
    by_version = {kernel.version: kernel for kernel in guest.kernels}
    found = next((by_version[v] for v in versions if v in by_version), None)
    return found or next((k for k in guest.kernels if k.image == entry.kernel), None)


def arguments(found: Started) -> tuple[str, ...]:
    """Return the command line with what dracut built into the initramfs in front of it."""
    built_in = found.image.arguments if found.image is not None else ()
    return (*built_in, *found.entry.arguments)


def value(found: Started, name: str) -> str | None:
    """Return the last value of an argument `name=value`, of either."""
    values = [a.partition("=")[2] for a in arguments(found) if a.startswith(f"{name}=")]
    return values[-1] if values else None


def place(entry: BootEntry) -> str:
    """Name where an entry's command line stands."""
    return f"{entry.path} line {entry.line}" if entry.line else entry.path


def origin(found: Started, argument: str) -> str:
    """Name where an argument of the command line stands, which may be the initramfs itself."""
    if argument not in found.entry.arguments and found.image is not None:
        return f"{found.image.path} (its own command line)"
    return place(found.entry)


def of_value(found: Started, name: str) -> str:
    """Name where the last value of an argument `name=value` stands."""
    return origin(found, f"{name}={value(found, name)}")


def cut(text: str) -> str:
    """Shorten what an image says of itself: no real name is as long as this."""
    return text if len(text) <= 120 else f"{text[:120]}…"


def entries_of(facts: Facts) -> tuple[BootEntry, ...]:
    """Return every entry of the way that the firmware goes; none where it is not known."""
    try:
        return route_of(facts)[1].entries
    except UnknownError:
        return ()
