"""IMS812, IMS813, IMS841: the root that the entry that starts names.

Only that entry is judged; what others name is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import INFERRED, Evidence, UnknownError, rule
from imsprep.checks.subject.boot_entry import (
    Started,
    arguments,
    cut,
    of_value,
    place,
    started,
    value,
)
from imsprep.checks.subject.guest import LINUX_GUIDE, advice
from imsprep.guest.chain.values import BIOS, Initramfs
from imsprep.guest.linux.fstab import named_subvolume
from imsprep.guest.linux.initramfs_actions import RAID_PROGRAM
from imsprep.guest.linux.locate import State, Where, locate
from imsprep.guest.model import LINUX, ZEROS, Guest, Volume
from imsprep.image.volumes.signatures import BTRFS, EXT2, EXT3, EXT4, LVM, RAID, SWAP, XFS
from imsprep.report import Severity

_NOTES = 3  # entries that are not started by default, of which a note is made


@rule(
    "IMS812",
    Severity.ERROR,
    "A kernel command line names the root by a name of the old machine",
    why="On KVM the disk has another name, and the kernel stops before it has a root.",
    fix=advice(f"set root=UUID=... and {fixes.AGAIN}"),
    source=f"{LINUX_GUIDE}; of RAID mdadm.conf(5): ARRAY, HOMEHOST, and tried by booting",
)
def root_by_name(facts: Facts) -> Iterator[Evidence]:
    """Read root= of the entry that starts: kernel names, loop devices, /dev/disk/by-path."""
    found = started(facts)
    root = value(found, "root") or ""
    where = locate(root, found.guest)
    if where.state is State.UNKNOWN and _ARRAY.match(root):
        yield from _array_by_name(found, root)
    if where.state not in (State.NAME, State.OLD):
        return
    soft = root.startswith("/dev/vd")
    yield Evidence(
        f"{of_value(found, 'root')}: root={cut(root)} for {cut(found.entry.kernel)}",
        expected="root=UUID=...",
        found=f"root={cut(root)}",
        fix=fixes.root_by_uuid(found.guest, found.entry, root),
        severity=Severity.WARNING if soft else None,
    )


_ARRAY = re.compile(r"/dev/md(?:/.|_?d?\d+$)")


def _array_by_name(found: Started, root: str) -> Iterator[Evidence]:
    """Look for the line of mdadm.conf in the initramfs that gives an array of the image the name.

    Without one mdadm names it by its own superblock, and one that it takes for another machine's,
    as by the host name, which an initramfs does not know, from /dev/md127 downwards.
    """
    image = found.image
    members = [volume for volume in found.guest.volumes if volume.kind == RAID]
    if image is None or not members or image.maker not in ("dracut", "initramfs-tools"):
        return
    if image.unread is not None:
        raise UnknownError(f"{image.path}: {image.unread}")
    if not any(RAID_PROGRAM.search(name) for name in image.files):
        return  # IMS855
    here = {(volume.uuid or "").replace("-", "").lower() for volume in members}
    arrays = [line for line in image.arrays if line[:3].lower() == "arr"]
    for line in arrays:
        words = line.split()[1:]
        uuids = [w[5:].lower() for w in words if w.lower().startswith("uuid=")]
        if _device(words[0]) == _device(root) and here.issuperset(
            re.sub(r"[^0-9a-f]", "", uuid) for uuid in uuids
        ):
            return
    sure = not arrays and root[7:].isdigit() and _is_foreign(found, image, members)
    yield Evidence(
        f"{of_value(found, 'root')}: root={cut(root)} is an array, and mdadm.conf in {image.path} "
        "has no line ARRAY that gives an array of the image that name: it "
        f"{'becomes' if sure else 'may become'} /dev/md127",
        expected="root=UUID=...",
        found=f"root={cut(root)}",
        title="The root is named by a name that its array may not get",
        severity=None if sure else Severity.WARNING,
        fix=advice(
            f"set root=UUID=... of the file system on the array and {fixes.AGAIN}; or add the lines"
            " of `mdadm -Ds` to mdadm.conf, and make the initramfs again with "
            f"{fixes.initramfs_again(found.guest)}"
        ),
    )


def _is_foreign(found: Started, image: Initramfs, members: list[Volume]) -> bool:
    """Return whether mdadm surely takes the arrays for another machine's, as it did when booted.

    Their names have that of a host (`web:0`), and Debian's initramfs has none to compare with.
    """
    hosts = [line.lower().split()[1:] for line in image.arrays if line[:3].lower() == "hom"]
    return (
        image.maker == "initramfs-tools"
        and all((volume.label or "").partition(":")[1] for volume in members)
        and all(words == ["<system>"] for words in hosts)
        and not any(argument.startswith("hostname=") for argument in arguments(found))
    )


def _device(name: str) -> str:
    """Return a device as mdadm.conf(5) means it: a name is in /dev/md, a number is /dev/md0."""
    path = name if name.startswith("/") else f"/dev/md/{name}"
    return re.sub(r"^/dev/md/(?=\d+$)", "/dev/md", path)


@rule(
    "IMS813",
    Severity.ERROR,
    "A kernel command line names a root that is not in the image",
    why="The kernel waits for a disk that never appears.",
    fix=advice(
        "set root=UUID=... of the volume that holds the system, in the line that is named and in"
        f" /etc/default/grub; once the system starts, {fixes.AGAIN}"
    ),
    source=INFERRED,
)
def root_missing(facts: Facts) -> Iterator[Evidence]:
    """Look root= of the entry that starts up among the image's volumes; others are notes."""
    found = started(facts)
    guest, entry = found.guest, found.entry
    root = value(found, "root")
    where = locate(root, guest) if root else Where(State.UNKNOWN)
    if root and where.state is State.GONE:
        yield Evidence(
            f"{of_value(found, 'root')}: root={cut(root)} is not in the image ({where.why})",
            found=cut(root),
            fix=_restore(root, guest) or fixes.root_by_uuid(guest, entry, root),
        )
    elif not root and (why := _needs_a_root(found)) is not None:
        yield Evidence(
            f"{place(entry)} has no root=, without which {why}{_as_written(found)}",
            expected="root=UUID=...",
            found="no root=",
            fix=fixes.root_by_uuid(guest, entry, ""),
        )
        return
    yield from _no_system(found, where)
    deployment = found.entry.value("ostree")
    if deployment is not None and deployment in guest.ostree and guest.ostree[deployment] is None:
        yield Evidence(
            f"{place(entry)}: ostree={cut(deployment)} leads to no deployment of the image",
            found=f"ostree={cut(deployment)}",
            fix=advice("write the boot entries again, with the tools of ostree or bootc"),
        )
    yield from _others(found)
    if where.state is State.UNKNOWN:
        said = f"root={cut(root)} {where.why}" if root else "does not name its root"
        raise UnknownError(f"{place(entry)} {said}")


