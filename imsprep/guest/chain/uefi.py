r"""From UEFI to a menu: which program it starts, and what that reads.

Without an entry of its own, as on a new server, the firmware starts \EFI\BOOT\BOOT{X64,AA64}.EFI
(UEFI specification 2.10, 3.5.1.1), which is followed: shim to GRUB in its folder, or by fallback's
CSV files to another; GRUB by the prefix and configuration built into it; systemd-boot and unified
kernel images. A program that is not known is taken for what the files around it are for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from imsprep.guest.chain import efi
from imsprep.guest.chain.bios import GRUB2
from imsprep.guest.chain.devices import Devices, File, UnknownStepError
from imsprep.guest.chain.found import Found
from imsprep.guest.chain.grub import script
from imsprep.guest.chain.grub.folder import ModuleFolder, ext_features_read
from imsprep.guest.chain.grub.route import built_in, of_config, of_menu, with_linux
from imsprep.guest.chain.systemd_boot import entry_of_uki, of_systemd_boot
from imsprep.guest.chain.values import UEFI
from imsprep.image.volumes.partitions import ESP, MBR_ESP
from imsprep.image.volumes.signatures import FAT

_FALLBACKS = ("BOOTX64.EFI", "BOOTAA64.EFI")
_DEPTH = 4  # programs that start one another


def uefi_routes(devices: Devices) -> Iterator[Found]:
    """Yield what the programs come to that the firmware may start, the likeliest first."""
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
        yield Found(program.kind, steps, (entry_of_uki(file, program),), 0)
    elif program.kind == efi.SYSTEMD_BOOT:
        yield of_systemd_boot(devices, file.volume, steps)
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
        own = script.BuiltIn(file.volume, file.path, file.tree, objects.config or "")
        with contextlib.suppress(UnknownStepError):
            found = built_in(devices, objects, own, UEFI)
            yield found._replace(steps=(*steps, *found.steps[1:]))
            return
    inside = prefix.rpartition(")")[2]
    config = devices.find(file.volume, f"{inside}/grub.cfg")
    if config is None:  # where GRUBs of distributions look too
        config = devices.find(file.volume, f"{folder}/grub.cfg")
    if config is not None:
        menu = script.follow(devices, config, UEFI)
        found = of_menu(devices, menu, config)
        if not in_memory:  # else modules may lie in that memory too
            found = with_linux(devices, objects, menu.prefix, found)
        modules = ModuleFolder(devices, file.volume, inside, UEFI)
        reads = ext_features_read(objects, modules)
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
        found = of_config(devices, stub, UEFI)
        yield found._replace(steps=(*steps, *found.steps))
    if stubs:
        return
    menu = of_systemd_boot(devices, esp, steps)
    if menu.entries:
        yield menu
        return
    for path in GRUB2:
        for file in devices.everywhere(path):
            found = of_config(devices, file, UEFI)
            # Where an unknown program goes is a guess: only what works is believed.
            yield (
                found._replace(steps=(*steps, *found.steps))
                if found.works
                else Found(
                    "unknown", steps, unknown=f"{steps[-1]} is not a loader that is supported"
                )
            )
    yield Found("unknown", steps, unknown=f"{steps[-1]} is not a loader that is supported")
