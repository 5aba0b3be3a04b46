r"""From the firmware to a menu: which program each firmware starts, and what that reads.

BIOS starts the first sector. GRUB is followed from there through its core image to the prefix and
configuration built into it; of another loader, and of a core image that is not known, the next
files are looked for in the places that the loaders' installers use. UEFI without an entry of its
own, as on a new server, starts \EFI\BOOT\BOOT{X64,AA64}.EFI (UEFI specification 2.10, 3.5.1.1),
which is followed: shim to GRUB in its folder, or by fallback's CSV files to another; GRUB by the
prefix and configuration built into it; systemd-boot and unified kernel images. A program that is
not known is taken for what the files around it are for.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

from imsprep.errors import FormatError
from imsprep.guest.chain import efi, mbr, menus
from imsprep.guest.chain.bls import Bls
from imsprep.guest.chain.devices import Devices, File, UnknownStepError
from imsprep.guest.chain.files import SUBVOLUMES
from imsprep.guest.chain.grub import core_image as core
from imsprep.guest.chain.grub import script as grub
from imsprep.guest.chain.grub.modules import missing_symbol
from imsprep.guest.chain.grub.objects import Objects, ext_features
from imsprep.guest.chain.grub.state import Menu
from imsprep.guest.chain.values import BIOS, UEFI, Boot, BootEntry, Route
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.linux.os_release import read_assignments
from imsprep.guest.tree import Tree
from imsprep.image.volumes.partitions import ESP, MBR_ESP
from imsprep.image.volumes.signatures import BTRFS, FAT, Read
from imsprep.units import KIB

_FOLDERS = ("", *SUBVOLUMES)
_GRUB2 = (
    *(f"{folder}/boot/{name}/grub.cfg" for folder in _FOLDERS for name in ("grub", "grub2")),
    "/grub/grub.cfg", "/grub2/grub.cfg", "/@boot/grub/grub.cfg",
)  # fmt: skip
_LEGACY = ("/boot/grub/menu.lst", "/boot/grub/grub.conf", "/grub/menu.lst", "/grub/grub.conf")
_SYSLINUX = ("/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf", "/boot/extlinux.conf",
             "/extlinux.conf", "/boot/syslinux/syslinux.cfg", "/boot/syslinux/extlinux.conf",
             "/syslinux/syslinux.cfg", "/syslinux.cfg", "/isolinux/isolinux.cfg")  # fmt: skip
_FALLBACKS = ("BOOTX64.EFI", "BOOTAA64.EFI")
_XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
_DEPTH = 4  # programs that start one another
_TARGETS = {BIOS: ("i386-pc",), UEFI: ("x86_64-efi", "arm64-efi", "i386-efi")}  # GRUB's folders
_MODULE_LIMIT = 256 * KIB
# What may stand in a script that is built in: with a command that is not known, as distributions
# add them, where it leads is not proved.
_FOLLOWED = ("search.fs_uuid", "search.fs_label", "search.file", "search", "set", "insmod",
             "configfile", "normal", "export", "echo")  # fmt: skip
_CORE = "GRUB's core image"
_NORMAL, _LINUX = ("normal",), ("linux", "linux16", "linuxefi")  # modules; one of each is needed


class Found(NamedTuple):
    """What one possible loader comes to."""

    loader: str
    steps: tuple[str, ...]
    entries: tuple[BootEntry, ...] = ()
    default: int | None = None
    broken: str | None = None
    unknown: str | None = None
    waits: str | None = None
    reads: tuple[str, ...] | None = None  # features of ext2/3/4, as in Route

    @property
    def works(self) -> bool:
        """Return whether it comes to an entry that its loader can start."""
        return self.default is not None and not self.entries[self.default].broken


def find_routes(devices: Devices, first_sector: bytes, read: Read | None = None) -> Boot:
    """Follow both firmwares; what could not be read is said in the routes or in `unread`.

    `read` reads the disk: offset and length in bytes; without it GRUB's core image is not followed.
    """
    routes = []
    reasons = []
    for firmware, ways in ((BIOS, _bios(devices, first_sector, read)), (UEFI, _uefi(devices))):
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


# --- BIOS ----------------------------------------------------------------------------------------


def _bios(devices: Devices, sector: bytes, read: Read | None) -> Iterator[Found]:
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
    kinds = [(_GRUB2, _grub2), (_LEGACY, _legacy), (_SYSLINUX, _syslinux)]
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
                    yield found._replace(
                        reads=_reads(devices, Objects(), file.volume, folder, BIOS)
                    )
        if seen:
            return
    if b"GRUB" in code:
        yield from _grub_without_its_menu(devices)


def _core(devices: Devices, sector: bytes, read: Read) -> Found | None:
    """Follow GRUB from its boot program; None where it is not known how it goes on."""
    try:
        objects = core.read_core(read, sector)
        # The BIOS hands over the disk, and not the partition.
        script = grub.BuiltIn("hd0", "", Tree({}), objects.config or "", _CORE)
        found = _built_in(devices, objects, script, BIOS)
    except core.NoCoreError as error:
        return Found("GRUB", (), broken=str(error))
    except UnknownStepError:
        return None
    return None if found.unknown else found


def _built_in(devices: Devices, objects: Objects, script: grub.BuiltIn, firmware: str) -> Found:
    """Follow the prefix and the script that are built into a GRUB; `script` is on its device.

    UnknownStepError if it is not known where it goes, or whether it stops there. What GRUB makes of
    the prefix is in its kern/main.c: the partition alone is on the disk that it came from.
    """
    words = [line.split()[0] for line in (objects.config or "").splitlines() if line.split()]
    strange = next((w for w in words if w not in _FOLLOWED and not w.startswith("#")), None)
    named, _, folder = (objects.prefix or "").rpartition(")")
    device = named.removeprefix("(") or script.volume
    device = f"hd0{device}" if device.startswith(",") else device
    menu = grub.follow(devices, script, firmware, root=device, prefix=folder)
    found = _menu(devices, menu, script)
    home, _, folder = menu.prefix.removeprefix("(").partition(")")
    volume = devices.named(home)
    if found.works:
        reason = _lacks(devices, objects, volume, folder, firmware)
        reason = reason or _unfit(devices, objects, volume, folder, firmware)
        found = found._replace(broken=reason, entries=(), default=None) if reason else found
    kind = next((v.kind for v in devices.volumes if v.name == volume), None)
    if found.broken and (strange or kind == BTRFS):
        # Distributions let GRUB see a btrfs from another subvolume, by a command of their own.
        raise UnknownStepError(strange or f"where GRUB looks on the btrfs of {volume}")
    return found._replace(reads=_reads(devices, objects, volume, folder, firmware))


def _with_linux(devices: Devices, objects: Objects, prefix: str, found: Found) -> Found:
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
            reason = _lacks(devices, objects, volume, folder, UEFI, (_LINUX,))
            reason = reason or _unfit(devices, objects, volume, folder, UEFI)
            return found._replace(broken=reason, entries=(), default=None) if reason else found
    return found


def _lacks(
    devices: Devices, objects: Objects, volume: str | None, folder: str, firmware: str,
    wanted: tuple[tuple[str, ...], ...] = (_NORMAL, _LINUX),
) -> str | None:  # fmt: skip
    """Return which module GRUB has neither built in nor in its folder, without which it stops."""
    for names in wanted:
        if not objects.modules or any(name in objects.modules for name in names):
            continue
        paths = [f"{folder}/{t}/{name}.mod" for t in _TARGETS[firmware] for name in names]
        if not any(devices.find(volume, path) for path in paths):
            return f"{paths[0]}, which GRUB needs, is not on {volume}"
    return None


def _unfit(
    devices: Devices, objects: Objects, volume: str | None, folder: str, firmware: str
) -> str | None:
    """Return which module in GRUB's folder needs what the GRUB that starts does not have."""

    def load(name: str) -> bytes | None:
        for target in _TARGETS[firmware]:
            file = devices.find(volume, f"{folder}/{target}/{name}.mod")
            if file is not None:
                return file.head(_MODULE_LIMIT)
        return None

    if not objects.modules or not objects.kernel:
        return None
    missing = missing_symbol(objects.kernel, objects.modules, (*_NORMAL, _LINUX[0]), load)
    if missing is None:
        return None
    return (
        f"GRUB's module {missing[0]} on {volume} needs {missing[1]}, which the GRUB that starts "
        "does not have: they are of different versions"
    )