def _needs_a_root(found: Started) -> str | None:
    """Return what finds no root without `root=`; None where that is not known.

    systemd finds one by the types of GPT's partitions, where the loader says from which disk it
    came; loaders for BIOS do not (systemd-gpt-auto-generator(8)). initramfs-tools never does.
    """
    guest, image = found.guest, found.image
    if image is None or any(_MADE_ROOTS.match(a) for a in arguments(found)):
        return None
    if image.maker == "initramfs-tools":
        settings = (entry.text or "" for _, entry in guest.matching(*_INITRAMFS_TOOLS))
        own = "\n".join(settings)
        return None if re.search(r"^ROOT=\S", own, re.MULTILINE) else "initramfs-tools finds none"
    if found.route.firmware != BIOS:
        return None
    if image.maker is None and image.unread is None:
        return "the initramfs finds none" if fixes.usual(guest) else None
    return f"{image.maker} finds none" if image.maker in ("dracut", "mkinitcpio") else None


_INITRAMFS_TOOLS = ("/etc/initramfs-tools/initramfs.conf", "/etc/initramfs-tools/conf.d/*")


def _as_written(found: Started) -> str:
    """Return the variables that an entry's line is made of, which nothing has set."""
    entry = found.entry
    known = found.guest.files.get(entry.path)
    lines = (known.text or "").splitlines() if known is not None else []
    line = lines[entry.line - 1] if 0 < entry.line <= len(lines) else ""
    names = re.findall(r"\$\{?\w+\}?", line)
    return f" (its line takes {', '.join(map(cut, names[:3]))})" if names else ""


