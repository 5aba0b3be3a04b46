"""The plainer loaders: GRUB legacy, extlinux and syslinux, systemd-boot.

Sources: GRUB legacy 0.97's manual; the Syslinux wiki, "Config"; loader.conf(5) and systemd-boot(7).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from imsprep.guest.chain.bls import Bls, by_systemd_boot, default_of, read_entries
from imsprep.guest.chain.devices import Devices, File, UnknownStepError
from imsprep.guest.chain.files import locate
from imsprep.guest.chain.values import BootEntry
from imsprep.image.volumes.signatures import BTRFS

# Other programs; a kernel for Xen's guests, such as vmlinuz-3.0.101-63-xen, is a Linux.
_XEN = re.compile(r"(?:(?:^|/)xen[^/]*$|memtest|ipxe|\.c32|mboot)", re.IGNORECASE)
_LEGACY_DISK = re.compile(r"\(hd0,(\d+)\)")
Menu = tuple[tuple[BootEntry, ...], int | None]


def _placed(devices: Devices, device: str, entry: BootEntry) -> BootEntry:
    """Find the files that an entry names."""
    try:
        files = [
            locate(devices, device, path) or path for path in (entry.kernel, *entry.initrds) if path
        ]
    except UnknownStepError as error:
        return dataclasses.replace(entry, unknown=str(error))
    gone = [name for name in files if ":" not in name]
    return dataclasses.replace(
        entry,
        kernel=files[0] if files else "",
        initrds=tuple(files[1:]),
        broken=f"{gone[0]}, which is not in the image" if gone else entry.broken,
        gone=gone[0] if gone else None,
        unknown=entry.unknown or (None if files else "it names no kernel"),
    )


def _read_from(devices: Devices, volume: str, entry: BootEntry) -> BootEntry:
    """Find the files of an entry whose loader reads the entry's own volume only."""
    placed = _placed(devices, volume, entry)
    kind = next((v.kind for v in devices.volumes if v.name == volume), None)
    if placed.broken or placed.unknown or kind == BTRFS:
        return placed
    for name in (placed.kernel, *placed.initrds):
        there, _, path = name.partition(":")
        if name and there != volume:
            why = f"{path}, which is on {there} and not on {volume}, which the loader reads"
            return dataclasses.replace(placed, broken=why, gone=None)
    return placed


# --- GRUB legacy ---------------------------------------------------------------------------------


def legacy(devices: Devices, config: File) -> Menu:
    """Read menu.lst or grub.conf."""
    name, default, entries = f"{config.volume}:{config.path}", "0", list[BootEntry]()
    roots: dict[int, tuple[str, str | None]] = {}  # what entries name, and the volume that it is
    for number, raw in enumerate(config.text().splitlines(), 1):
        line = re.sub(r"^\s*(\w+)\s*=\s*", r"\1 ", raw.strip())
        key, _, value = line.partition(" ")
        key, value = key.lower(), value.strip()
        if key == "default" and not entries:
            default = value
        elif key == "title":
            entries.append(BootEntry(name, number, value, ""))
        elif key in ("root", "rootnoverify", "uuid") and entries:
            roots[len(entries) - 1] = (value, _legacy_root(devices, key, value))
        elif key == "kernel":
            words = [word for word in value.split() if not word.startswith("--")]
            words = words or [""]
            entries = entries or [BootEntry(name, number, "(commands)", "")]
            entries[-1] = dataclasses.replace(
                entries[-1], line=number, kernel=_inside(words[0]), arguments=tuple(words[1:])
            )
        elif key == "initrd" and entries:
            entries[-1] = dataclasses.replace(entries[-1], initrds=(_inside(value),))
    placed = tuple(
        _legacy_placed(devices, config.volume, roots.get(at), _started(entry))
        for at, entry in enumerate(entries)
    )
    number_ = int(default) if default.isdigit() else 0
    return placed, min(number_, len(placed) - 1) if placed else None


def _legacy_placed(
    devices: Devices, own: str, root: tuple[str, str | None] | None, entry: BootEntry
) -> BootEntry:
    """Find the files of an entry, strictly on the partition that it names, if it names one."""
    named, volume = root or ("", None)
    placed = _placed(devices, volume or own, entry)
    if placed.broken or placed.unknown or not _LEGACY_DISK.match(named):
        return placed
    kernel = placed.kernel.partition(":")
    if volume is None:
        why = f"{kernel[2]}, which is to be on {named[:40]}, which the image does not have"
        return dataclasses.replace(placed, broken=why)
    if volume in devices.trees and kernel[0] != volume:
        return dataclasses.replace(placed, broken=f"{kernel[2]}, which is not on {volume}")
    return placed


def _started(entry: BootEntry) -> BootEntry:
    if _XEN.search(entry.kernel):
        return dataclasses.replace(
            entry, unknown=f"it starts {entry.kernel[:80]}, not Linux itself"
        )
    return entry


def _inside(path: str) -> str:
    """Return a path without the device before it."""
    return path.partition(")")[2] if path.startswith("(") else path


