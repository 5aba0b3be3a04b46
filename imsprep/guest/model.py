"""Guest: what was found inside an image, as plain values that fit through a pipe as JSON.

Terms: a *volume* is anything that can hold a file system: a partition, an LVM logical volume or
the whole disk. An *entry* is one path of the guest, as the guest would see it with its file
systems mounted. Paths are absolute, with `/`, also for Windows (`/Windows/System32`). Text is
decoded as UTF-8 with surrogates for what is not.

A *gap* is a pattern of paths that could not be looked at, or not to the end. A question about such
a path gets what was found, and then UnknownError: what was not seen is never taken for absent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from imsprep.guest.chain.values import Boot, read_value
from imsprep.image.volumes.signatures import BITLOCKER, EXT_JOURNAL, LUKS, LVM, RAID, SWAP
from imsprep.report import UnknownError

NOT_YET = "was not examined"  # reason of a gap, as long as the inspection goes on

FILE, DIRECTORY, LINK, OTHER = "file", "directory", "link", "other"
LINUX, WINDOWS = "linux", "windows"
# Kinds of volumes that `image.volumes.signatures` does not tell; between the ends nothing was read.
ZEROS, UNKNOWN = "zeros at both ends", "unknown"

# Kinds of volumes that hold no files, or none that anyone could read here.
NO_FILES = (SWAP, LVM, ZEROS, UNKNOWN, LUKS, BITLOCKER, RAID, EXT_JOURNAL)
# Of these, what may hold files, which cannot be seen from outside.
CLOSED = (LUKS, BITLOCKER, RAID, UNKNOWN)


@dataclass(frozen=True)
class Volume:
    """A partition, logical volume or whole disk, and what lies on it."""

    name: str  # "partition 2", "LVM vg0/root", "whole disk"
    offset: int  # bytes from the start of the disk; -1 for a logical volume
    size: int  # bytes
    kind: str  # what `image.volumes.signatures` calls it, ZEROS or UNKNOWN
    uuid: str | None = None
    label: str | None = None
    part_type: str | None = None  # GPT type GUID or MBR type as two hex digits
    part_uuid: str | None = None
    part_label: str | None = None  # GPT only
    clean: bool | None = None  # None: the file system does not tell
    unread: str | None = None  # why its files could not be read
    claimed: int | None = None  # bytes that its file system says it takes
    fault: str | None = None  # why its superblock cannot be right
    devices: int | None = None  # of a btrfs: how many volumes make it
    features: tuple[
        str, ...
    ] = ()  # of its superblock, those that an old GRUB or kernel does not know
    lost: str | None = None  # UUID of an ext2/3/4 of which only a backup of the superblock is left
    # Of a logical volume: the physical one that is not in the image; of a RAID: what lacks.
    missing: str | None = None
    lvm_id: str | None = None  # of a logical volume: the identifiers of its group and its own


@dataclass(frozen=True)
class Entry:
    """One path of the guest; `text` is None when the content was not asked for."""

    kind: str
    mode: int = 0o644
    size: int = 0  # bytes
    text: str | None = None
    truncated: bool = False  # the text is only the beginning
    target: str | None = None  # of a link, as it is written
    fault: str | None = None  # of what may be the first program: why the kernel cannot start it


@dataclass(frozen=True)
class Kernel:
    """An installed Linux kernel and the virtio drivers that its boot can reach."""

    version: str
    image: str | None  # path of the kernel itself
    initramfs: str | None  # path, or None if there is no such file
    builtin: tuple[str, ...] = ()  # virtio drivers compiled in
    modules: tuple[str, ...] = ()  # virtio drivers below /lib/modules
    loaded: tuple[str, ...] = ()  # virtio drivers inside the initramfs
    rules: tuple[str, ...] = ()  # persistent-net rules inside the initramfs
    unread: str | None = None  # why the initramfs could not be read
    unread_lists: str | None = None  # why its lists of drivers could not be read
    # Of FILE_SYSTEMS, the drivers that are built in or installed; None: its lists do not tell.
    filesystems: tuple[str, ...] | None = None
    filesystem_modules: tuple[str, ...] = ()  # drivers of FILE_SYSTEMS that are files of their own
    own_initramfs: bool | None = None  # one is built into it; None: not known


@dataclass(frozen=True)
class Guest:
    """All that an inspection found; rules look at nothing else."""

    system: str | None = None  # "linux", "windows" or None: no operating system was found
    machine: str | None = None  # "x86_64", "i386", "aarch64"... from the system's own programs
    table: str | None = None  # "gpt", "mbr" or None: no partition table
    boot_code: bool = False  # the first sector holds a BIOS boot program
    root: str | None = None  # name of the volume that holds the system
    subvolume: str | None = None  # of a btrfs: where the system lies, if not in the default one
    volumes: tuple[Volume, ...] = ()
    files: Mapping[str, Entry] = field(default_factory=dict)
    kernels: tuple[Kernel, ...] = ()
    registry: Mapping[str, Any] = field(default_factory=dict)  # see `windows`
    unread: tuple[str, ...] = ()  # what could not be looked at, and why
    gaps: Mapping[str, str] = field(default_factory=dict)  # pattern, `/**` at its end: why
    boot: Boot = field(default_factory=Boot)  # what each firmware would start
    grub: str | None = None  # version of the GRUB that is installed
    extlinux: str | None = None  # and of the extlinux
    # Where each `ostree=` of an entry that starts leads, None for nowhere.
    ostree: Mapping[str, str | None] = field(default_factory=dict)
    # Subvolumes of a btrfs that fstab mounts and that it does not have, as `VOLUME:PATH`.
    gone_subvolumes: tuple[str, ...] = ()

    def text(self, path: str) -> str | None:
        """Return the text of a file, or None if there is none; UnknownError if it is not whole."""
        entry = self.files.get(path)
        self.must_see(path)
        return entry.text if entry is not None else None

    def exists(self, path: str) -> bool:
        """Return whether the path was found; raises UnknownError if it could not be looked up."""
        if path not in self.files:
            self.must_see(path)
        return path in self.files

    def matching(self, *patterns: str) -> Iterator[tuple[str, Entry]]:
        """Yield the paths that match any of the patterns, in order; `*` stops at `/`.

        UnknownError follows the last one if not all could be looked at.
        """
        for path in sorted(self.files):
            for pattern in patterns:
                if matches(path, pattern):
                    yield path, self.files[path]
                    break
        self.must_see(*patterns)

    def must_see(self, *patterns: str) -> None:
        """Raise UnknownError if anything that fits the patterns could not be looked at."""
        for gap, reason in self.gaps.items():
            if any(overlap(gap, pattern) for pattern in patterns):
                raise UnknownError(f"{gap}: {reason}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Guest:
        """Read what `as_dict` wrote; TypeError or KeyError if it is something else."""
        kernels = []
        for kernel in values["kernels"]:
            lists = {k: tuple(v) for k, v in kernel.items() if isinstance(v, list)}
            kernels.append(Kernel(**{**kernel, **lists}))
        return cls(
            **{
                **values,
                "volumes": tuple(read_value(Volume, volume) for volume in values["volumes"]),
                "boot": read_value(Boot, values["boot"]),
                "files": {path: Entry(**entry) for path, entry in values["files"].items()},
                "kernels": tuple(kernels),
                "unread": tuple(values["unread"]),
                "gone_subvolumes": tuple(values["gone_subvolumes"]),
                "gaps": dict(values["gaps"]),
            }
        )


def matches(path: str, pattern: str) -> bool:
    """Return whether a path fits a pattern, component by component."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def overlap(gap: str, pattern: str) -> bool:
    """Return whether a path could fit both; `/**` at the end of a gap is everything below."""
    parts, wanted = gap.split("/"), pattern.split("/")
    if parts[-1] == "**":
        parts = parts[:-1]
        wanted = wanted[: len(parts)] if len(wanted) > len(parts) else []
    return len(parts) == len(wanted) and all(
        fnmatchcase(one, other) or fnmatchcase(other, one)
        for one, other in zip(parts, wanted, strict=True)
    )
