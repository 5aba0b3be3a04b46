"""IMS847, IMS854: what mounts a file system: the type that is named, and the kernel's driver."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.rules.guest.chain.drivers import forbidden
from imsprep.checks.rules.guest.chain.mounts import line_of, mounts_of, severity_of
from imsprep.checks.subject.boot_entry import Started, cut, of_value, place, started, value
from imsprep.checks.subject.guest import advice, linux
from imsprep.guest.linux.fstab import find_volume, named_subvolume
from imsprep.guest.linux.locate import locate
from imsprep.guest.model import Volume
from imsprep.image.volumes.signatures import BTRFS, EXT2, EXT3, EXT4, FAT, NTFS, SWAP, XFS
from imsprep.report import Severity

# What mounts what: names in fstab, and of the volumes that their superblock distinguishes.
_WITHOUT_SUBVOLUMES = (EXT2, EXT3, EXT4, XFS)
_FAMILIES = {
    **dict.fromkeys(("ext2", "ext3", "ext4", EXT2, EXT3, EXT4), "ext"),
    **dict.fromkeys(("xfs", XFS), "XFS"), **dict.fromkeys(("btrfs", BTRFS), "btrfs"),
    **dict.fromkeys(("vfat", "msdos", "fat", FAT), "FAT"),
    **dict.fromkeys(("ntfs", "ntfs3", "ntfs-3g", "lowntfs-3g", NTFS), "NTFS"),
    **dict.fromkeys(("swap", SWAP), "swap"),
}  # fmt: skip


@rule(
    "IMS847",
    Severity.ERROR,
    "A file system is mounted as another type than it is",
    why="The mount fails, and the boot stops in emergency mode.",
    fix=advice("write the type that `blkid` prints, or auto"),
    source="fstab(5); bootparam(7): rootfstype",
)
def wrong_type(facts: Facts) -> Iterator[Evidence]:
    """Compare the types in fstab and of rootfstype= with the superblocks."""
    guest = linux(facts)
    with contextlib.suppress(UnknownError):
        found = started(facts)
        root, kind = value(found, "root") or "", value(found, "rootfstype") or ""
        volume = locate(root, guest).volume
        if volume is not None and _other_type(kind, volume):
            yield Evidence(
                f"{of_value(found, 'rootfstype')}: rootfstype={cut(kind)}, and {volume.name} is "
                f"{volume.kind}",
                expected=volume.kind,
                found=f"rootfstype={cut(kind)}",
                fix=advice("remove rootfstype= and write the loader's configuration again"),
            )
        named = named_subvolume(value(found, "rootflags") or "")
        if volume is not None and named is not None and volume.kind in _WITHOUT_SUBVOLUMES:
            yield Evidence(
                f"{place(found.entry)}: rootflags= names the subvolume {cut(named)}, and "
                f"{volume.name} is {volume.kind}",
                expected=f"no subvolume for {volume.kind}",
                found=f"rootflags={cut(value(found, 'rootflags') or '')}",
                fix=advice("remove rootflags= and write the loader's configuration again"),
            )
    for mount in mounts_of(guest):
        volume = find_volume(mount.spec, guest.volumes)
        # The root is there by then: mounting it again with other options asks for no type.
        if volume is not None and mount.path != "/" and _other_type(mount.kind, volume):
            yield Evidence(
                f"{line_of(mount)} as {cut(mount.kind)}, and {volume.name} is {volume.kind}",
                expected=volume.kind,
                found=cut(mount.kind),
                severity=severity_of(guest, mount),
            )


# Types that mount a volume of another kind: what the kernel tries, what is mounted already, and
# programs. Lustre's volumes have a superblock of ext4.
_MAY_MOUNT = re.compile(r"auto$|none$|r?bind$|$|fuse|lustre$|ldiskfs$|ext\d?dev$|.*fuse")

# What mounts each family, by its driver's name.
_DRIVERS = {"ext": "ext4", "XFS": "xfs", "btrfs": "btrfs", "FAT": "vfat"}


@rule(
    "IMS854",
    Severity.ERROR,
    "The kernel has no driver for a file system that fstab mounts",
    why="The mount fails with “unknown filesystem type”, and the boot stops in emergency mode.",
    fix=advice(
        "install the kernel's package with all its modules (Ubuntu: linux-modules-extra), or add "
        "nofail to the line"
    ),
    source="tried by booting; depmod(8): modules.dep, modules.builtin; modprobe.d(5)",
)
def no_driver(facts: Facts) -> Iterator[Evidence]:
    """Look for the drivers of fstab's file systems among those of the kernel that starts."""
    found = started(facts)
    guest, kernel = found.guest, found.kernel
    known = kernel.filesystems if kernel is not None else None
    root = next((v for v in guest.volumes if v.name == guest.root), None)
    driver = _DRIVERS.get(_FAMILIES.get(root.kind, "")) if root is not None else None
    image = found.image.drivers if found.image is not None else ()
    if kernel is None or known is None or driver is None or driver not in (*known, *image):
        return  # the lists are not whole: the kernel mounts its root, and does so without them
    kept = {name: one for one in forbidden(found) for name in one.names}
    for mount in mounts_of(guest):
        volume = find_volume(mount.spec, guest.volumes)
        wanted = _DRIVERS.get(_FAMILIES.get(volume.kind, "")) if volume is not None else None
        if wanted is None or wanted == driver or mount.path == "/":
            continue
        if wanted in known:
            why = kept.get(wanted) if wanted in kernel.filesystem_modules else None
            if why is not None and not (why.by_alias and _loads(found, wanted)):
                yield Evidence(
                    f"{line_of(mount)}: {why.place} keeps its driver {wanted} from loading",
                    expected=wanted,
                    found=cut(why.said),
                    severity=severity_of(guest, mount),
                    fix=why.fix,
                )
            continue
        yield Evidence(
            f"{line_of(mount)}: the kernel {cut(kernel.version)} has no driver {wanted}",
            expected=wanted,
            found=", ".join(known) or "none of them",
            severity=severity_of(guest, mount),
        )


def _loads(found: Started, driver: str) -> bool:
    """Return whether a driver is loaded by its name, which a blacklist does not forbid."""
    guest = found.guest
    lists = guest.matching("/etc/modules", "/etc/modules-load.d/*.conf")
    text = "\n".join(entry.text or "" for _, entry in lists).replace("-", "_")
    inside = found.image.loads if found.image is not None else ()
    return driver in inside or re.search(rf"^\s*{driver}\b", text, re.MULTILINE) is not None


def _other_type(named: str, volume: Volume) -> bool:
    """Return whether none of the types that are named, parted by commas, is the volume's."""
    names = named.split(",")
    families = {_FAMILIES.get(name) for name in names}
    if volume.kind not in _FAMILIES or _FAMILIES[volume.kind] in families:
        return False
    # A type that is not known here mounts no file system of Linux's own, unless it is one of these.
    strange = [name for name in names if name not in _FAMILIES]
    of_linux = volume.kind in (*_WITHOUT_SUBVOLUMES, BTRFS)
    return not strange or (of_linux and not any(_MAY_MOUNT.match(name) for name in strange))
