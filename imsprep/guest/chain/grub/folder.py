"""GRUB's folder of modules: what the GRUB that starts needs of it, and whether that is there."""

from __future__ import annotations

from typing import NamedTuple

from imsprep.guest.chain.devices import Devices, File
from imsprep.guest.chain.grub.modules import missing_symbol
from imsprep.guest.chain.grub.objects import Objects, ext_features
from imsprep.guest.chain.values import BIOS, UEFI
from imsprep.units import KIB

_TARGETS = {BIOS: ("i386-pc",), UEFI: ("x86_64-efi", "arm64-efi", "i386-efi")}  # GRUB's folders
_LIMIT = 256 * KIB  # bytes of a module
NORMAL, LINUX = ("normal",), ("linux", "linux16", "linuxefi")  # modules; one of each is needed


class ModuleFolder(NamedTuple):
    """Where a GRUB looks for its modules."""

    devices: Devices
    volume: str | None
    path: str  # of the folder above those of the targets, as /boot/grub
    firmware: str

    def paths(self, name: str) -> list[str]:
        """Return where a module may lie."""
        return [f"{self.path}/{target}/{name}.mod" for target in _TARGETS[self.firmware]]

    def find(self, name: str) -> File | None:
        """Return the module's file, or None."""
        files = (self.devices.find(self.volume, path) for path in self.paths(name))
        return next((file for file in files if file is not None), None)

    def load(self, name: str) -> bytes | None:
        """Return the module, or None."""
        file = self.find(name)
        return file.head(_LIMIT) if file is not None else None


def why_unfit(
    objects: Objects, folder: ModuleFolder, wanted: tuple[tuple[str, ...], ...] = (NORMAL, LINUX)
) -> str | None:
    """Return why a GRUB stops for want of modules: one is missing, or of another version.

    Of each of the groups that are `wanted` it needs one, built in or in its folder.
    """
    return _missing(objects, folder, wanted) or _of_another_version(objects, folder)


def _missing(
    objects: Objects, folder: ModuleFolder, wanted: tuple[tuple[str, ...], ...]
) -> str | None:
    for names in wanted:
        if not objects.modules or any(name in objects.modules for name in names):
            continue
        if not any(folder.find(name) for name in names):
            return f"{folder.paths(names[0])[0]}, which GRUB needs, is not on {folder.volume}"
    return None


def _of_another_version(objects: Objects, folder: ModuleFolder) -> str | None:
    if not objects.modules or not objects.kernel:
        return None
    needed = (*NORMAL, LINUX[0])
    missing = missing_symbol(objects.kernel, objects.modules, needed, folder.load)
    if missing is None:
        return None
    return (
        f"GRUB's module {missing[0]} on {folder.volume} needs {missing[1]}, which the GRUB that"
        " starts does not have: they are of different versions"
    )


def ext_features_read(objects: Objects, folder: ModuleFolder) -> tuple[str, ...] | None:
    """Return what GRUB's module `ext2` reads, which is built in or in its folder; None: unknown."""
    module = objects.modules.get("ext2")
    module = folder.load("ext2") if module is None else module
    return ext_features(module) if module is not None else None
