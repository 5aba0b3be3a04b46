"""Read fstab, and find the volume that a device specification means. Source: fstab(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from imsprep.guest.model import Volume

LINE_LIMIT = 1000  # lines of fstab that are read

# udev's name of a logical volume by its identifiers, which go along; Ubuntu's installer writes it.
_BY_LVM_ID = "/dev/disk/by-id/dm-uuid-LVM-"

_BY = {
    "UUID": "UUID", "LABEL": "LABEL", "PARTUUID": "PARTUUID", "PARTLABEL": "PARTLABEL",
    "/dev/disk/by-uuid/": "UUID", "/dev/disk/by-label/": "LABEL",
    "/dev/disk/by-partuuid/": "PARTUUID", "/dev/disk/by-partlabel/": "PARTLABEL",
}  # fmt: skip


_MADE = ("//", "/dev/", "/run/", "/var/run/", "/tmp/", "/proc/", "/sys/")


# Types of the folders that a hypervisor's host shares, which systemd takes for local ones.
_SHARED = {"vboxsf": "VirtualBox", "vmhgfs": "VMware", "fuse.vmhgfs-fuse": "VMware",
           "prl_fs": "Parallels"}  # fmt: skip


class Mount(NamedTuple):
    """One line of fstab."""

    spec: str  # what is mounted: UUID=..., /dev/sda1, tmpfs
    path: str  # where; "none" or "swap" for swap
    kind: str
    options: tuple[str, ...]
    line: int  # counted from 1

    @property
    def required(self) -> bool:
        """Return whether boot waits for it and fails without it; swap is waited for, not needed."""
        return not (
            {
                "nofail",
                "noauto",
                "nobootwait",
                "_netdev",
                "x-systemd.automount",
                "comment=systemd.automount",
            }
            & set(self.options)
        )

    @property
    def shared_by(self) -> str | None:
        """The program whose host shares the folder that is mounted; no other host has it."""
        return _SHARED.get(self.kind)

    @property
    def is_swap(self) -> bool:
        """Return whether it is swap space."""
        return self.kind == "swap" or (
            self.path in ("swap", "none") and self.kind in ("swap", "auto")
        )

    @property
    def inside(self) -> str | None:
        """Return the path of the file of the system itself that is mounted or swapped to, or None.

        What is made at boot, as below /run, is none; so is a folder that is bound, which systemd
        makes where it is missing (its core/mount.c).
        """
        loop = any(option.split("=")[0] == "loop" for option in self.options)
        ours = self.spec.startswith("/") and not self.spec.startswith(_MADE)
        return self.spec if ours and (loop or self.is_swap) else None

    @property
    def needs(self) -> Iterator[str]:
        """Yield the devices that have to be there before it is mounted (systemd.mount(5))."""
        for option in self.options:
            key, _, value = option.partition("=")
            if key == "x-systemd.requires" and value.startswith("/dev/"):
                yield value

    @property
    def on_disk(self) -> bool:
        """Return whether it needs a disk: not tmpfs, NFS, a bind mount or a file."""
        named = "=" in self.spec and self.spec.split("=")[0] in (*_BY, "ID")
        return named or self.spec.startswith("/dev/")


def read_fstab(text: str) -> list[Mount]:
    """Read the lines of fstab; those that are not entries are left out."""
    mounts = []
    for number, _, fields in _lines(text):
        if _is_entry(fields):
            kind = fields[2] if len(fields) > 2 else "auto"
            options = tuple(fields[3].split(",")) if len(fields) > 3 else ()
            mounts.append(Mount(fields[0], fields[1], kind, options, number))
    return mounts


def not_entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line that is neither an entry nor a comment."""
    yield from ((number, line) for number, line, fields in _lines(text) if not _is_entry(fields))


def _is_entry(fields: list[str]) -> bool:
    """Return whether a line names a mount point or swap space.

    Else systemd ignores it: "Mount point … is not a valid path" (its fstab-generator.c).
    """
    return len(fields) > 1 and ("/" in fields[1] or fields[2:3] == ["swap"])


def _lines(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield what is no comment: the line's number, counted from 1, its text and its fields."""
    for number, line in enumerate(text.splitlines()[:LINE_LIMIT], 1):
        fields = [_unescape(word) for word in line.split()]
        if fields and not fields[0].startswith("#"):
            yield number, line.strip(), fields


def _unescape(word: str) -> str:
    r"""Resolve `\040` and its like, by which fstab writes blanks."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def means(spec: str, volume: Volume) -> bool:
    """Return whether a device specification means this volume, as udev would name it."""
    key, value = _named(spec)
    if key == "UUID":
        return (volume.uuid or "").lower() == value.lower()
    if key == "LABEL":
        return volume.label == value
    if key == "PARTUUID":
        return (volume.part_uuid or "").lower() == value.lower()
    if key == "PARTLABEL":
        return volume.part_label == value
    if volume.name.startswith("LVM "):
        if spec.startswith(_BY_LVM_ID):
            return spec.removeprefix(_BY_LVM_ID) == volume.lvm_id
        group, _, logical = volume.name.removeprefix("LVM ").partition("/")
        mapped = f"{group.replace('-', '--')}-{logical.replace('-', '--')}"
        return spec in (f"/dev/{group}/{logical}", f"/dev/mapper/{mapped}")
    return False


def find_volume(spec: str, volumes: Iterable[Volume]) -> Volume | None:
    """Return the volume that is meant, or None; a kernel name like /dev/sda1 means none surely."""
    return next((volume for volume in volumes if means(spec, volume)), None)


def guess_volume(spec: str, volumes: Iterable[Volume]) -> Volume | None:
    """Return the volume that a kernel name meant where this is the first disk: its number."""
    found = re.match(r"/dev/(?:sda|hda|vda|xvda|nvme0n1p)(\d+)$", spec)
    if found is None:
        return None
    return next((v for v in volumes if v.name == f"partition {found[1]}"), None)


def named_subvolume(options: str) -> str | None:
    """Return the subvolume of btrfs that mount options name: a path or a number; or None."""
    for option in options.split(","):
        key, _, value = option.partition("=")
        if key in ("subvol", "subvolid") and value.strip("/"):
            return value.strip("/")
    return None


def unescaped(name: str) -> str:
    r"""Resolve `\x20` and its like, by which udev and systemd write names."""
    raw = re.sub(
        rb"\\x([0-9A-Fa-f]{2})",
        lambda found: bytes([int(found[1], 16)]),
        name.encode("utf-8", "surrogateescape"),
    )
    return raw.decode("utf-8", "surrogateescape")


def written_otherwise(spec: str, volume: Volume) -> str | None:
    """Return the UUID as udev has it, if a specification has its letters in another case.

    systemd waits for /dev/disk/by-uuid/ with the letters as they are written, which is never made
    (`fstab_node_to_udev_node` in systemd's fstab-util.c).
    """
    key, value = _named(spec)
    part = volume.part_uuid.lower() if volume.part_uuid is not None else None
    actual = {"UUID": volume.uuid, "PARTUUID": part}.get(key)
    same = actual is not None and actual.lower() == value.lower()
    return actual if same and actual != value else None


def _named(spec: str) -> tuple[str, str]:
    for prefix, key in _BY.items():
        if prefix.startswith("/") and spec.startswith(prefix):
            return key, unescaped(spec.removeprefix(prefix))
    key, _, value = spec.partition("=")
    return (_BY.get(key, ""), value.strip("\"'")) if value else ("", spec)
