"""Where a device specification leads: to a volume of the image, or why not.

The same words stand in fstab, crypttab and kernel command lines: UUID=, LABEL=, names below
/dev/disk, kernel names, mapper names. On the server the disk is the first of virtio (/dev/vda),
and no other disk of the old machine is there. Sources: fstab(5), crypttab(5), udev's persistent
names (60-persistent-storage.rules), the Linux kernel's admin-guide/devices.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from imsprep.guest.chain.devices import may_hide
from imsprep.guest.linux.fstab import find_volume
from imsprep.guest.model import UNKNOWN, Guest, Volume
from imsprep.image.volumes.signatures import BITLOCKER, LUKS, LVM, RAID
from imsprep.report import UnknownError

_DISK = re.compile(r"/dev/(?P<kind>sd|hd|vd|xvd)(?P<disk>[a-z]+)(?P<part>\d*)$")
_NUMBERED = re.compile(r"/dev/(?P<kind>nvme|mmcblk)(?P<disk>\d+)(?:n1)?(?:p(?P<part>\d+))?$")
_MADE = ("/dev/zram", "/dev/ram", "/dev/fuse", "/dev/shm", "/dev/pts", "/dev/zvol")
_DRIVES = ("/dev/cdrom", "/dev/cdrw", "/dev/dvd", "/dev/sr", "/dev/scd", "/dev/fd", "/dev/floppy")
_OLD = ("/dev/disk/by-path/", "/dev/disk/by-id/", "/dev/loop", "/dev/nbd", "/dev/rbd")
_NAMED = ("UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/disk/by-uuid/", "/dev/disk/by-label/",
          "/dev/disk/by-partuuid/", "/dev/disk/by-partlabel/")  # fmt: skip
# Names by what is written on the disks, which go along.
_BY_CONTENT = tuple(
    f"/dev/disk/by-id/{kind}-" for kind in ("dm-uuid", "md-uuid", "md-name", "lvm-pv-uuid")
)
_DM_NAME = re.compile(r"/dev/disk/by-id/dm-name-(.+)$")


class State(enum.Enum):
    """What is known of a specification."""

    HERE = "here"  # it means a volume of the image
    NAME = "name"  # a kernel name of the first disk, which is another on KVM or may become so
    OLD = "old"  # a name that only the old machine has
    GONE = "gone"  # no volume of the image is meant
    MADE = "made"  # made at boot: zram, what crypttab opens
    DRIVE = "drive"  # of removable media
    NO_DISK = "no disk"  # a network share, tmpfs, a folder
    UNKNOWN = "unknown"


class Where(NamedTuple):
    """Where a specification leads; `why` is a clause for messages."""

    state: State
    volume: Volume | None = None
    why: str = ""


class CryptLine(NamedTuple):
    """One line of crypttab."""

    name: str
    source: str
    key: str
    options: tuple[str, ...]
    line: int  # counted from 1

    @property
    def required(self) -> bool:
        """Return whether the boot waits for its source."""
        return not {"nofail", "noauto", "_netdev"} & set(self.options)


def read_crypttab(text: str) -> list[CryptLine]:
    """Read the lines of crypttab; those that are not entries are left out."""
    lines = []
    for number, raw in enumerate(text.splitlines(), 1):
        words = raw.split()
        if len(words) >= 2 and not words[0].startswith("#"):
            options = tuple(words[3].split(",")) if len(words) > 3 else ()
            key = words[2] if len(words) > 2 else "none"
            lines.append(CryptLine(words[0], words[1], key, options, number))
    return lines


def locate(spec: str, guest: Guest) -> Where:
    """Return which volume a device specification names."""
    spec = spec.strip("\"'")
    if spec.startswith("ID="):  # as udev names it (blkid's tags in fstab(5))
        spec = f"/dev/disk/by-id/{spec.removeprefix('ID=')}"
    dm_name = _DM_NAME.match(spec)
    if dm_name is not None:
        spec = f"/dev/mapper/{dm_name[1]}"
    volume = find_volume(spec, guest.volumes)
    if volume is not None:
        return Where(State.HERE, volume)
    if spec.startswith(_NAMED):
        return _named(spec, guest)
    for prefixes, state in ((_MADE, State.MADE), (_DRIVES, State.DRIVE)):
        if spec.startswith(prefixes):
            return Where(state)
    disk = _DISK.match(spec) or _NUMBERED.match(spec)
    if disk is not None:
        return _kernel_name(disk, guest)
    if spec.startswith(_BY_CONTENT):
        return _by_content(spec, guest)
    if spec.startswith("/dev/disk/by-id/virtio-"):
        return Where(
            State.UNKNOWN, why="the serial number of a virtio disk is given by the service"
        )
    if spec.startswith(_OLD):
        return Where(State.OLD, why="names a disk by its place in the old machine")
    if spec.startswith("/dev/md"):
        return _of_kind(guest, (RAID,), "no partition of the image belongs to a RAID")
    if spec.startswith("/dev/"):
        return _mapped(spec, guest)
    return Where(State.NO_DISK)


def _named(spec: str, guest: Guest) -> Where:
    if "PARTNROFF" in spec:
        return Where(State.UNKNOWN, why="an offset between partitions is not supported")
    partition = spec.startswith(("PARTUUID=", "PARTLABEL=")) or "by-part" in spec
    value = spec.partition("=")[2] or spec.rpartition("/")[2]
    lost = next((v for v in guest.volumes if v.lost is not None and v.lost == value.lower()), None)
    if lost is not None:
        return Where(State.GONE, why=f"it is that of {lost.name}, which has only a backup of its "
                                     "superblock left")  # fmt: skip
    hidden = [v for v in guest.volumes if may_hide(v)] if not partition else []
    if hidden:
        kinds = ", ".join(f"{v.name} ({v.kind})" for v in hidden[:5])
        return Where(State.UNKNOWN, why=f"may be inside {kinds}, which cannot be examined")
    return Where(State.GONE, why="no volume of the image has it")


def _by_content(spec: str, guest: Guest) -> Where:
    """Tell of a name that udev makes of identifiers of LVM, RAID or the device mapper."""
    name = spec.rpartition("/")[2]
    if name.startswith("md-"):
        return _of_kind(guest, (RAID,), "no partition of the image belongs to a RAID")
    logical = [v for v in guest.volumes if v.name.startswith("LVM ")]
    unread = any(v.kind == LVM and v.unread for v in guest.volumes)
    if not name.startswith("dm-uuid-LVM-") or unread or any(v.lvm_id is None for v in logical):
        return Where(State.UNKNOWN, why="an identifier that is not read")
    return _of_kind(guest, (RAID,), "no logical volume of the image has that identifier")


def _kernel_name(disk: re.Match[str], guest: Guest) -> Where:
    first = disk["disk"] in ("a", "0")
    if not first:
        return Where(State.GONE, why=f"another disk, /dev/{disk['kind']}{disk['disk']}")
    if guest.table is None:
        whole = guest.volumes[0] if guest.volumes else None
        return Where(State.NAME, whole)
    volume = next((v for v in guest.volumes if v.name == f"partition {disk['part']}"), None)
    if volume is None and disk["part"]:
        return Where(State.GONE, why=f"the disk has no partition {disk['part']}")
    return Where(State.NAME, volume)


def _of_kind(guest: Guest, kinds: tuple[str, ...], why: str) -> Where:
    """Return the answer for what is made of volumes of these kinds: unknown if there are any."""
    members = [v for v in guest.volumes if v.kind in (*kinds, LUKS, BITLOCKER)]
    if members:
        kind = f"{members[0].name} ({members[0].kind})"
        return Where(State.UNKNOWN, why=f"may be inside {kind}, which cannot be examined")
    return Where(State.GONE, why=why)


def _mapped(spec: str, guest: Guest) -> Where:
    """Return the answer for a name of the device mapper that no logical volume of the image has."""
    name = spec.removeprefix("/dev/mapper/")
    if name != spec:
        try:
            lines = read_crypttab(guest.text("/etc/crypttab") or "")
        except UnknownError as error:
            return Where(State.UNKNOWN, why=str(error))
        if any(line.name == name for line in lines):
            return Where(State.MADE)
        if name in ("root", "usr"):
            return Where(State.UNKNOWN, why="made at boot, as of a volume that is verified")
        if re.match(r"mpath|luks-|.*_crypt$|dm_crypt", name):
            return _of_kind(guest, (RAID,), "nothing in the image is opened under that name")
    elif re.match(r"/dev/(?:dm-|root$|gpt-auto|nfs|bcache|drbd|mapper$|ubi|mtd)", spec):
        return Where(State.UNKNOWN, why="a name that is given at boot")
    elif spec.count("/") < 3:
        return Where(State.UNKNOWN, why="a device that is not known")
    groups = [v for v in guest.volumes if v.kind == LVM and v.unread]
    if groups:
        return Where(State.UNKNOWN, why=f"may be inside {groups[0].name} (LVM): {groups[0].unread}")
    return _of_kind(guest, (RAID,), "no logical volume of the image has that name")


def whole(volume: Volume, guest: Guest) -> str | None:
    """Return why a volume of the image is not whole, or None.

    UnknownError where what it lacks may lie where the image could not be read.
    """
    why = _lacks(volume, guest)
    unseen = [v for v in guest.volumes if v.kind == UNKNOWN and v.unread and v.offset >= 0]
    if why is not None and unseen:
        raise UnknownError(f"what {volume.name} lacks may be {unseen[0].name}: {unseen[0].unread}")
    return why


def _lacks(volume: Volume, guest: Guest) -> str | None:
    if volume.missing is not None and volume.kind == RAID:
        return f"{volume.name} belongs to a {volume.missing}: another disk is missing"
    if volume.missing is not None:
        group = volume.name.removeprefix("LVM ").partition("/")[0]
        return (
            f"{volume.name} needs another physical volume of the group {group} "
            f"({volume.missing}), which is not in the image"
        )
    members = sum(v.uuid == volume.uuid and v.kind == volume.kind for v in guest.volumes)
    if volume.devices is not None and volume.uuid is not None and volume.devices > members:
        return (
            f"the btrfs of {volume.name} is made of {volume.devices} devices, of which the image "
            f"holds {members}: another disk is missing"
        )
    return None
