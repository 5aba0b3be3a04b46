"""Entries of the Boot Loader Specification: one file each, in /loader/entries.

Source: "Boot Loader Specification" of the UAPI group, and systemd-boot(7) for the order and for
loader.conf's `default`. GRUB's `blscfg` reads the same files, and sorts them by their names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from imsprep.guest.chain.devices import Devices

ENTRY_LIMIT = 100


@dataclass(frozen=True)
class Bls:
    """One file; paths are from the root of its volume."""

    volume: str
    path: str  # of the file
    line: int  # of its options, counted from 1
    title: str
    kernel: str  # a kernel, or a unified kernel image (`efi`)
    initrds: tuple[str, ...]
    options: str
    version: str | None
    sort_key: str
    machine: str
    architecture: str = ""  # as EFI calls it: "x64", "aa64"; empty: any

    @property
    def id(self) -> str:
        """The name that a default is given by: of the file, without .conf and boot counters."""
        name = re.sub(r"\.(?:conf|efi)$", "", self.path.rpartition("/")[2])
        return re.sub(r"\+\d+(-\d+)?$", "", name)

    @property
    def given_up(self) -> bool:
        """Whether its boot counter says that no attempt is left: `+0` or `+0-3` in its name."""
        return re.search(r"\+0(?:-\d+)?\.(?:conf|efi)$", self.path) is not None


def read_entries(devices: Devices, device: str | None, folder: str) -> list[Bls]:
    """Return the entries of a folder, the one that GRUB shows first in front."""
    found = []
    for name in devices.names(device, folder)[:ENTRY_LIMIT]:
        path = f"{folder.rstrip('/')}/{name}"
        file = devices.find(device, path) if name.endswith(".conf") else None
        entry = read_entry(file.volume, path, file.text()) if file is not None else None
        if entry is not None:
            found.append(entry)
    return sorted(found, key=lambda entry: _version(entry.id), reverse=True)


def read_entry(volume: str, path: str, text: str) -> Bls | None:
    """Read one file; None if it names nothing to start."""
    values: dict[str, list[str]] = {}
    line = 1
    for number, raw in enumerate(text.splitlines(), 1):
        key, _, value = raw.strip().partition(" ")
        key, tab, more = key.partition("\t")
        value = f"{more} {value}" if tab else value
        if key and not key.startswith("#"):
            values.setdefault(key.lower(), []).append(value.strip())
            line = number if key.lower() == "options" else line
    kernel = values.get("linux") or values.get("efi") or values.get("uki")
    if not kernel:
        return None
    return Bls(
        volume, path, line, values.get("title", [path])[-1], kernel[-1],
        tuple(values.get("initrd", ())), " ".join(values.get("options", ())),
        values.get("version", [None])[-1], values.get("sort-key", [""])[-1],
        values.get("machine-id", [""])[-1], values.get("architecture", [""])[-1].lower(),
    )  # fmt: skip


def by_systemd_boot(entries: list[Bls]) -> list[Bls]:
    """Sort as systemd-boot does: by sort-key, then the newest version first, then by name.

    What has no attempt left comes last.
    """
    plain = sorted(entries, key=lambda e: _dashed(e.id), reverse=True)
    keyed = [entry for entry in plain if entry.sort_key]
    keyed = sorted(keyed, key=lambda e: _dashed(e.version or ""), reverse=True)
    keyed = sorted(keyed, key=lambda e: (e.sort_key, e.machine))
    both = [*keyed, *(e for e in plain if not e.sort_key)]
    return sorted(both, key=lambda e: e.given_up)


def default_of(entries: list[Bls], pattern: str) -> Bls | None:
    """Return the entry that loader.conf's `default` means: a pattern of file names."""
    pattern = pattern.lower()
    for entry in entries:
        name = entry.path.rpartition("/")[2].lower()
        plain = pattern.removesuffix(".conf").removesuffix(".efi")
        if fnmatchcase(name, pattern) or fnmatchcase(entry.id.lower(), plain):
            return entry
    return None


def _version(text: str) -> list[tuple[int, int, str]]:
    """Return what sorts names with numbers in them: numbers by value, and above letters."""
    parts = re.findall(r"\d+|[^\W\d_]+|~", text)
    return [(2, int(p[:18]), "") if p.isdigit() else (0 if p == "~" else 1, 0, p) for p in parts]


def _dashed(text: str) -> list[list[tuple[int, int, str]]]:
    """Return what sorts names as strverscmp_improved of systemd does: a dash is before the end."""
    parts = [_version(part) for part in text.split("-")]
    return [*([*part, (0, 0, "")] for part in parts[:-1]), [*parts[-1], (1, 0, "")]]
