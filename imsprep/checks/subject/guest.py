"""What the guest's rules share: which guest they speak of, and how advice is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imsprep.checks.rule import NOT_INSPECTED, UnknownError
from imsprep.guest.model import LINUX, WINDOWS, Guest

if TYPE_CHECKING:
    from imsprep.checks.facts import Facts

_NAMES = {LINUX: "Linux", WINDOWS: "Windows"}

# Where the documented preparation stands; the same items are in both editions of the guide.
LINUX_GUIDE = "user guide of IMS, “Optimizing a Linux Private Image”, 2025"
WINDOWS_GUIDE = "user guide of IMS, “Optimizing a Windows Private Image”, 2025"
FILE_TABLE = "user guide of IMS, “Image File Properties”, 2025"


def any_guest(facts: Facts) -> Guest:
    """Return what was found inside the image; UnknownError if nothing was read."""
    guest = facts.guest
    if guest is None:
        raise UnknownError(NOT_INSPECTED)
    if not guest.volumes and guest.unread:
        raise UnknownError("; ".join(guest.unread))
    return guest


def guest_of(facts: Facts, system: str) -> Guest:
    """Return the guest if it is of this system; UnknownError with the reason otherwise."""
    guest = any_guest(facts)
    if guest.system == system:
        return guest
    if guest.system is not None:
        raise UnknownError(f"the image holds {_NAMES[guest.system]}, not {_NAMES[system]}")
    if guest.unread:
        raise UnknownError(f"no operating system could be read: {'; '.join(guest.unread)}")
    raise UnknownError("no operating system was found in the image")


def linux(facts: Facts) -> Guest:
    """Return the guest if it is a Linux."""
    return guest_of(facts, LINUX)


def windows(facts: Facts) -> Guest:
    """Return the guest if it is a Windows."""
    return guest_of(facts, WINDOWS)


def advice(inside: str, offline: str | None = None) -> str:
    """Write a fix: what to run in the guest, and the same with virt-customize if that can do it."""
    text = f"In the guest: {inside}"
    return f"{text}; or: virt-customize -a IMAGE {offline}" if offline else text


def listed(paths: list[str], most: int = 5) -> str:
    """Write some paths in a line, and how many more there are."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more