def _legacy_root(devices: Devices, key: str, value: str) -> str | None:
    if key == "uuid":
        return devices.search("uuid", value)
    found = _LEGACY_DISK.match(value)
    return devices.named(f"hd0,{int(found[1]) + 1}") if found is not None else None


# --- extlinux and syslinux -----------------------------------------------------------------------

_INCLUDE_DEPTH = 4


def syslinux(devices: Devices, config: File) -> Menu:
    """Read extlinux.conf or syslinux.cfg with what it includes."""
    folder = config.path.rpartition("/")[0]
    entries: list[BootEntry] = []
    labels: list[str] = []
    default, marked, later = "", None, ""
    for path, number, key, value in _lines(devices, config, 0):
        if key == "default":
            default = value
        elif key == "ontimeout":
            later = value.split(None, 1)[0] if value else ""
        elif key == "label":
            labels.append(value)
            entries.append(BootEntry(path, number, value, ""))
        elif key == "menu" and value.lower() == "default" and entries:
            marked = len(entries) - 1
        elif entries:
            entries[-1] = _syslinux_line(entries[-1], key, value, number)
    placed = []
    for entry in entries:
        files = [
            f if f.startswith("/") else f"{folder}/{f}" for f in (entry.kernel, *entry.initrds) if f
        ]
        moved = dataclasses.replace(
            entry, kernel=files[0] if files else "", initrds=tuple(files[1:])
        )
        placed.append(_read_from(devices, config.volume, _started(moved)))
    if later in labels:  # what is started without a key press
        return tuple(placed), labels.index(later)
    return tuple(placed), _syslinux_default(labels, placed, default, marked)


def _syslinux_line(entry: BootEntry, key: str, value: str, number: int) -> BootEntry:
    if key in ("linux", "kernel"):
        return dataclasses.replace(entry, kernel=value.split()[0] if value else "")
    if key == "initrd":
        return dataclasses.replace(entry, initrds=tuple(value.split(",")))
    if key == "append":
        words = value.split()
        own = [word.partition("=")[2] for word in words if word.startswith("initrd=")]
        initrds = tuple(path for names in own for path in names.split(",")) or entry.initrds
        return dataclasses.replace(entry, line=number, arguments=tuple(words), initrds=initrds)
    return entry


def _syslinux_default(
    labels: list[str], entries: list[BootEntry], default: str, marked: int | None
) -> int | None:
    if marked is not None:
        return marked
    if default in labels:
        return labels.index(default)
    return 0 if entries else None  # a menu program, which shows the first one


def _lines(devices: Devices, config: File, depth: int) -> Iterator[tuple[str, int, str, str]]:
    """Yield file, line number, keyword in lower case and value, of included files too."""
    folder = config.path.rpartition("/")[0]
    for number, raw in enumerate(config.text().splitlines(), 1):
        key, _, value = raw.strip().partition(" ")
        key, value = key.lower(), value.strip()
        if key == "include" or (key == "menu" and value.lower().startswith("include ")):
            name = value.split()[-1] if value else ""
            path = name if name.startswith("/") else f"{folder}/{name}"
            inner = devices.find(config.volume, path)
            if inner is not None and depth < _INCLUDE_DEPTH:
                yield from _lines(devices, inner, depth + 1)
        elif key and not key.startswith("#"):
            yield f"{config.volume}:{config.path}", number, key, value


# --- systemd-boot --------------------------------------------------------------------------------


def systemd_boot(
    devices: Devices, esps: list[str], unified: Mapping[Bls, BootEntry], architecture: str
) -> Menu:
    """Read loader.conf and the entries of the ESP and of an extended boot partition.

    `unified` are the unified kernel images of /EFI/Linux, each as an entry of its own; what is for
    another `architecture` ("x64", "aa64") is not shown.
    """
    entries = [e for device in esps for e in read_entries(devices, device, "/loader/entries")]
    fitting = [e for e in entries if e.architecture in ("", architecture)]
    ordered = by_systemd_boot([*fitting, *unified])
    pattern = ""
    for device in esps:
        found = devices.find(device, "/loader/loader.conf")
        for line in found.text().splitlines() if found is not None else ():
            words = line.split(None, 1)
            if len(words) == 2 and words[0] == "default":
                pattern = words[1].strip()
    chosen = default_of(ordered, pattern) if pattern and not pattern.startswith("@") else None
    placed = tuple(
        unified.get(entry) or _read_from(devices, entry.volume, _of_bls(entry)) for entry in ordered
    )
    if not placed:
        return (), None
    return placed, ordered.index(chosen) if chosen is not None else 0


def _of_bls(entry: Bls) -> BootEntry:
    path = f"{entry.volume}:{entry.path}"
    initrds = tuple(_rooted(name) for text in entry.initrds for name in text.split())
    arguments = tuple(entry.options.split())
    return BootEntry(path, entry.line, entry.title, _rooted(entry.kernel), initrds, arguments,
                     version=entry.version)  # fmt: skip


def _rooted(path: str) -> str:
    """Write a path as systemd-boot takes it: from the root of its volume, whatever its slashes."""
    return "/" + path.replace("\\", "/").lstrip("/")
