"""IMS801–IMS808: which system is in the image, and whether it can be booted at all.

These hold for Linux; what they share with Windows (encryption, unclean file systems) too.
"""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import INFERRED, Evidence, UnknownError, rule
from imsprep.checks.subject.guest import FILE_TABLE, advice, any_guest, linux, listed
from imsprep.cloud.sites import SITES
from imsprep.guest.firmware import FALLBACK_ARM, FALLBACK_X86, bios_loader, has_esp, uefi_loaders
from imsprep.guest.linux.os_release import System, fits, fitting, identify, parse_os_version
from imsprep.guest.model import CLOSED, NO_FILES, UNKNOWN, Guest, Volume
from imsprep.image.volumes.partitions import BIOS_BOOT
from imsprep.image.volumes.signatures import BITLOCKER, LUKS
from imsprep.report import Severity

_MICROSOFT_RESERVED = "e3c9e316-0b5c-4db8-817d-f92df00215ae"
_NEVER_SYSTEMS = (BIOS_BOOT, _MICROSOFT_RESERVED)
_ARCHITECTURES = {"x86_64": "x86", "i386": "x86", "aarch64": "arm", "arm": "arm"}


@rule(
    "IMS801",
    Severity.ERROR,
    "The requested os_version is another system",
    why="The service sets up the server for the system named; if it is another, it may not boot.",
    fix="Request the os_version that fits the image.",
    source="API reference, “Values of Related Parameters”, 2025-12-17",
)
def requested_system(facts: Facts) -> Iterator[Evidence]:
    """Compare os_version of the request with the release files."""
    system = identify(linux(facts))
    if facts.request.os_version is None:
        raise UnknownError("the request names no os_version")
    if system is None:
        raise UnknownError("the image does not say which system it is")
    requested = facts.request.os_version
    asked = parse_os_version(requested)
    if asked.family is None or fits(system, requested):
        return
    width = None not in (asked.bits, system.bits) and asked.bits != system.bits
    listed_ = fitting(system, list(facts.site.listed))
    # What the lists do not have is registered as another version or as a relative; a choice.
    kin = asked.family == system.family or (not listed_ and asked.family in system.relatives)
    yield Evidence(
        f"os_version is {requested!r}, but {system.source} says {system.name!r}",
        expected=f"“{listed_[0]}”" if listed_ else system.name,
        found=requested,
        fix=_os_version_fix(facts, system, listed_),
        severity=Severity.WARNING if kin and not width else None,
    )


def _dates(facts: Facts) -> str:
    return " and ".join(one.date for one in facts.site.all_lists)


def _os_version_fix(facts: Facts, system: System, listed_: list[str]) -> str:
    if listed_:
        return f"Request “{listed_[0]}”, which fits the image"
    return (
        f"Ask the region: imsprep os-versions --online; {_elsewhere(facts, system)}a system that no"
        " list has is registered as Other."
    )


def _elsewhere(facts: Facts, system: System) -> str:
    """Return which other site lists the system, which may be the one that is meant."""
    for site in SITES.values():
        found = fitting(system, list(site.listed))
        if found and site.key != facts.site.key:
            return f"the site {site.key} has “{found[0]}”; "
    return ""


@rule(
    "IMS802",
    Severity.NOTE,
    "The site lists no os_version for this system",
    why="The lists are dated and differ by region; the region's own list counts.",
    fix="Ask the region (imsprep os-versions --online); what it does not list is registered as"
    " Other.",
    source="API reference, “Values of Related Parameters”, 2025-12-17",
)
def listed_system(facts: Facts) -> Iterator[Evidence]:
    """Look the system up in the site's list."""
    system = identify(linux(facts))
    if system is None:
        raise UnknownError("the image does not say which system it is")
    strings = list(facts.site.listed)
    if not fitting(system, strings):
        yield Evidence(
            f"{system.name} ({system.source}) fits no os_version in the lists of "
            f"{facts.site.title}, {_dates(facts)}",
            fix=_os_version_fix(facts, system, []),
            title=f"The site {facts.site.key} lists no os_version for this system",
        )


@rule(
    "IMS803",
    Severity.ERROR,
    "The requested architecture is not the image's",
    why="A server of another architecture cannot run the programs of the image.",
    fix="Request the architecture that fits the image.",
    source="API reference, “Importing an Image File Quickly”, 2024-08-09",
)
def requested_architecture(facts: Facts) -> Iterator[Evidence]:
    """Compare architecture of the request with the guest's own programs."""
    guest = any_guest(facts)
    if guest.machine is None:
        raise UnknownError("no program was found in the image that shows its architecture")
    requested = facts.request.architecture or "x86"
    actual = _ARCHITECTURES.get(guest.machine)
    if actual is None:
        yield Evidence(f"the image is for {guest.machine}, which the service does not run",
                       expected="x86 or arm", found=guest.machine)  # fmt: skip
    elif actual != requested:
        default = "" if facts.request.architecture else " (the default)"
        yield Evidence(
            f"the image's programs are {guest.machine}, the request means {requested}{default}",
            expected=actual,
            found=requested,
        )