def _reads(
    devices: Devices, objects: Objects, volume: str | None, folder: str, firmware: str
) -> tuple[str, ...] | None:
    """Return what GRUB's module `ext2` reads, which is built in or in its folder; None: unknown."""
    module = objects.modules.get("ext2")
    for target in _TARGETS[firmware] if module is None else ():
        file = devices.find(volume, f"{folder}/{target}/ext2.mod")
        module = file.head(_MODULE_LIMIT) if file is not None else module
    return ext_features(module) if module is not None else None


def _grub_without_its_menu(devices: Devices) -> Iterator[Found]:
    """Yield GRUB's folder, as grub-install fills it, where nothing has a configuration for it."""
    for path in _GRUB2:
        folder = path.removesuffix("/grub.cfg")
        for file in devices.everywhere(f"{folder}/i386-pc/normal.mod"):
            where = f"{file.volume}:{folder}"
            yield Found("GRUB", (where,), broken=f"{where} has GRUB's modules and no grub.cfg")


def _grub2(devices: Devices, file: File, firmware: str, **built_in: str) -> Found:
    return _menu(devices, grub.follow(devices, file, firmware, **built_in), file)


def _menu(devices: Devices, menu: Menu, file: File) -> Found:
    broken = None
    unknown = menu.unknown
    if not menu.entries and unknown is None:
        broken = "; ".join(menu.failures) or None
        unknown = None if broken else f"{file.name} has no entry"
    files = [name for name in menu.files if not isinstance(file, grub.BuiltIn) or name != file.name]
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


