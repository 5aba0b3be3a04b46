"""From a BIOS to a menu: which loader the first sector starts, and what that reads.

GRUB is followed from there through its core image to the prefix and configuration built into it; of
another loader, and of a core image that is not known, the next files are looked for in the places
that the loaders' installers use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from imsprep.guest.chain import mbr, menus
from imsprep.guest.chain.devices import Devices, File, UnknownStepError
from imsprep.guest.chain.files import SUBVOLUMES
from imsprep.guest.chain.found import Found
from imsprep.guest.chain.grub import core_image as core
from imsprep.guest.chain.grub.folder import ModuleFolder, ext_features_read
from imsprep.guest.chain.grub.objects import Objects
from imsprep.guest.chain.grub.route import built_in, of_config
from imsprep.guest.chain.grub.script import BuiltIn
from imsprep.guest.chain.values import BIOS
from imsprep.guest.tree import Tree
from imsprep.image.volumes.signatures import Read

_FOLDERS = ("", *SUBVOLUMES)
GRUB2 = (
    *(f"{folder}/boot/{name}/grub.cfg" for folder in _FOLDERS for name in ("grub", "grub2")),
    "/grub/grub.cfg", "/grub2/grub.cfg", "/@boot/grub/grub.cfg",
)  # fmt: skip
_LEGACY = ("/boot/grub/menu.lst", "/boot/grub/grub.conf", "/grub/menu.lst", "/grub/grub.conf")
_SYSLINUX = ("/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf", "/boot/extlinux.conf",
             "/extlinux.conf", "/boot/syslinux/syslinux.cfg", "/boot/syslinux/extlinux.conf",
             "/syslinux/syslinux.cfg", "/syslinux.cfg", "/isolinux/isolinux.cfg")  # fmt: skip
_CORE = "GRUB's core image"


def bios_routes(devices: Devices, sector: bytes, read: Read | None) -> Iterator[Found]:
    """Yield what the loaders come to that the first sector may start, the likeliest first.

    `read` reads the disk: offset and length in bytes; without it GRUB's core image is not followed.
    """
    code = sector[:440]
    if not any(code):
        return
    if b"GRUB" in code and read is not None:
        followed = _core(devices, sector, read)
        if followed is not None:
            yield followed
            return
    stops = mbr.why_it_stops(sector, read) if read is not None else None
    if stops is not None:
        yield Found("the boot program of the first sector", (), broken=stops)
        return
    kinds: list[tuple[tuple[str, ...], Callable[[Devices, File, str], Found]]]
    kinds = [(GRUB2, of_config), (_LEGACY, _legacy), (_SYSLINUX, _syslinux)]
    if b"GRUB" not in code:
        kinds = [kinds[2], *kinds[:2]]
    if b"LILO" in code:
        yield Found("LILO", (), unknown="LILO is not supported")
        return
    for paths, follow in kinds:
        seen = set()
        for path in paths:
            for file in devices.everywhere(path):
                if (file.volume, path) not in seen:
                    seen.add((file.volume, path))
                    found = follow(devices, file, BIOS)
                    folder = path.removesuffix("/grub.cfg")
                    modules = ModuleFolder(devices, file.volume, folder, BIOS)
                    yield found._replace(reads=ext_features_read(Objects(), modules))
        if seen:
            return
    if b"GRUB" in code:
        yield from _grub_without_its_menu(devices)


def _core(devices: Devices, sector: bytes, read: Read) -> Found | None:
    """Follow GRUB from its boot program; None where it is not known how it goes on."""
    try:
        objects = core.read_core(read, sector)
        # The BIOS hands over the disk, and not the partition.
        own = BuiltIn("hd0", "", Tree({}), objects.config or "", _CORE)
        found = built_in(devices, objects, own, BIOS)
    except core.NoCoreError as error:
        return Found("GRUB", (), broken=str(error))
    except core.DamagedCoreError as error:
        return Found("GRUB", (), unknown=str(error))
    except UnknownStepError:
        return None
    return None if found.unknown else found


def _grub_without_its_menu(devices: Devices) -> Iterator[Found]:
    """Yield GRUB's folder, as grub-install fills it, where nothing has a configuration for it."""
    for path in GRUB2:
        folder = path.removesuffix("/grub.cfg")
        for file in devices.everywhere(f"{folder}/i386-pc/normal.mod"):
            where = f"{file.volume}:{folder}"
            yield Found("GRUB", (where,), broken=f"{where} has GRUB's modules and no grub.cfg")


def _legacy(devices: Devices, file: File, _: str) -> Found:
    entries, default = menus.legacy(devices, file)
    return Found("GRUB legacy", (f"{file.volume}:{file.path}",), entries, default)


def _syslinux(devices: Devices, file: File, _: str) -> Found:
    entries, default = menus.syslinux(devices, file)
    name = "extlinux" if "extlinux" in file.path else "syslinux"
    return Found(name, (f"{file.volume}:{file.path}",), entries, default)