# What makes the root of something else than the volume that is named, or fills it at first.
_MADE_ROOTS = re.compile(
    r"boot=|nfsroot=|rd\.live|live|.*union=|loop=|img=|init=|.*overlay|ostree=|cos-img|rd\.cos"
    r"|mount\.usr|usrhash|roothash|systemd\.volatile|flatcar\.|coreos\."
)


def _no_system(found: Started, where: Where) -> Iterator[Evidence]:
    """Look whether the volume that is named holds swap, or another one the system."""
    volume, guest = where.volume, found.guest
    if volume is None or any(_MADE_ROOTS.match(a) for a in found.entry.arguments):
        return
    why = None
    if volume.kind in (SWAP, LVM, ZEROS):
        why = f"which is {volume.kind} and no file system"
    elif guest.system == LINUX and guest.root != volume.name and _seen(volume, guest):
        why = f"which holds no system; {guest.root} does"
    if why is not None:
        yield Evidence(
            f"{of_value(found, 'root')}: root={cut(value(found, 'root') or '')} is {volume.name}, "
            f"{why}",
            fix=fixes.root_by_uuid(guest, found.entry, value(found, "root") or ""),
        )


def _seen(volume: Volume, guest: Guest) -> bool:
    """Return whether the files of a volume were looked at."""
    return (
        volume.kind in (EXT2, EXT3, EXT4, XFS, BTRFS)
        and volume.unread is None
        and (not any(volume.name in reason for reason in guest.unread))
    )


def _restore(root: str, guest: Guest) -> str | None:
    """Return what to do where the root is there and its superblock is not."""
    lost = next((v for v in guest.volumes if v.lost is not None and v.lost in root.lower()), None)
    if lost is None:
        return None
    return (
        f"Bring the superblock of {lost.name} back from its backup with e2fsck on the original, and"
        " make the image from that"
    )


def _others(found: Started) -> Iterator[Evidence]:
    """Note the entries that are not started by default and lead nowhere."""
    count = 0
    for other in found.route.entries:
        root = other.value("root")
        gone = bool(root) and locate(root or "", found.guest).state is State.GONE
        if other is not found.entry and gone and count < _NOTES:
            count += 1
            yield Evidence(
                f"{place(other)} ({cut(other.title)}), which does not start by default, names "
                f"root={cut(root or '')}, which is not in the image",
                fix="Correct that entry or remove it; chosen, it fails.",
                severity=Severity.NOTE,
            )


# --- btrfs ---------------------------------------------------------------------------------------


@rule(
    "IMS841",
    Severity.ERROR,
    "The boot entry does not name the subvolume that holds the system",
    why="The kernel mounts the default subvolume, finds no system there, and stops.",
    fix=advice(
        "add rootflags=subvol= with the subvolume of the system to the settings of the loader and "
        "write its configuration again, or make that subvolume the default one"
    ),
    source="btrfs(5): subvol, subvolid; btrfs-subvolume(8): set-default",
)
def lost_subvolume(facts: Facts) -> Iterator[Evidence]:
    """Compare rootflags of the entry that starts with where the system lies."""
    found = started(facts)
    guest, entry = found.guest, found.entry
    where = locate(value(found, "root") or "", guest)
    if where.volume is None or where.volume.kind != BTRFS:
        return
    if where.volume.unread is not None:
        raise UnknownError(f"{where.volume.name}: {where.volume.unread}")
    if guest.root != where.volume.name or guest.subvolume is None:
        return
    named = named_subvolume(value(found, "rootflags") or "")
    if named is None:
        yield Evidence(
            f"{place(entry)} has no rootflags=subvol={guest.subvolume}; the system lies in the "
            f"subvolume {guest.subvolume} of {guest.root}, and the default subvolume holds none",
            expected=f"rootflags=subvol={guest.subvolume}",
            found="no rootflags",
        )
    elif not named.isdigit() and named != guest.subvolume:
        yield Evidence(
            f"{place(entry)} names the subvolume {cut(named)}, and the system lies in "
            f"{guest.subvolume} of {guest.root}",
            expected=f"rootflags=subvol={guest.subvolume}",
            found=f"rootflags=subvol={cut(named)}",
        )