def _legacy(devices: Devices, file: File, _: str) -> Found:
    entries, default = menus.legacy(devices, file)
    return Found("GRUB legacy", (f"{file.volume}:{file.path}",), entries, default)


def _syslinux(devices: Devices, file: File, _: str) -> Found:
    entries, default = menus.syslinux(devices, file)
    name = "extlinux" if "extlinux" in file.path else "syslinux"
    return Found(name, (f"{file.volume}:{file.path}",), entries, default)


# --- UEFI ----------------------------------------------------------------------------------------


def _uefi(devices: Devices) -> Iterator[Found]:
    for volume in devices.volumes:
        if volume.kind != FAT:
            continue
        if volume.name not in devices.trees:
            if volume.part_type in (ESP, MBR_ESP):
                devices.must_see(volume.name)
            continue
        if devices.find(volume.name, "/EFI") is None:
            continue
        first = next(
            (f for n in _FALLBACKS if (f := devices.find(volume.name, f"/EFI/BOOT/{n}"))), None
        )
        others = [file for name, file in _programs(devices, volume.name) if first is None]
        for file in [first] if first is not None else others:
            yield from _program(devices, file, ())


def _programs(devices: Devices, esp: str) -> Iterator[tuple[str, File]]:
    """Yield the programs in the folders of /EFI, for an ESP without the fallback."""
    for folder in devices.names(esp, "/EFI"):
        for name in devices.names(esp, f"/EFI/{folder}"):
            file = devices.find(esp, f"/EFI/{folder}/{name}")
            if name.lower().endswith(".efi") and file is not None:
                yield name, file


def _program(devices: Devices, file: File, steps: tuple[str, ...]) -> Iterator[Found]:
    head = file.head(efi.HEAD_LIMIT)
    program = efi.read_program(head)
    folder = file.path.rpartition("/")[0]
    steps = (*steps, file.name)
    if len(steps) > _DEPTH:
        return
    if damage := efi.damage_of(head, file.size):
        yield Found(program.kind, steps, broken=f"{file.name} {damage}")
        return
    if machine := efi.other_machine(head, file.path.rpartition("/")[2]):
        yield Found(program.kind, steps, broken=f"{file.name} is a program for {machine}")
        return
    if program.kind == efi.UKI:
        yield Found(program.kind, steps, (_uki(file, program),), 0)
    elif program.kind == efi.SYSTEMD_BOOT:
        yield _systemd_boot(devices, file.volume, steps)
    elif program.kind == efi.SHIM:
        yield from _after_shim(devices, file.volume, folder, steps)
    elif program.kind == efi.GRUB:
        yield from _grub_program(devices, file, program, steps)
    elif program.kind in (efi.WINDOWS, efi.LINUX):
        yield Found(program.kind, steps, unknown=f"{program.kind} is not supported")
    else:
        yield from _by_its_files(devices, file.volume, folder, steps)


