"""EFI programs: what a `.efi` file is, detected from its sections and the marks of each loader.

Sources: PE format (Microsoft, 2024); GRUB's util/mkimage.c for the section `mods`, which holds its
built-in objects; UAPI "Unified Kernel Image" for `.linux`, `.cmdline` and others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

from imsprep.guest.chain.grub.objects import Objects, read_objects
from imsprep.units import MIB

HEAD_LIMIT = 16 * MIB  # of a program whose kind is wanted; a GRUB has some 4 MiB
TEXT_SECTION_LIMIT = 64 * 1024
SHIM, GRUB, SYSTEMD_BOOT, UKI = "shim", "GRUB", "systemd-boot", "unified kernel image"
WINDOWS, LINUX = "Windows Boot Manager", "Linux"
OTHER = "a program that is not known"

_PE_AT, _COFF, _SECTION = 0x3C, struct.Struct("<4sHH12xHH"), struct.Struct("<8s4I16x")
_MARKS = (
    (b"UEFI SHIM", SHIM),
    (b"#### LoaderInfo: systemd-boot", SYSTEMD_BOOT),
    (b"bootmgfw", WINDOWS),
    ("BootMgr".encode("utf-16-le"), WINDOWS),
)


@dataclass(frozen=True)
class Program:
    """What an EFI program is; texts where it carries them."""

    kind: str
    objects: Objects = field(default_factory=Objects)  # built into GRUB
    cmdline: str | None = None  # of a unified kernel image
    release: str | None = None  # os-release of a unified kernel image
    version: str | None = None  # of its kernel
    initrd: tuple[int, int] | None = None  # offset and size in the file, bytes


def read_program(data: bytes) -> Program:
    """Identify a program by its first HEAD_LIMIT bytes; never raises."""
    sections = _sections(data)
    if ".linux" in sections:
        initrd = sections.get(".initrd")
        return Program(UKI, cmdline=_text(data, sections, ".cmdline"),
                       release=_text(data, sections, ".osrel"),
                       version=_text(data, sections, ".uname"), initrd=initrd)  # fmt: skip
    if "mods" in sections:
        offset, size = sections["mods"]
        objects = read_objects(data[offset : offset + size], bits=64) or Objects()
        return Program(GRUB, replace(objects, kernel=data[:offset]))
    if ".sdmagic" in sections:
        return Program(SYSTEMD_BOOT)
    kind = next((kind for mark, kind in _MARKS if mark in data), None)
    if kind is None and data[0x202:0x206] == b"HdrS":
        kind = LINUX
    return Program(kind or OTHER)


def damage_of(data: bytes, size: int) -> str | None:
    """Return why no firmware loads a file of `size` bytes that begins with `data`, or None.

    The firmware needs the header of a PE file and every section whole (EDK II, BasePeCoffLib); one
    of another form, and what is too short for a header, is not judged.
    """
    if not any(data):
        return "is empty" if not size else "holds only zeros"
    if data[:2] not in (b"MZ", b"VZ", b"PE"):
        return "is not an EFI program"
    ends = [offset + length for offset, length in _sections(data).values()]
    if max(ends, default=0) > size:
        return f"is cut off: it has {size} bytes of {max(ends)}"
    return None


# Machines of PE files, and those of the first programs by the end of their names.
_MACHINES = {0x8664: "x86-64", 0x14C: "x86 of 32 bits", 0xAA64: "64-bit Arm", 0x1C2: "32-bit Arm",
             0x5064: "RISC-V"}  # fmt: skip
_STARTS = {"BOOTX64.EFI": 0x8664, "BOOTAA64.EFI": 0xAA64}


def other_machine(data: bytes, name: str) -> str | None:
    """Return for which machine a program is that has the name of another's first program."""
    wanted = _STARTS.get(name.upper())
    if wanted is None or data[:2] != b"MZ" or len(data) < _PE_AT + 4:
        return None
    (at,) = struct.unpack_from("<I", data, _PE_AT)
    if data[at : at + 4] != b"PE\0\0" or len(data) < at + 6:
        return None
    (machine,) = struct.unpack_from("<H", data, at + 4)
    return _MACHINES.get(machine) if machine != wanted else None


def _sections(data: bytes) -> dict[str, tuple[int, int]]:
    """Return the sections of a PE file: name to offset and size in the file; {} if it is none."""
    if data[:2] != b"MZ" or len(data) < _PE_AT + 4:
        return {}
    (at,) = struct.unpack_from("<I", data, _PE_AT)
    if len(data) < at + _COFF.size:
        return {}
    magic, _, count, optional, _ = _COFF.unpack_from(data, at)
    if magic != b"PE\0\0" or count > 96:
        return {}
    found = {}
    for number in range(count):
        place = at + 24 + optional + number * _SECTION.size
        if len(data) < place + _SECTION.size:
            break
        name, virtual, _, raw, offset = _SECTION.unpack_from(data, place)
        size = min(virtual, raw) if virtual else raw
        found[name.rstrip(b"\0").decode("latin-1")] = (offset, size)
    return found


def _text(data: bytes, sections: dict[str, tuple[int, int]], name: str) -> str | None:
    if name not in sections:
        return None
    offset, size = sections[name]
    raw = data[offset : offset + min(size, TEXT_SECTION_LIMIT)]
    return raw.rstrip(b"\0").decode("utf-8", "replace").strip() if len(raw) else None
