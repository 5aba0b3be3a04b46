"""IMS809–IMS811, IMS819, IMS845, IMS846, IMS852: what is mounted and opened after the root.

fstab and crypttab are read together: a mapper device that crypttab opens is made at boot, and what
matters is its source.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from itertools import groupby

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import INFERRED, Evidence, UnknownError, rule
from imsprep.checks.subject.boot_entry import cut, entries_of
from imsprep.checks.subject.guest import (
    LINUX_GUIDE,
    advice,
    any_guest,
    linux,
    listed,
)
from imsprep.guest.linux.fstab import (
    Mount,
    find_volume,
    means,
    named_subvolume,
    read_fstab,
    written_otherwise,
)
from imsprep.guest.linux.locate import CryptLine, State, locate, read_crypttab, whole
from imsprep.guest.model import Guest, Volume
from imsprep.image.volumes.signatures import (
    BTRFS,
    LUKS,
    LVM,
    RAID,
    SWAP,
)
from imsprep.report import Severity

# Without these nothing works, so that no advice sets their line aside.
_NEEDED = ("/", "/usr", "/var", "/boot")
_KVM_NAME = re.compile(r"/dev/vd[a-z]+\d*$")


def mounts_of(guest: Guest) -> list[Mount]:
    """Return the lines of fstab; UnknownError if there is none."""
    text = guest.text("/etc/fstab")
    if text is None:
        raise UnknownError("there is no /etc/fstab")
    return read_fstab(text)


def line_of(mount: Mount) -> str:
    """Name a line of fstab for a message."""
    return f"/etc/fstab line {mount.line}: {cut(mount.spec)} on {cut(mount.path)}"


def severity_of(guest: Guest, mount: Mount) -> Severity | None:
    """Return how bad a mount is that cannot be made: None for the rule's own severity."""
    if not mount.required:
        return Severity.NOTE
    # OpenRC goes on without what it cannot mount; systemd without swap, after 90 seconds.
    openrc = any(path.startswith("/etc/runlevels/") for path in guest.files)
    return Severity.WARNING if mount.is_swap or openrc else None


@rule(
    "IMS810",
    Severity.ERROR,
    "fstab names a disk by its kernel name",
    why="Disks have other names on KVM; the boot stops in emergency mode.",
    fix=advice("replace the device by UUID=..., as `blkid` prints it"),
    source=LINUX_GUIDE,
)
def fstab_by_name(facts: Facts) -> Iterator[Evidence]:
    """Look for /dev/sda1, /dev/vda1, /dev/disk/by-path and the like."""
    guest = linux(facts)
    for mount in mounts_of(guest):
        where = locate(mount.spec, guest)
        if where.state in (State.NAME, State.OLD):
            severity = severity_of(guest, mount)
            if severity is None and _KVM_NAME.match(mount.spec):
                severity = Severity.WARNING
            named = f", which {where.why}" if where.why else ""
            yield Evidence(
                f"{line_of(mount)}{named}",
                expected="UUID=... or LABEL=...",
                found=cut(mount.spec),
                fix=fixes.mount_by_uuid(guest, mount) or _missing_fix(guest, mount),
                severity=severity,
            )


def _without(guest: Guest, mount: Mount) -> str | None:
    """Advise what to do with a line whose volume is not known."""
    if mount.path in _NEEDED:
        uuid = fixes.root_uuid(guest) if mount.path == "/" else None
        if uuid is not None:
            return advice(f"write UUID={uuid}, which is the volume of /, into the line")
        return advice(f"write the UUID of the volume that holds {mount.path} into the line")
    return None