def _after_shim(devices: Devices, esp: str, folder: str, steps: tuple[str, ...]) -> Iterator[Found]:
    for name in ("grubx64.efi", "grubaa64.efi"):
        second = devices.find(esp, f"{folder}/{name}")
        if second is not None:
            yield from _program(devices, second, steps)
            return
    for name in ("fbx64.efi", "fbaa64.efi"):
        if devices.find(esp, f"{folder}/{name}") is not None:
            yield from _fallback(devices, esp, (*steps, f"{esp}:{folder}/{name}"))
            return
    reason = f"shim in {folder} finds neither grubx64.efi nor fbx64.efi there"
    yield Found(efi.SHIM, steps, broken=reason)


def _fallback(devices: Devices, esp: str, steps: tuple[str, ...]) -> Iterator[Found]:
    """Follow the CSV files by which fallback makes firmware entries: program, title, options."""
    followed = False
    for folder in devices.names(esp, "/EFI"):
        for name in devices.names(esp, f"/EFI/{folder}"):
            if not (name.lower().startswith("boot") and name.lower().endswith(".csv")):
                continue
            csv = devices.find(esp, f"/EFI/{folder}/{name}")
            raw = csv.head(4096) if csv is not None else b""
            program = raw.decode("utf-16", "replace").split(",")[0].strip("\ufeff \0")
            file = devices.find(esp, f"/EFI/{folder}/{program}") if program else None
            if file is not None:
                followed = True
                yield from _program(devices, file, steps)
    if not followed:
        yield Found(efi.SHIM, steps, broken="fallback finds no BOOT*.CSV")


def _grub_program(
    devices: Devices, file: File, program: efi.Program, steps: tuple[str, ...]
) -> Iterator[Found]:
    folder = file.path.rpartition("/")[0]
    objects = program.objects
    # Debian's and Ubuntu's signed GRUB go by a file in their own memory to the prefix, or to the
    # folder of the program.
    in_memory = "(memdisk)" in (objects.config or "")
    prefix = objects.prefix or folder
    if not in_memory and (prefix.startswith("(") or (objects.config or "").strip()):
        script = grub.BuiltIn(file.volume, file.path, file.tree, objects.config or "")
        with contextlib.suppress(UnknownStepError):
            found = _built_in(devices, objects, script, UEFI)
            yield found._replace(steps=(*steps, *found.steps[1:]))
            return
    inside = prefix.rpartition(")")[2]
    config = devices.find(file.volume, f"{inside}/grub.cfg")
    if config is None:  # where GRUBs of distributions look too
        config = devices.find(file.volume, f"{folder}/grub.cfg")
    if config is not None:
        menu = grub.follow(devices, config, UEFI)
        found = _menu(devices, menu, config)
        if not in_memory:  # else modules may lie in that memory too
            found = _with_linux(devices, objects, menu.prefix, found)
        reads = _reads(devices, objects, file.volume, inside, UEFI)
        yield found._replace(steps=(*steps, *found.steps), reads=reads)
        return
    if objects.prefix is not None and not (in_memory or objects.memdisk or objects.config):
        reason = f"GRUB finds no {file.volume}:{inside}/grub.cfg"
        yield Found(efi.GRUB, steps, broken=reason)
        return
    yield from _by_its_files(devices, file.volume, folder, steps)


