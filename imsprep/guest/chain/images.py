"""The kernel and initramfs of the entries that start: which version, and what is in them.

Names of files are `VOLUME:PATH` here; `as_seen` writes them as the guest sees them afterwards.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from imsprep.guest.chain import efi, kernel_config
from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.values import BIOS, Boot, BootEntry, Initramfs, Route
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.linux import initramfs_actions as early
from imsprep.guest.linux.initramfs import Allowance
from imsprep.units import SECTOR

_VERSION_AT = 0x20E  # of a bzImage: where its version is, less 0x200 (boot protocol, 2.00)
_VERSION = re.compile(rb"\d+\.\d+[\w.+~-]*")


# Of a kernel of x86: sectors of its setup, size of the rest in units of 16 bytes, mark (boot
# protocol, 2.04); then the marks of what may be a kernel, with their places: a boot sector, an EFI
# program, ELF, Image of ARM, U-Boot's images, and what they are packed by.
_HEAD, _SECTORS, _SIZE, _HEADER = 1024, 0x1F1, 0x1F4, 0x202
_KERNELS = (
    (0x1FE, b"\x55\xaa"), (0, b"MZ"), (0, b"\x7fELF"), (56, b"ARM\x64"),
    (36, b"\x18\x28\x6f\x01"), (0, b"\x27\x05\x19\x56"), (0, b"\xd0\x0d\xfe\xed"),
    (0, b"\x1f\x8b"), (0, b"\xfd7zXZ"), (0, b"BZh"), (0, b"\x28\xb5\x2f\xfd"),
    (0, b"\x02\x21\x4c\x18"), (0, b"\x04\x22\x4d\x18"), (0, b"\x5d\0\0"), (0, b"\x89LZO"),
)  # fmt: skip


# Version of the boot protocol, and flags of which the first one says that the kernel is 64-bit.
_PROTOCOL, _FLAGS, _TELLS = 0x206, 0x236, 0x20C
_ARM_AT, _ARM = 56, b"ARM\x64"


def _for_x86(route: Route) -> bool:
    """Return whether a loader is for x86, by the firmware or by its name as a first program."""
    return route.firmware == BIOS or any(s.upper().endswith("X64.EFI") for s in route.steps)


class Laid(NamedTuple):
    """Where a volume is mounted; `inside` is the path of its subvolume, or ""."""

    path: str
    volume: str
    inside: str


def look_at_defaults(boot: Boot, devices: Devices, allowance: Allowance) -> Boot:
    """Return the boot with what is in the initramfs of each entry that starts by default."""
    images: dict[str, Initramfs] = {}
    routes = []
    for route in boot.routes:
        entry = route.entry
        if route.default is not None and entry is not None and not entry.broken:
            own = _version(devices, entry)
            entry = dataclasses.replace(entry, version=own or entry.version,
                                        machine=_machine(devices, entry),
                                        broken=_fault(devices, entry, route))  # fmt: skip
            key = " + ".join(entry.initrds)
            if entry.initrds and key not in images:
                images[key] = _look(devices, entry, key, allowance)
            if key in images:
                lacks = kernel_config.refused(devices, entry, images[key].packed, allowance)
                images[key] = dataclasses.replace(images[key], fits=_fits(own, images[key]),
                                                  refused=lacks)  # fmt: skip
            entries = list(route.entries)
            entries[route.default] = entry
            route = dataclasses.replace(route, entries=tuple(entries))
        routes.append(route)
    return dataclasses.replace(boot, routes=tuple(routes), images=tuple(images.values()))


def _look(devices: Devices, entry: BootEntry, key: str, allowance: Allowance) -> Initramfs:
    try:
        pieces = itertools.chain.from_iterable(_pieces(devices, name) for name in entry.initrds)
        return early.look(key, pieces, allowance)
    except UnreadableError as error:
        return Initramfs(key, unread=str(error))


def _fits(version: str | None, image: Initramfs) -> bool | None:
    """Return whether drivers of an initramfs are for a kernel; None where that is not known.

    A kernel's file may be named by the start of its version only.
    """
    if version is None or not image.versions or image.unread is not None:
        return None
    return any(one.startswith(version) or version.startswith(one) for one in image.versions)


def _pieces(devices: Devices, name: str) -> Iterator[bytes]:
    volume, _, path = name.partition(":")
    file = devices.find(volume, path)
    if file is None:
        raise UnreadableError(f"{name} is not there")
    section = (
        efi.read_program(file.head(efi.HEAD_LIMIT)).initrd
        if path.lower().endswith(".efi")
        else None
    )
    place = file.tree.find(path)
    offset, size = section or (0, place.node.size if place is not None else 0)
    yield from file.tree.chunks(path, limit=min(size, early.SIZE_LIMIT), offset=offset)
    if size > early.SIZE_LIMIT:
        raise UnreadableError(f"only the first {early.SIZE_LIMIT} of its {size} bytes count")


def _version(devices: Devices, entry: BootEntry) -> str | None:
    """Return the version that a kernel of x86 tells, or its file's name."""
    volume, _, path = entry.kernel.partition(":")
    try:
        file = devices.find(volume, path)
        head = file.head(64 * 1024) if file is not None else b""
    except UnreadableError:
        head = b""
    if head[0x202:0x206] == b"HdrS":
        (at,) = struct.unpack_from("<H", head, _VERSION_AT)
        found = _VERSION.match(head, 0x200 + at)
        if found is not None:
            return found[0].decode("ascii")
    named = re.search(r"(?:vmlinu[xz]|[Ii]mage|kernel)-(\d+\.\d+.*)$", path.rpartition("/")[2])
    return named[1] if named is not None else None


