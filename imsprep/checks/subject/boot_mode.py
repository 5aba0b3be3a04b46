"""The boot mode: which firmware starts the disk, and which one its servers get by the request.

What a request asks for stands. Where it asks for none and UEFI alone starts the disk, an import
asks for UEFI, on a site whose request has a field for it. That a server of the x86 architecture has
a BIOS where none is asked for is inferred: no page names the field's default, and "Image File
Properties" calls BIOS the usual boot mode.
"""

from __future__ import annotations

from typing import NamedTuple

from imsprep.checks.facts import Facts
from imsprep.checks.rule import UnknownError
from imsprep.checks.subject.disk import disk_of
from imsprep.image.volumes.signatures import FAT, RAID

BIOS, UEFI = "bios", "uefi"
FIELD = "hw_firmware_type"

# From where a boot mode is known.
REQUEST, DESCRIPTOR, ARCHITECTURE, DISK = "request", "descriptor", "architecture", "disk"
_FROM = {
    REQUEST: "as requested",
    DESCRIPTOR: "from the machine's descriptor",
    ARCHITECTURE: "as every Arm server",
    DISK: "from the disk",
}


class BootMode(NamedTuple):
    """With which firmware the servers of a system disk start; None: nothing asks for one."""

    firmware: str | None
    origin: str | None  # REQUEST, DESCRIPTOR, ARCHITECTURE or DISK
    disk: tuple[str, ...]  # what starts the disk; empty: not known
    site_without: str | None = None  # the site, if it has no field for what the disk needs

    def __str__(self) -> str:
        """Write it in a sentence without a verb: `UEFI, from the disk`."""
        if self.firmware is not None and self.origin is not None:
            return f"{self.firmware.upper()}, {_FROM[self.origin]}"
        starts = " or ".join(name.upper() for name in self.disk)
        if self.site_without is not None:
            return (
                f"not requested; the disk needs {starts}, for which the request of the site"
                f" {self.site_without} has no field: set it after the import"
            )
        known = f"the disk starts by {starts}" if starts else "what starts the disk is unknown"
        return f"not requested; {known}, and without a request it is BIOS (inferred)"

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {"firmware": self.firmware, "from": self.origin, "disk": list(self.disk)}


def boot_mode(facts: Facts, *, described: bool = False) -> BootMode | None:
    """Return how servers of the image start if it is imported; None of a data disk.

    `described` says that the request's firmware is what an exported machine's descriptor proposes.
    """
    if not facts.is_system_disk:
        return None
    request, starts = facts.request, starting(facts)
    if request.architecture == "arm":
        return BootMode(UEFI, ARCHITECTURE, starts)
    if request.hw_firmware_type is not None:
        return BootMode(request.hw_firmware_type, DESCRIPTOR if described else REQUEST, starts)
    if not is_uefi_only(facts):
        return BootMode(None, None, starts)
    if facts.site.takes(FIELD):
        return BootMode(UEFI, DISK, starts)
    return BootMode(None, None, starts, facts.site.key)


def starts_by_uefi(facts: Facts) -> bool:
    """Return whether an import of the image makes servers with UEFI, as far as is known."""
    mode = boot_mode(facts)
    return mode is not None and mode.firmware == UEFI


def starting(facts: Facts) -> tuple[str, ...]:
    """Return which firmware finds something to start, as far as tables and first sector show."""
    try:
        disk = disk_of(facts)
    except UnknownError:
        return ()
    by_uefi = bool(uefi_starts(facts)) and other_esp(facts) is None
    return tuple(name for name, starts in ((BIOS, disk.can_bios_boot), (UEFI, by_uefi)) if starts)


def is_uefi_only(facts: Facts) -> bool:
    """Return whether UEFI starts the disk and a BIOS finds nothing; False where it is not known."""
    return starting(facts) == (UEFI,)


def uefi_starts(facts: Facts) -> bool | None:
    """Return whether UEFI finds a partition to start from; None: a FAT of another type may be one.

    Firmware also starts what lies on a FAT that does not have the type of an EFI system partition
    (tried with EDK II); whether a program is there is known where the image was looked into.
    """
    disk, guest = disk_of(facts), facts.guest
    if disk.has_esp:
        return True
    route = guest.boot.route(UEFI) if guest is not None else None
    if route is not None and route.steps:
        return True
    return None if has_fat(facts) else False


def has_fat(facts: Facts) -> bool:
    """Return whether a partition holds a FAT, of whatever type it is."""
    partitions = disk_of(facts).partitions
    return any(p.volume is not None and p.volume.kind == FAT for p in partitions)


def other_esp(facts: Facts) -> str | None:
    """Return what the EFI system partitions hold, where it is known of each that it is no FAT."""
    guest = facts.guest
    route = guest.boot.route(UEFI) if guest is not None else None
    kinds = [
        p.volume.kind if p.volume is not None else None
        for p in disk_of(facts).partitions
        if p.is_esp
    ]
    # Of a mirror without a header in front, firmware reads the FAT.
    if {None, FAT, RAID} & set(kinds) or (route is not None and route.steps):
        return None
    return kinds[0] if kinds else None