def _by_its_files(
    devices: Devices, esp: str, folder: str, steps: tuple[str, ...]
) -> Iterator[Found]:
    """Take the configuration that lies around a program for its own."""
    folders = dict.fromkeys((folder, *(f"/EFI/{name}" for name in devices.names(esp, "/EFI"))))
    stubs = [f for one in folders if (f := devices.find(esp, f"{one}/grub.cfg"))]
    for stub in stubs:
        found = _grub2(devices, stub, UEFI)
        yield found._replace(steps=(*steps, *found.steps))
    if stubs:
        return
    menu = _systemd_boot(devices, esp, steps)
    if menu.entries:
        yield menu
        return
    for path in _GRUB2:
        for file in devices.everywhere(path):
            found = _grub2(devices, file, UEFI)
            # Where an unknown program goes is a guess: only what works is believed.
            yield (
                found._replace(steps=(*steps, *found.steps))
                if found.works
                else Found(
                    "unknown", steps, unknown=f"{steps[-1]} is not a loader that is supported"
                )
            )
    yield Found("unknown", steps, unknown=f"{steps[-1]} is not a loader that is supported")


def _systemd_boot(devices: Devices, esp: str, steps: tuple[str, ...]) -> Found:
    extended = [v.name for v in devices.volumes if v.part_type == _XBOOTLDR]
    places = [esp, *(name for name in extended if name in devices.trees)]
    unified: dict[Bls, BootEntry] = {}
    for place in places:
        for name in devices.names(place, "/EFI/Linux"):
            file = devices.find(place, f"/EFI/Linux/{name}")
            if name.lower().endswith(".efi") and file is not None:
                program = efi.read_program(file.head(efi.HEAD_LIMIT))
                unified[_as_bls(file, program)] = _uki(file, program)
    arm = any("AA64" in step.upper() for step in steps)
    entries, default = menus.systemd_boot(devices, places, unified, "aa64" if arm else "x64")
    resolved = tuple(_of_image(devices, entry) for entry in entries)
    if not entries:
        reason = f"systemd-boot on {esp} has no entry in /loader/entries or /EFI/Linux"
        return Found(efi.SYSTEMD_BOOT, steps, broken=reason)
    waits = next((w for p in places if (w := _shows_its_menu(devices, p))), None)
    return Found(efi.SYSTEMD_BOOT, steps, resolved, default or 0, waits=waits)


def _shows_its_menu(devices: Devices, place: str) -> str | None:
    """Return what makes systemd-boot wait for a key for ever, or None."""
    config = devices.find(place, "/loader/loader.conf")
    words = [line.split() for line in config.text().splitlines()] if config is not None else []
    forced = ["timeout", "menu-force"] in words
    return f"{place}:/loader/loader.conf says timeout menu-force" if forced else None


def _as_bls(file: File, program: efi.Program) -> Bls:
    """Return what systemd-boot sorts a unified kernel image by, from its os-release."""
    release = read_assignments(program.release or "")
    key = release.get("IMAGE_ID") or release.get("ID") or ""
    names = ("IMAGE_VERSION", "VERSION_ID", "BUILD_ID")
    version = next((release[name] for name in names if release.get(name)), None)
    return Bls(file.volume, file.path, 0, "", file.path, (), "", version, key, "")


def _of_image(devices: Devices, entry: BootEntry) -> BootEntry:
    """Read the unified kernel image that an entry of /loader/entries names."""
    volume, _, path = entry.kernel.partition(":")
    if entry.broken or entry.arguments or not path.lower().endswith(".efi"):
        return entry
    file = devices.find(volume, path)
    if file is None:
        return entry
    own = _uki(file, efi.read_program(file.head(efi.HEAD_LIMIT)))
    return dataclasses.replace(own, path=entry.path, title=entry.title)


def _uki(file: File, program: efi.Program) -> BootEntry:
    name = f"{file.volume}:{file.path}"
    if program.kind != efi.UKI:
        return BootEntry(name, 0, file.path, name, unknown="it is no unified kernel image")
    title = next(
        (line.partition("=")[2].strip('"') for line in (program.release or "").splitlines()
         if line.startswith("PRETTY_NAME=")),
        file.path.rpartition("/")[2],
    )  # fmt: skip
    # Its initramfs is a section of the same file.
    return BootEntry(name, 0, title, name, (name,) if program.initrd else (),
                     tuple((program.cmdline or "").split()), version=program.version)  # fmt: skip