@rule(
    "IMS811",
    Severity.ERROR,
    "fstab names a disk that is not in the image",
    why="Only this disk is imported: the boot waits for the missing one, and can stop in emergency"
    " mode.",
    fix=advice("remove the line from /etc/fstab, or add the option nofail"),
    source=LINUX_GUIDE,
)
def fstab_missing(facts: Facts) -> Iterator[Evidence]:
    """Look every device of fstab up among the image's volumes and what crypttab opens."""
    guest = linux(facts)
    reasons = []
    for mount in mounts_of(guest):
        where = locate(mount.spec, guest)
        if where.state is State.GONE:
            fix = _missing_fix(guest, mount)
            yield Evidence(
                f"{line_of(mount)} is not in the image ({where.why})",
                fix=fix,
                severity=severity_of(guest, mount),
            )
        elif where.volume is not None and (right := written_otherwise(mount.spec, where.volume)):
            yield Evidence(
                f"{line_of(mount)}: udev writes it {right}, and systemd waits for the letters "
                "as they stand in the line",
                expected=right,
                found=cut(mount.spec),
                fix=fixes.in_line(mount, right),
                severity=Severity.WARNING if mount.path == "/" else severity_of(guest, mount),
            )
        elif where.state is State.UNKNOWN:
            reasons.append(f"{cut(mount.spec)} {where.why}")
        yield from _elsewhere(guest, mount, where.state)
        yield from _requires(guest, mount)
    yield from _units(guest)
    if reasons:
        raise UnknownError(listed(reasons))


def _units(guest: Guest) -> Iterator[Evidence]:
    """Look up the devices of systemd's own units of mounts, without which the boot stops."""
    for unit, entry in guest.matching("/etc/systemd/system/local-fs.target.requires/*.mount"):
        spec = re.search(r"^\s*What\s*=\s*(\S+)\s*$", entry.text or "", re.MULTILINE)
        where = locate(spec[1], guest) if spec is not None else None
        if spec is not None and where is not None and where.state in (State.GONE, State.OLD):
            yield Evidence(
                f"{unit} mounts {cut(spec[1])}, which is not in the image ({where.why})",
                found=cut(spec[1]),
                fix=advice(f"remove {unit}, so that the boot does not need it"),
            )


def _requires(guest: Guest, mount: Mount) -> Iterator[Evidence]:
    """Look up the devices that a mount waits for beyond its own."""
    for spec in mount.needs:
        where = locate(spec, guest)
        if where.state in (State.GONE, State.OLD):
            yield Evidence(
                f"{line_of(mount)}: x-systemd.requires={cut(spec)} is not in the image "
                f"({where.why})",
                found=cut(spec),
                severity=severity_of(guest, mount),
            )


def _elsewhere(guest: Guest, mount: Mount, state: State) -> Iterator[Evidence]:
    """Look for removable media, and for folders that the old machine's host shares."""
    if state is State.DRIVE and mount.required:
        yield Evidence(
            f"{line_of(mount)}: the server has no such drive, and the line has neither nofail "
            "nor noauto",
            severity=Severity.WARNING,
            fix=fixes.without_mount(mount),
        )
    elif mount.shared_by is not None:
        yield Evidence(
            f"{line_of(mount)} is a folder that the host of {mount.shared_by} shares",
            fix=fixes.without_mount(mount),
            severity=severity_of(guest, mount),
        )


def _missing_fix(guest: Guest, mount: Mount) -> str:
    if mount.path == "/":
        return fixes.mount_by_uuid(guest, mount) or _without(guest, mount) or ""
    if mount.path in _NEEDED:
        return _without(guest, mount) or ""
    return fixes.right_or_without_mount(mount)


@rule(
    "IMS852",
    Severity.ERROR,
    "fstab mounts a file or subvolume that is not there",
    why="The mount fails, and the boot stops in emergency mode.",
    fix=advice("make the file, or remove the line from /etc/fstab, or add the option nofail"),
    source="mount(8): loop-device support; systemd-fstab-generator(8)",
)
def fstab_without_source(facts: Facts) -> Iterator[Evidence]:
    """Look for the files that loop devices and swap take, and for subvolumes of btrfs."""
    guest = linux(facts)
    mounts = mounts_of(guest)
    reasons = []
    for mount in mounts:
        yield from _without_subvolume(guest, mount)
        path = mount.inside
        if path is None or guest.exists(path):
            continue
        over = next((m for m in mounts if _below(path, m.path)), None)
        if over is not None:
            reasons.append(f"{cut(path)} may be on what is mounted on {cut(over.path)}")
        else:
            severity = Severity.NOTE if mount.is_swap else severity_of(guest, mount)
            yield Evidence(f"{line_of(mount)} is not in the image", severity=severity)
    if reasons:
        raise UnknownError(listed(reasons))


