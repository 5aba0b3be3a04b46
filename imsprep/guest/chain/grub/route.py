"""Route: where a GRUB gets to, by its configuration file or by what is built into it."""

from __future__ import annotations

import contextlib

from imsprep.guest.chain.devices import Devices, File, UnknownStepError
from imsprep.guest.chain.found import Found
from imsprep.guest.chain.grub import script
from imsprep.guest.chain.grub.folder import LINUX, ModuleFolder, ext_features_read, why_unfit
from imsprep.guest.chain.grub.objects import Objects
from imsprep.guest.chain.grub.script import BuiltIn
from imsprep.guest.chain.grub.state import Menu
from imsprep.guest.chain.values import UEFI
from imsprep.guest.fs.interface import UnreadableError
from imsprep.image.volumes.signatures import BTRFS

# What may stand in a script that is built in: with a command that is not known, as distributions
# add them, where it leads is not proved.
_FOLLOWED = ("search.fs_uuid", "search.fs_label", "search.file", "search", "set", "insmod",
             "configfile", "normal", "export", "echo")  # fmt: skip


def built_in(devices: Devices, objects: Objects, own: BuiltIn, firmware: str) -> Found:
    """Follow the prefix and the script that are built into a GRUB; `own` is that, on its device.

    UnknownStepError if it is not known where it goes, or whether it stops there. What GRUB makes of
    the prefix is in its kern/main.c: the partition alone is on the disk that it came from.
    """
    words = [line.split()[0] for line in (objects.config or "").splitlines() if line.split()]
    strange = next((w for w in words if w not in _FOLLOWED and not w.startswith("#")), None)
    named, _, folder = (objects.prefix or "").rpartition(")")
    device = named.removeprefix("(") or own.volume
    device = f"hd0{device}" if device.startswith(",") else device
    menu = script.follow(devices, own, firmware, root=device, prefix=folder)
    found = of_menu(devices, menu, own)
    home, _, folder = menu.prefix.removeprefix("(").partition(")")
    volume = devices.named(home)
    modules = ModuleFolder(devices, volume, folder, firmware)
    if found.works:
        reason = why_unfit(objects, modules)
        found = found._replace(broken=reason, entries=(), default=None) if reason else found
    kind = next((v.kind for v in devices.volumes if v.name == volume), None)
    if found.broken and (strange or kind == BTRFS):
        # Distributions let GRUB see a btrfs from another subvolume, by a command of their own.
        raise UnknownStepError(strange or f"where GRUB looks on the btrfs of {volume}")
    return found._replace(reads=ext_features_read(objects, modules))


def with_linux(devices: Devices, objects: Objects, prefix: str, found: Found) -> Found:
    """Return what a GRUB with this prefix in the end comes to: broken if it cannot load a Linux.

    Where the folder of its modules is not known, or another loader is started, that is not said.
    """
    if not found.works or found.default is None or found.entries[found.default].unknown:
        return found
    with contextlib.suppress(UnknownStepError, UnreadableError):
        home, _, folder = prefix.removeprefix("(").partition(")")
        volume = devices.named(home)
        kind = next((v.kind for v in devices.volumes if v.name == volume), None)
        if volume in devices.trees and kind != BTRFS:
            modules = ModuleFolder(devices, volume, folder, UEFI)
            reason = why_unfit(objects, modules, (LINUX,))
            return found._replace(broken=reason, entries=(), default=None) if reason else found
    return found


def of_config(devices: Devices, file: File, firmware: str) -> Found:
    """Return what a GRUB with this configuration file comes to."""
    return of_menu(devices, script.follow(devices, file, firmware), file)


def of_menu(devices: Devices, menu: Menu, file: File) -> Found:
    """Return what the menu comes to that GRUB made of a configuration."""
    broken = None
    unknown = menu.unknown
    if not menu.entries and unknown is None:
        broken = "; ".join(menu.failures) or None
        unknown = None if broken else f"{file.name} has no entry"
    files = [name for name in menu.files if not isinstance(file, BuiltIn) or name != file.name]
    if broken is None and unknown is not None and not _says_anything(devices, files):
        broken, unknown = f"{files[0] if files else file.name} is empty", None
    return Found("GRUB", tuple(menu.files), tuple(menu.entries), menu.default, broken, unknown,
                 menu.waits)  # fmt: skip


def _says_anything(devices: Devices, files: list[str]) -> bool:
    """Return whether any of the configuration files holds more than comments."""
    for name in files:
        volume, _, path = name.partition(":")
        file = devices.find(volume, path)
        lines = file.text().splitlines() if file is not None else ["?"]
        if any(line.strip() and not line.lstrip().startswith("#") for line in lines):
            return True
    return not files