def _machine(devices: Devices, entry: BootEntry) -> str | None:
    """Return what a kernel is for; one of x86 tells since version 2.12 of the boot protocol."""
    volume, _, path = entry.kernel.partition(":")
    try:
        file = devices.find(volume, path)
        head = file.head(_HEAD) if file is not None else b""
    except UnreadableError:
        return None
    if head[_ARM_AT:].startswith(_ARM):
        return "aarch64"
    if head[_HEADER : _HEADER + 4] != b"HdrS" or len(head) < _FLAGS + 2:
        return None
    (protocol,), (flags,) = (struct.unpack_from("<H", head, at) for at in (_PROTOCOL, _FLAGS))
    if protocol < _TELLS:
        return None
    return "x86_64" if flags & 1 else "i386"


def _fault(devices: Devices, entry: BootEntry, route: Route) -> str | None:
    """Return why a kernel's file cannot be one, or None.

    What a loader may unpack first, and what other machines start, is taken for a kernel.
    """
    volume, _, path = entry.kernel.partition(":")
    try:
        file = devices.find(volume, path)
        head, size = (file.head(_HEAD), file.size) if file is not None else (None, 0)
    except UnreadableError:
        return None
    if head is None:
        return None
    if head[_HEADER : _HEADER + 4] == b"HdrS":
        sectors = head[_SECTORS] or 4
        (units,) = struct.unpack_from("<I", head, _SIZE)
        whole = (sectors + 1) * SECTOR + units * 16
        if size < whole:
            return f"{entry.kernel}, which is cut: {size} bytes of {whole}"
    elif head[_ARM_AT:].startswith(_ARM) and _for_x86(route):
        return f"{entry.kernel}, which is a kernel for 64-bit Arm"
    elif not any(head[at : at + len(mark)] == mark for at, mark in _KERNELS):
        return f"{entry.kernel}, which is not a Linux kernel"
    return None


def as_seen(boot: Boot, laid: list[Laid]) -> Boot:
    """Return the boot with the names of files as the guest sees them."""

    def name(text: str | None) -> str:
        return _seen(text or "", laid)

    def entry(one: BootEntry) -> BootEntry:
        return dataclasses.replace(
            one, path=name(one.path), kernel=name(one.kernel),
            initrds=tuple(map(name, one.initrds)),
            broken=_text(one.broken, laid), unknown=_text(one.unknown, laid),
        )  # fmt: skip

    def route(one: Route) -> Route:
        return dataclasses.replace(
            one, steps=tuple(map(name, one.steps)), entries=tuple(map(entry, one.entries)),
            broken=_text(one.broken, laid), unknown=_text(one.unknown, laid),
            waits=_text(one.waits, laid),
        )  # fmt: skip

    images = tuple(
        dataclasses.replace(i, path=" + ".join(map(name, i.path.split(" + ")))) for i in boot.images
    )
    return Boot(tuple(map(route, boot.routes)), images, _text(boot.unread, laid))


def _text(text: str | None, laid: list[Laid]) -> str | None:
    """Rename the files that a sentence speaks of."""
    if text is None:
        return None
    for place in sorted(laid, key=lambda p: -len(p.inside)):
        text = re.sub(
            rf"{re.escape(place.volume)}:(?={re.escape(place.inside)}/){re.escape(place.inside)}",
            place.path.rstrip("/"), text,
        )  # fmt: skip
    return text


def _seen(name: str, laid: list[Laid]) -> str:
    volume, colon, path = name.partition(":")
    if not colon:
        return name
    for place in sorted(laid, key=lambda p: (-len(p.inside), -len(p.path))):
        if place.volume == volume and (not place.inside or path.startswith(f"{place.inside}/")):
            return f"{place.path.rstrip('/')}{path.removeprefix(place.inside)}"
    return name