def _without_subvolume(guest: Guest, mount: Mount) -> Iterator[Evidence]:
    volume = find_volume(mount.spec, guest.volumes)
    named = named_subvolume(",".join(mount.options))
    # The root is there by then: mounting it again with other options leaves its subvolume.
    if volume is not None and f"{volume.name}:{named}" in guest.gone_subvolumes:
        yield Evidence(
            f"{line_of(mount)}: the btrfs of {volume.name} has no subvolume {cut(named or '')}",
            found=f"subvol={cut(named or '')}",
            severity=Severity.WARNING if mount.path == "/" else severity_of(guest, mount),
        )


def _below(path: str, folder: str) -> bool:
    return folder.rstrip("/") != "" and f"{path}/".startswith(f"{folder.rstrip('/')}/")


# --- volumes that are not whole, or twice there --------------------------------------------------


@rule(
    "IMS819",
    Severity.ERROR,
    "A volume of the system lies partly on another disk",
    why="Only one disk is imported: what is spread over two cannot be started from it.",
    fix=advice(
        "move what lies on the other disk to this one before the copy, with the tools of LVM or of "
        "btrfs, and take the other disk out of the group or file system"
    ),
    source=INFERRED,
)
def on_two_disks(facts: Facts) -> Iterator[Evidence]:
    """Look for logical volumes and btrfs of which a part is not in the image."""
    guest = any_guest(facts)
    needed = _needed(facts, guest)
    seen = set()
    for volume in guest.volumes:
        why = whole(volume, guest)
        key = volume.uuid or volume.name
        if why is None or key in seen or facts.request.is_data_disk:
            continue
        seen.add(key)
        fatal = guest.system is None or volume.name in needed or volume.name == guest.root
        fix = _ON_ONE_DISK if volume.kind == RAID else None
        yield Evidence(why, severity=None if fatal else Severity.WARNING, fix=fix)


_ON_ONE_DISK = advice("copy what lies on the array to a file system on one disk, before the copy")


def _needed(facts: Facts, guest: Guest) -> set[str]:
    """Return the volumes without which the boot stops."""
    specs = [entry.value("root") or "" for entry in entries_of(facts)[:1]]
    with contextlib.suppress(UnknownError):
        specs += [m.spec for m in mounts_of(guest) if m.required and not m.is_swap]
    found = (find_volume(spec, guest.volumes) for spec in specs)
    return {volume.name for volume in found if volume is not None}


@rule(
    "IMS809",
    Severity.WARNING,
    "Two volumes have the same UUID or label",
    why="Which of the two is mounted is undefined, and can change from boot to boot.",
    fix=advice(
        "give the one that is not used another with tune2fs (ext4), xfs_admin (XFS) or btrfstune "
        "(btrfs), or remove that partition"
    ),
    source=INFERRED,
)
def twice(facts: Facts) -> Iterator[Evidence]:
    """Compare the UUIDs and labels that boot entries and fstab name."""
    guest = any_guest(facts)
    specs = [value for entry in entries_of(facts)[:1] for value in entry.values("root")]
    if guest.system is not None:
        with contextlib.suppress(UnknownError):
            specs += [mount.spec for mount in mounts_of(guest) if mount.required]
    for (kind, name), volumes in _doubles(guest):
        spec = f"{kind}={name}"
        if any(means(named, volumes[0]) and _by(named, kind) for named in specs):
            names = " and ".join(volume.name for volume in volumes)
            yield Evidence(
                f"{names} have the same {kind}, {cut(name)}, by which the boot names one of them",
                found=spec[:160],
            )


def _by(spec: str, kind: str) -> bool:
    return spec.startswith(f"{kind}=") or f"/by-{kind.lower()}/" in spec


