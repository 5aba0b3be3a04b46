"""Values of the boot chain: what each way of starting the disk comes to, as plain data.

A *route* is the way that one firmware goes: its first program, the configuration files that were
gone through, the menu, and which *entry* starts without a key press. `broken` is said only of
what was proved: the machine stops there. `unknown` is the reason why a step could not be followed;
nothing behind it is judged. Paths are the guest's own where the volume is mounted there, and
`VOLUME:PATH` elsewhere.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar, get_args, get_origin

T = TypeVar("T")

BIOS, UEFI = "bios", "uefi"


@dataclass(frozen=True)
class BootEntry:
    """One entry of a boot menu, with its variables resolved."""

    path: str  # the configuration file, or the unified kernel image
    line: int  # of the command line, counted from 1; 0 where there is no text
    title: str
    kernel: str
    initrds: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    broken: str | None = None  # why the loader cannot start it
    unknown: str | None = None  # why it could not be followed
    gone: str | None = None  # the file that it names and that is nowhere in the image
    version: str | None = None  # of the kernel, where the entry or its image tells
    machine: str | None = (
        None  # that the kernel is for: "i386", "x86_64", "aarch64"; None: not known
    )

    def value(self, name: str) -> str | None:
        """Return the last value of an argument `name=value`, or None."""
        found = self.values(name)
        return found[-1] if found else None

    def values(self, name: str) -> list[str]:
        """Return every value of an argument `name=value`."""
        return [a.partition("=")[2] for a in self.arguments if a.startswith(f"{name}=")]


@dataclass(frozen=True)
class Route:
    """The way of one firmware to its entries."""

    firmware: str  # BIOS or UEFI
    loader: str  # "GRUB", "systemd-boot", "extlinux", "unified kernel image"...
    steps: tuple[str, ...] = ()  # programs and files that were gone through
    entries: tuple[BootEntry, ...] = ()
    default: int | None = None  # place in `entries`
    broken: str | None = None  # why the loader never has a menu
    unknown: str | None = None  # why the loader could not be followed to its menu
    volumes: tuple[str, ...] = ()  # that the loader reads
    waits: str | None = None  # why the loader waits for a key and starts nothing by itself
    reads: tuple[str, ...] | None = None  # features of ext2/3/4 that GRUB's own module reads

    @property
    def entry(self) -> BootEntry | None:
        """The entry that starts by default."""
        return self.entries[self.default] if self.default is not None else None


@dataclass(frozen=True)
class Initramfs:
    """What was found in one initramfs, or in all those of one entry together."""

    path: str
    maker: str | None = None  # "dracut", "initramfs-tools", "mkinitcpio"... None: not known
    versions: tuple[str, ...] = ()  # kernels whose drivers it holds
    drivers: tuple[str, ...] = ()  # names of all drivers, `_` for `-`
    arguments: tuple[str, ...] = ()  # of the command line, built in by dracut
    waits: tuple[str, ...] = ()  # devices without which dracut's hooks do not go on
    crypttab: str | None = None
    files: tuple[str, ...] = ()  # of those that rules ask for, such as etc/lvm/devices/...
    modprobe: tuple[str, ...] = ()  # lines of its modprobe.d that forbid a driver or replace it
    loads: tuple[str, ...] = ()  # drivers that it loads by name, `_` for `-`
    unread: str | None = None  # why not all of it could be read
    damage: str | None = None  # why the kernel cannot unpack all of it either
    packed: tuple[str, ...] = ()  # compressions of its archives: "gzip", "zstd"...
    refused: tuple[str, ...] | None = ()  # those that the kernel that starts lacks; None: not known
    arrays: tuple[str, ...] = ()  # lines ARRAY and HOMEHOST of its mdadm.conf
    naming: tuple[str, ...] = ()  # names of its .link files, and of its udev rules that name cards
    fits: bool | None = None  # its drivers are for the kernel that starts; None: not known


@dataclass(frozen=True)
class Boot:
    """All ways of starting the disk that were found."""

    routes: tuple[Route, ...] = ()
    images: tuple[Initramfs, ...] = ()  # of the entries that start by default
    unread: str | None = None  # why no way, or not every way, could be looked for

    def route(self, firmware: str) -> Route | None:
        """Return the way of a firmware, or None."""
        return next((route for route in self.routes if route.firmware == firmware), None)

    def image(self, entry: BootEntry) -> Initramfs | None:
        """Return what was found in an entry's initramfs, or None."""
        path = " + ".join(entry.initrds)
        return next((image for image in self.images if image.path == path), None)


def read_value(kind: type[T], value: Mapping[str, object]) -> T:
    """Make a dataclass of what `dataclasses.asdict` made of one; TypeError or KeyError else."""
    hints = typing.get_type_hints(kind)
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is no dataclass")
    names = {field.name for field in fields(kind)}
    if not set(value) <= names:
        raise KeyError(str(set(value) - names))
    return kind(**{name: _read(hints[name], inner) for name, inner in value.items()})


def _read(kind: object, value: object) -> object:
    if value is None:
        return None
    if get_origin(kind) in (types.UnionType, typing.Union):
        kind = next(one for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r} is no list")
        return tuple(_read(get_args(kind)[0], one) for one in value)
    if not is_dataclass(kind):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is no mapping")
    return read_value(typing.cast(type[object], kind), value)