@rule(
    "IMS804",
    Severity.ERROR,
    "The boot loader is incomplete for the requested boot mode",
    why="The firmware finds no loader where it looks for one, and stays at its own screen.",
    fix=advice(
        "install the loader again with grub-install: for UEFI in the place for removable media, "
        "for BIOS on GPT with a BIOS boot partition"
    ),
    source=f"{FILE_TABLE}; where a loader must lie: UEFI specification 2.10, 3.5.1.1; GRUB manual",
)
def boot_loader(facts: Facts) -> Iterator[Evidence]:
    """Look for loaders where IMS210 has found a place for them."""
    guest = any_guest(facts)
    if guest.system is None:
        raise UnknownError("no operating system was found in the image")
    arm = facts.request.architecture == "arm" or guest.machine == "aarch64"
    firmware = facts.request.hw_firmware_type or ("uefi" if not guest.boot_code else "bios")
    firmware = "uefi" if arm else firmware
    if firmware == "uefi" and has_esp(guest):
        loaders, fallback = uefi_loaders(guest), FALLBACK_ARM if arm else FALLBACK_X86
        if not loaders:
            yield Evidence("the EFI system partition holds no loader", expected=fallback)
        elif not any(path.upper().endswith(f"/{fallback}") for path in loaders):
            yield Evidence(
                f"{loaders[0]} is there, but a new server's firmware has no entry for it and "
                "starts only the fallback",
                expected=fallback,
                found=loaders[0],
            )
    if firmware == "bios" and guest.boot_code and not bios_loader(guest):
        yield Evidence("the disk is GPT and there is no BIOS boot partition for the rest of GRUB")


@rule(
    "IMS805",
    Severity.ERROR,
    "A logical volume is encrypted",
    why="The image must not be encrypted: at boot no one can type the passphrase.",
    fix="Copy the system to a volume without encryption.",
    source=FILE_TABLE,
)
def encrypted(facts: Facts) -> Iterator[Evidence]:
    """Look for LUKS inside LVM; IMS211 speaks of partitions."""
    for volume in any_guest(facts).volumes:
        if volume.kind in (LUKS, BITLOCKER) and volume.offset < 0:
            yield Evidence(f"{volume.name} is encrypted with {volume.kind}")


@rule(
    "IMS806",
    Severity.WARNING,
    "A file system was not left clean",
    why="The image was taken from a running or crashed system; the last changes may be lost.",
    fix=advice("shut down with `poweroff`, then copy the disk again"),
    source=FILE_TABLE,
)
def unclean(facts: Facts) -> Iterator[Evidence]:
    """Read the state that each file system keeps of itself."""
    volumes = [v for v in any_guest(facts).volumes if v.kind not in NO_FILES]
    for volume in volumes:
        if volume.clean is False:
            yield Evidence(f"{volume.kind} on {volume.name} was not unmounted cleanly")
    silent = [f"{v.kind} on {v.name}" for v in volumes if v.clean is None]
    if silent or not volumes:
        raise UnknownError(f"{listed(silent) or 'no file system'} does not say whether it is clean")


def _may_hold_a_system(volume: Volume, guest: Guest) -> bool:
    """Return whether a volume is closed, or in an unknown partition, and may hold a system."""
    known = volume.kind != UNKNOWN or guest.table is not None
    return known and volume.kind in CLOSED and volume.part_type not in _NEVER_SYSTEMS


@rule(
    "IMS808",
    Severity.ERROR,
    "The image holds no operating system",
    why="A system disk image without a system does not boot; a data disk needs type DataImage.",
    fix="Request type DataImage if it is a data disk, or import the disk that holds the system.",
    source=INFERRED,
)
def no_system(facts: Facts) -> Iterator[Evidence]:
    """Ask for a system unless a data disk is requested."""
    guest = any_guest(facts)
    if facts.request.is_data_disk:
        return
    if guest.system is None:
        boots = [entry for route in guest.boot.routes for entry in route.entries if entry.kernel]
        if boots:
            raise UnknownError(
                f"a loader starts {boots[0].kernel}, and the layout of the system that it starts"
                " is not known"
            )
        if guest.unread:
            raise UnknownError(f"not all could be read: {'; '.join(guest.unread)}")
        unclean = [v for v in guest.volumes if v.clean is False and v.kind not in NO_FILES]
        if unclean:
            raise UnknownError(
                f"{unclean[0].kind} on {unclean[0].name} was not unmounted cleanly: what its "
                "journal holds is not read"
            )
        closed = [f"{v.name}: {v.kind}" for v in guest.volumes if _may_hold_a_system(v, guest)]
        if closed:
            raise UnknownError(f"what lies there cannot be examined: {listed(closed)}")
        programs = [route.steps[0] for route in guest.boot.routes if route.steps]
        if programs:
            raise UnknownError(
                f"a loader is there, {programs[0]}, and what it starts was not found"
            )
        kinds = ", ".join(f"{v.name}: {v.kind}" for v in guest.volumes) or "no volume"
        yield Evidence(f"no system was found ({kinds})", expected="Linux or Windows")
