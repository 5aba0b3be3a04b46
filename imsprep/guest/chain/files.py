"""Where a file lies that a boot entry names, when its loader's root is known only in part."""

from __future__ import annotations

from imsprep.guest.chain.devices import Devices, UnknownStepError
from imsprep.guest.model import CLOSED
from imsprep.image.volumes.partitions import BIOS_BOOT

# Where installers put the root of a btrfs, as seen from the top of all subvolumes.
SUBVOLUMES = ("/@rootfs", "/@", "/root", "/@/.snapshots/1/snapshot")


def locate(devices: Devices, device: str | None, path: str) -> str | None:
    """Return `VOLUME:PATH` of a file that an entry names, wherever it is; None if it is nowhere.

    What a loader calls its root is only known as far as it was followed, so the file is also looked
    for on the other volumes, and with and without /boot.
    UnknownStepError where it may lie on a volume that is not read.
    """
    without = path.removeprefix("/boot")
    for volume in dict.fromkeys(filter(None, (device, *devices.trees))):
        for folder in ("", *SUBVOLUMES):
            for candidate in dict.fromkeys((path, f"/boot{path}", without)):
                inside = f"{folder}{candidate}"
                if candidate.startswith("/") and devices.find(volume, inside) is not None:
                    return f"{volume}:{inside}"
    for other in devices.volumes:
        closed = other.kind in CLOSED and other.part_type != BIOS_BOOT
        if other.unread or closed:
            raise UnknownStepError(f"{path[:80]} may lie on {other.name}, which is not read")
    return None