def _doubles(guest: Guest) -> Iterator[tuple[tuple[str, str], list[Volume]]]:
    """Yield what several volumes have, except where they are members of one thing."""
    named: list[tuple[str, str, Volume]] = []
    for volume in guest.volumes:
        if volume.kind in (LVM, RAID):
            continue
        named += [("UUID", volume.uuid, volume)] if volume.uuid else []
        named += [("LABEL", volume.label, volume)] if volume.label else []
        named += [("PARTUUID", volume.part_uuid, volume)] if volume.part_uuid else []
    named.sort(key=lambda one: one[:2])
    for key, group in groupby(named, key=lambda one: one[:2]):
        volumes = [volume for _, _, volume in group]
        together = all(v.kind == BTRFS and (v.devices or 1) >= len(volumes) for v in volumes)
        if len(volumes) > 1 and not together:
            yield key, volumes


# --- crypttab ------------------------------------------------------------------------------------


@rule(
    "IMS846",
    Severity.WARNING,
    "crypttab opens a disk that is not in the image",
    why="The boot waits 90 seconds for it, and what is mounted from it is missing.",
    fix=advice(
        "remove the line from /etc/crypttab and what mounts it from /etc/fstab, or add nofail"
    ),
    source="crypttab(5)",
)
def crypttab_missing(facts: Facts) -> Iterator[Evidence]:
    """Look the source of every line of crypttab up; an error where the boot needs what it opens."""
    guest = linux(facts)
    text = guest.text("/etc/crypttab")
    reasons = []
    for line in read_crypttab(text or ""):
        spec = line.source
        where = locate(spec, guest)
        if where.state in (State.GONE, State.OLD):
            yield Evidence(
                f"/etc/crypttab line {line.line}: {cut(line.name)} is opened from {cut(spec)}, "
                f"which is not in the image ({where.why})",
                severity=_crypt_severity(guest, line),
            )
        elif where.state is State.NAME and not _KVM_NAME.match(spec):
            yield Evidence(
                f"/etc/crypttab line {line.line}: {cut(line.name)} is opened from {cut(spec)}, "
                "which has another name on KVM",
                expected="UUID=... or PARTUUID=...",
                found=cut(spec),
                severity=_crypt_severity(guest, line),
                fix=advice("write the partition's PARTUUID= or UUID= there, as `blkid` prints it"),
            )
        elif where.state is State.UNKNOWN and not _is_luks(spec, guest):
            reasons.append(f"{cut(spec)} {where.why}")
    if reasons:
        raise UnknownError(listed(reasons))


def _crypt_severity(guest: Guest, line: CryptLine) -> Severity | None:
    try:
        mounts = mounts_of(guest)
    except UnknownError:
        mounts = []
    device = f"/dev/mapper/{line.name}"
    users = [m for m in mounts if m.spec == device and m.required and not m.is_swap]
    if users:
        return Severity.ERROR
    return None if line.required else Severity.NOTE


def _is_luks(spec: str, guest: Guest) -> bool:
    return any(volume.kind == LUKS and means(spec, volume) for volume in guest.volumes)


# --- room to grow --------------------------------------------------------------------------------


@rule(
    "IMS845",
    Severity.NOTE,
    "The root is not the last partition of the disk",
    why="cloud-init grows only the last partition: on a larger disk the root stays as it is.",
    fix=advice(
        "move what lies after the root in front of the root, or, if it is swap, make it a file"
    ),
    source="cloud-init's documentation: cc_growpart; growpart(1)",
)
def cannot_grow(facts: Facts) -> Iterator[Evidence]:
    """Look for partitions behind the one that holds the root."""
    guest = linux(facts)
    root = next((v for v in guest.volumes if v.name == guest.root), None)
    if root is None or root.offset < 0 or guest.table is None:
        return
    behind = [v for v in guest.volumes if v.offset > root.offset]
    if behind:
        kinds = ", ".join(f"{v.name} ({'swap' if v.kind == SWAP else v.kind})" for v in behind[:3])
        yield Evidence(f"{root.name}, the root, cannot be grown: {kinds} lies after it")
