"""The disk as a boot loader sees it: volumes by name, UUID, label or file, and files on them.

A loader reads each volume from its own root, without the guest's mounts. Of btrfs it reads the top
of all subvolumes, or where SUSE's GRUB is set so, the default one: both are looked at.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.model import CLOSED, UNKNOWN, ZEROS, Volume
from imsprep.guest.tree import Tree
from imsprep.image.volumes.partitions import BIOS_BOOT
from imsprep.image.volumes.signatures import (
    BTRFS,
    EXT2,
    EXT3,
    EXT4,
    EXT_JOURNAL,
    FAT,
    LVM,
    NTFS,
    RAID,
    SWAP,
    XFS,
    ZFS,
)
from imsprep.units import KIB

TEXT_LIMIT = 256 * KIB  # of one configuration file
_GRUB_DISK = re.compile(
    r"(?:hd|ahci|ata|ieee1275/disk|virtio-blk/vd)(\d*)(?:,(?:gpt|msdos)?(\d+))?$"
)


# Of these, UUID and label are read, or there is none.
_IDENTIFIED = (EXT2, EXT3, EXT4, XFS, BTRFS, NTFS, FAT, SWAP, ZEROS, EXT_JOURNAL, "SquashFS")
# What libblkid knows by a UUID of its own, and what holds volumes with theirs.
_HOLDERS = (ZFS, "bcache", "bluestore", "cs_fvault2", "drbd", "mpool", "stratis", "vdo")
_PREP, _RESERVED = "9e1a2d38-c612-4316-aa26-8b49521e5a8b", "e3c9e316-0b5c-4db8-817d-f92df00215ae"
_NEVER_FILE_SYSTEMS = (BIOS_BOOT, _PREP, _RESERVED)


class UnknownStepError(Exception):
    """A step of the chain is not known; the text is the reason, for the user."""


@dataclass(frozen=True)
class File:
    """A file that a loader names: on which volume, where there, and the tree that reads it."""

    volume: str
    path: str  # from the root of the volume
    tree: Tree

    @property
    def name(self) -> str:
        """`VOLUME:PATH`."""
        return f"{self.volume}:{self.path}"

    def text(self) -> str:
        """Read it, at most TEXT_LIMIT bytes."""
        return self.tree.read(self.path, limit=TEXT_LIMIT).decode("utf-8", "surrogateescape")

    def head(self, limit: int) -> bytes:
        """Return its first bytes."""
        return self.tree.read(self.path, limit=limit)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        place = self.tree.find(self.path)
        return place is not None and stat.S_ISDIR(place.node.mode)

    @property
    def size(self) -> int:
        """Its size in bytes."""
        place = self.tree.find(self.path)
        return place.node.size if place is not None else 0


@dataclass
class Devices:
    """All volumes, and of those that can be read their trees (more than one of a btrfs)."""

    volumes: tuple[Volume, ...]
    trees: dict[str, list[Tree]] = field(default_factory=dict)

    def named(self, device: str) -> str | None:
        """Return the volume that GRUB calls `hd0,gpt2`, `lvm/vg-root` or `lvmid/VG-UUID/LV-UUID`.

        None if there is none; UnknownStepError where one that was not looked into may hold it.
        """
        disk = _GRUB_DISK.match(device)
        if disk is not None:
            name = f"partition {disk[2]}" if disk[2] else "whole disk"
            there = any(volume.name == name for volume in self.volumes)
            return name if there and disk[1] in ("", "0") else None
        if device.startswith(("lvm/", "lvmid/")):
            return self._logical(device)
        if device.startswith("md") and not any(_may_be_raid(v) for v in self.volumes):
            return None
        if device.startswith(("md", "crypt", "luks", "loop", "memdisk", "cd", "net", "tftp")):
            raise UnknownStepError(f"the device ({device[:60]}) is not supported")
        return device if any(volume.name == device for volume in self.volumes) else None

    def _logical(self, device: str) -> str | None:
        """Return the logical volume of a name, or of the identifiers of its group and its own."""
        kind, _, wanted = device.partition("/")
        plain = wanted.replace("/", "").replace("-", "")
        for volume in self.volumes:
            if plain == volume.lvm_id if kind == "lvmid" else wanted == mapped(volume.name):
                return volume.name
        hiding = next((v for v in self.volumes if _may_hold_groups(v, kind)), None)
        if hiding is not None:
            raise UnknownStepError(
                f"the device ({device[:60]}) may be inside {hiding.name} ({hiding.kind}), which is "
                "not read"
            )
        return None

    def search(self, by: str, value: str) -> str | None:
        """Return the first volume with this `uuid`, `label`, `partuuid` or `file`, or None.

        UnknownStepError where one that was not looked into may have it.
        """
        for volume in self.volumes:
            if by == "file":
                if self.find(volume.name, value) is not None:
                    return volume.name
            elif _has(volume, by, value):
                return volume.name
        if by == "uuid" and any(volume.lost == value.lower() for volume in self.volumes):
            return None  # its superblock is gone, and with it the UUID that a loader finds
        for volume in self.volumes:
            if by == "file" and volume.unread:
                raise UnknownStepError(f"{volume.name}: {volume.unread}")
            if by != "file" and may_hide(volume):
                raise UnknownStepError(
                    f"{value[:60]} may be inside {volume.name} ({volume.kind}), which is not read"
                )
        return None

    def find(self, device: str | None, path: str) -> File | None:
        """Return a file or folder of a volume, or None."""
        for tree in self.trees.get(device or "", []):
            if tree.exists(path):
                return File(device or "", path, tree)
        return None

    def must_see(self, device: str | None) -> None:
        """Raise UnknownStepError if a volume is there and cannot be read."""
        if device is not None and device not in self.trees:
            volume = next((v for v in self.volumes if v.name == device), None)
            reason = volume.unread if volume is not None and volume.unread else "it is not read"
            raise UnknownStepError(f"{device}: {reason}")

    def names(self, device: str | None, folder: str) -> list[str]:
        """List a folder of a volume; [] if there is none."""
        found = self.find(device, folder)
        return found.tree.names(folder) if found is not None else []

    def everywhere(self, path: str) -> Iterator[File]:
        """Yield the file on each volume that has it."""
        for volume in self.trees:
            found = self.find(volume, path)
            if found is not None:
                yield found


def mapped(name: str) -> str | None:
    """Return what /dev/mapper calls a logical volume; None for another volume."""
    if not name.startswith("LVM "):
        return None
    group, _, logical = name.removeprefix("LVM ").partition("/")
    return f"{group.replace('-', '--')}-{logical.replace('-', '--')}"


def may_hide(volume: Volume) -> bool:
    """Return whether a volume may have, or hold others with, a UUID or label that is not read."""
    if volume.kind == LVM:
        return volume.unread is not None
    if volume.kind == UNKNOWN:
        return volume.part_type not in _NEVER_FILE_SYSTEMS and volume.missing is None
    if volume.kind in _HOLDERS or volume.kind.endswith("_member"):
        return True
    return volume.kind in CLOSED or (volume.kind not in _IDENTIFIED and volume.uuid is None)


def _may_hold_groups(volume: Volume, kind: str) -> bool:
    """Return whether a logical volume that was not found may be part of a volume."""
    logical = volume.name.startswith("LVM ")
    if logical and volume.lvm_id is None and kind == "lvmid":
        return True
    holds = volume.kind in (LVM, *CLOSED) or volume.kind in _HOLDERS
    unread = volume.kind != LVM or volume.unread is not None
    reserved = volume.part_type in _NEVER_FILE_SYSTEMS or volume.missing is not None
    return holds and unread and not logical and not reserved


def _may_be_raid(volume: Volume) -> bool:
    """Return whether an array of Linux RAID could be made of a volume."""
    unknown = volume.kind == UNKNOWN and volume.part_type not in _NEVER_FILE_SYSTEMS
    return volume.kind == RAID or unknown


def _has(volume: Volume, by: str, value: str) -> bool:
    if by == "uuid":
        plain = (volume.uuid or "").lower()
        return bool(plain) and plain in (value.lower(), value.lower().replace("-", "", 1))
    if by == "partuuid":
        return (volume.part_uuid or "").lower() == value.lower()
    return volume.label == value


def unread(error: UnreadableError, where: str) -> UnknownStepError:
    """Return a file system's failure as a step that is not known."""
    return UnknownStepError(f"{where}: {error}")
