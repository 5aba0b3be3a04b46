"""From each firmware to a menu, and which of the ways that were found is the one that starts."""

from __future__ import annotations

from imsprep.errors import FormatError
from imsprep.guest.chain.bios import bios_routes
from imsprep.guest.chain.devices import Devices, UnknownStepError
from imsprep.guest.chain.found import Found
from imsprep.guest.chain.uefi import uefi_routes
from imsprep.guest.chain.values import BIOS, UEFI, Boot, Route
from imsprep.guest.fs.interface import UnreadableError
from imsprep.image.volumes.signatures import Read


def find_routes(devices: Devices, first_sector: bytes, read: Read | None = None) -> Boot:
    """Follow both firmwares; what could not be read is said in the routes or in `unread`.

    `read` reads the disk: offset and length in bytes; without it GRUB's core image is not followed.
    """
    routes = []
    reasons = []
    for firmware, ways in (
        (BIOS, bios_routes(devices, first_sector, read)),
        (UEFI, uefi_routes(devices)),
    ):
        found: list[Found] = []
        try:
            found.extend(ways)
        except (UnreadableError, UnknownStepError, FormatError) as error:
            reasons.append(f"{firmware}: {error}")
            found.append(Found("unknown", (), unknown=str(error)))
        best = _best(found)
        if best is not None:
            routes.append(Route(firmware, **best._asdict(), volumes=_volumes(best)))
    return Boot(tuple(routes), unread="; ".join(reasons) or None)


def _volumes(found: Found) -> tuple[str, ...]:
    """Return the volumes that its files lie on, those of the entry that starts in front."""
    entry = found.entries[found.default] if found.default is not None else None
    names = [*((entry.kernel, *entry.initrds) if entry is not None else ()), *found.steps]
    return tuple(dict.fromkeys(name.partition(":")[0] for name in names if ":" in name))


def _best(found: list[Found]) -> Found | None:
    """Return the first way that works; where none does, one that is not known, or the first."""
    working = next((one for one in found if one.works), None)
    unknown = next((one for one in found if one.unknown), None)
    return working or unknown or next(iter(found), None)
