"""From systemd-boot to its menu: entries in /loader/entries, and unified kernel images."""

from __future__ import annotations

import dataclasses

from imsprep.guest.chain import efi, menus
from imsprep.guest.chain.bls import Bls
from imsprep.guest.chain.devices import Devices, File
from imsprep.guest.chain.found import Found
from imsprep.guest.chain.values import BootEntry
from imsprep.guest.linux.os_release import read_assignments

_XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"


def of_systemd_boot(devices: Devices, esp: str, steps: tuple[str, ...]) -> Found:
    """Return what systemd-boot on the volume `esp` comes to, started after these steps."""
    extended = [v.name for v in devices.volumes if v.part_type == _XBOOTLDR]
    places = [esp, *(name for name in extended if name in devices.trees)]
    unified: dict[Bls, BootEntry] = {}
    for place in places:
        for name in devices.names(place, "/EFI/Linux"):
            file = devices.find(place, f"/EFI/Linux/{name}")
            if name.lower().endswith(".efi") and file is not None:
                program = efi.read_program(file.head(efi.HEAD_LIMIT))
                unified[_as_bls(file, program)] = entry_of_uki(file, program)
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
    own = entry_of_uki(file, efi.read_program(file.head(efi.HEAD_LIMIT)))
    return dataclasses.replace(own, path=entry.path, title=entry.title)


def entry_of_uki(file: File, program: efi.Program) -> BootEntry:
    """Return the entry that a unified kernel image is."""
    name = f"{file.volume}:{file.path}"
    if program.kind != efi.UKI:
        return BootEntry(name, 0, file.path, name, unknown="it is not a unified kernel image")
    title = next(
        (line.partition("=")[2].strip('"') for line in (program.release or "").splitlines()
         if line.startswith("PRETTY_NAME=")),
        file.path.rpartition("/")[2],
    )  # fmt: skip
    # Its initramfs is a section of the same file.
    return BootEntry(name, 0, title, name, (name,) if program.initrd else (),
                     tuple((program.cmdline or "").split()), version=program.version)  # fmt: skip
