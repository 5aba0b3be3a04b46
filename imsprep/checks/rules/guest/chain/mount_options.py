"""IMS858–IMS860: how the root and the other file systems can be mounted at all."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.rules.guest.chain.mounts import line_of, mounts_of, severity_of
from imsprep.checks.subject.boot_entry import arguments, cut, of_value, origin, started, value
from imsprep.checks.subject.guest import advice, linux
from imsprep.guest.linux import mount_options
from imsprep.guest.linux.fstab import Mount, find_volume, not_entries, read_fstab
from imsprep.guest.linux.locate import locate
from imsprep.guest.model import Guest, Volume
from imsprep.image.volumes.signatures import BTRFS, EXT2, EXT3, EXT4, FAT, XFS
from imsprep.report import Severity

# `defaults` written wrong: no file system has an option that is one word from `def`.
_MISSPELT = re.compile(r"(?!defaults$)def[a-z]+$")


# File systems by the driver that reads their options: types in fstab, and kinds of volumes.
_FAMILIES = {
    **dict.fromkeys(("ext2", "ext3", "ext4", EXT2, EXT3, EXT4), mount_options.EXT),
    **dict.fromkeys(("xfs", XFS), mount_options.XFS),
    **dict.fromkeys(("btrfs", BTRFS), mount_options.BTRFS),
    **dict.fromkeys(("vfat", "msdos", FAT), mount_options.FAT),
}  # fmt: skip
# From which kernel on an XFS that is mounted already refuses an option that it does not know.
_XFS_REMOUNTS = (5, 5)
_MADE_BY_SYSTEMD = ("/dev", "/dev/shm", "/proc", "/run", "/sys")  # mounted before fstab is read


@rule(
    "IMS858",
    Severity.ERROR,
    "A mount option does not exist, or not for this file system",
    why="The mount fails with “unknown mount option”, and the boot stops in emergency mode; the"
    " root stays read-only.",
    fix=advice("write defaults there"),
    source="fstab(5); mount(8): filesystem-independent mount options; ext4(5), xfs(5), btrfs(5);"
    " the Linux kernel's admin-guide/xfs.rst, “Removed Mount Options”; inferred",
)
def no_such_option(facts: Facts) -> Iterator[Evidence]:
    """Look for `default` where `defaults` is meant, and for options of other file systems."""
    guest = linux(facts)
    kernel = _kernel_version(facts)
    yield from _refused_by_root(facts, kernel)
    for mount in mounts_of(guest):
        yield from _refused(guest, mount, kernel)
        wrong = next((o for o in mount.options if _MISSPELT.match(o)), None)
        if wrong is not None and mount.on_disk and not mount.is_swap:
            edges = r"\([[:space:],]\|$\)"
            script = f"{mount.line}s/\\([[:space:],]\\){wrong}{edges}/\\1defaults\\2/"
            yield Evidence(
                f"{line_of(mount)} has the option {cut(wrong)}",
                expected="defaults",
                found=cut(wrong),
                fix=fixes.command(f"sed -i '{script}' /etc/fstab"),
                severity=Severity.WARNING if mount.path == "/" else severity_of(guest, mount),
            )


def _kernel_version(facts: Facts) -> tuple[int, ...]:
    with contextlib.suppress(UnknownError):
        return _numbers(started(facts).entry.version or "")
    return ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _refused_by_root(facts: Facts, kernel: tuple[int, ...]) -> Iterator[Evidence]:
    """Look for options in rootflags= that the root's file system refuses."""
    with contextlib.suppress(UnknownError):
        found = started(facts)
        given = value(found, "rootflags") or ""
        volume = locate(value(found, "root") or "", found.guest).volume
        family = _FAMILIES.get(volume.kind) if volume is not None else None
        if volume is None or family is None:
            return
        for option, why in mount_options.refused(given.split(","), family, kernel):
            if not option.startswith("subvol"):  # IMS847
                yield Evidence(
                    f"{of_value(found, 'rootflags')}: rootflags={cut(given)}: {volume.name} is "
                    f"{volume.kind}, which refuses {cut(option)}: {why}",
                    found=cut(option),
                    fix=advice(f"remove {cut(option)} from rootflags=, and {fixes.AGAIN}"),
                )


def _refused(guest: Guest, mount: Mount, kernel: tuple[int, ...]) -> Iterator[Evidence]:
    """Look for options of a line that its file system refuses."""
    if mount.kind == "tmpfs":
        wrong = mount_options.no_size(mount.options)
        if wrong is not None:
            early = mount.path in _MADE_BY_SYSTEMD
            yield Evidence(
                f"{line_of(mount)} has {cut(wrong)}, which is not a size: after the number "
                "stands one letter, or %",
                expected="size=2g",
                found=cut(wrong),
                fix=advice("write the size with one letter (k, m, g)"),
                severity=Severity.WARNING if early else severity_of(guest, mount),
            )
        return
    volume = find_volume(mount.spec, guest.volumes)
    named = _FAMILIES.get(mount.kind)
    family = _FAMILIES.get(volume.kind) if volume is not None else named
    # Where the type is wrong, IMS847 speaks. An old XFS that is mounted already leaves out what it
    # does not know.
    of_root = mount.path == "/"
    if family is None or mount.is_swap or (named or family) != family:
        return
    if of_root and family == mount_options.XFS and kernel < _XFS_REMOUNTS:
        return
    for option, why in mount_options.refused(mount.options, family, kernel):
        yield Evidence(
            f"{line_of(mount)} has the option {cut(option)}: {why}",
            found=cut(option),
            fix=advice(f"remove {cut(option)} from line {mount.line} of /etc/fstab"),
            severity=Severity.WARNING if of_root else severity_of(guest, mount),
        )


# Types of GPT's partitions that systemd takes for the root: it mounts these for writing by itself.
_ROOT_TYPES = ("4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "b921b045-1df0-41c3-af44-4c6f280d3fae")
_IMAGE_BASED = re.compile(r"ostree=|.*overlay|boot=|.*union=|systemd\.volatile|rd\.live|roothash")


@rule(
    "IMS859",
    Severity.WARNING,
    "The root stays read-only",
    why="The kernel mounts the root read-only (`ro`), and only a line of fstab makes the system"
    " mount it again for writing: cloud-init and most services then fail.",
    fix=advice("add a line for / to /etc/fstab, or write rw for ro in the settings of the loader"),
    source="systemd-remount-fs.service(8); systemd-gpt-auto-generator(8)",
)
def read_only_root(facts: Facts) -> Iterator[Evidence]:
    """Look for `ro` of the entry that starts, where fstab does not speak of the root."""
    found = started(facts)
    guest, given = found.guest, arguments(found)
    mode = next((a for a in reversed(given) if a in ("ro", "rw")), None)
    root = next((v for v in guest.volumes if v.name == guest.root), None)
    if mode != "ro" or root is None or root.part_type in _ROOT_TYPES or not fixes.usual(guest):
        return
    by_systemd = any(True for _ in guest.matching("/etc/systemd/system/*.wants/*"))
    text = guest.text("/etc/fstab") or ""
    if by_systemd and not any(m.path == "/" for m in read_fstab(text)) and not _image_based(given):
        uuid = fixes.root_uuid(guest)
        line = f": UUID={uuid} / auto defaults 0 1" if uuid is not None else ""
        lacks = "has no line for /" if guest.exists("/etc/fstab") else "is missing"
        for number, words in itertools.islice(not_entries(text), 1):
            lacks += f"; line {number} is no entry: {cut(words)!r}"
        yield Evidence(
            f"{origin(found, 'ro')} says ro, and /etc/fstab {lacks}",
            expected="a line for /",
            found="ro",
            fix=advice(f"add a line for / to /etc/fstab{line}"),
        )


def _image_based(given: tuple[str, ...]) -> bool:
    return any(_IMAGE_BASED.match(argument) for argument in given)


# The first kernel that mounts a file system with the feature.
_SINCE = {
    "rmapbt": (4, 8), "reflink": (4, 9), "bigtime": (5, 10), "inobtcount": (5, 10),
    "nrext64": (5, 19), "exchange": (6, 10), "parent": (6, 10), "metadir": (6, 13),
    "metadata_csum_seed": (4, 4), "ea_inode": (4, 13), "large_dir": (4, 13), "casefold": (5, 2),
}  # fmt: skip
_BROUGHT_EARLIER = {"el9": ("nrext64",)}  # by a distribution's kernels of that name


@rule(
    "IMS860",
    Severity.WARNING,
    "The kernel does not know a feature of a file system that it mounts",
    why="The kernel refuses the mount, or mounts read-only: “unknown incompatible features”. The"
    " file system was made on a newer system than the one in the image.",
    fix=advice(
        "install a newer kernel, or copy the files to a file system that was made without the "
        "feature"
    ),
    source="the Linux kernel's fs/xfs/libxfs/xfs_format.h and fs/ext4/ext4.h of each release; what "
    "distributions brought earlier is known only in part",
)
def newer_file_system(facts: Facts) -> Iterator[Evidence]:
    """Compare the features of the root and of what fstab mounts with the kernel's version."""
    found = started(facts)
    version = found.entry.version or ""
    numbers = _numbers(version)
    mounted = {volume.name: volume for volume in _mounted(found.guest, value(found, "root") or "")}
    for volume in mounted.values():
        early = [f for name, known in _BROUGHT_EARLIER.items() if name in version for f in known]
        unknown = [f for f in volume.features if numbers < _SINCE.get(f, (0,)) and f not in early]
        if unknown and len(numbers) == 2:
            since = max(_SINCE[feature] for feature in unknown)
            yield Evidence(
                f"Linux {cut(version)} does not know {', '.join(unknown)}, which the "
                f"{volume.kind} of {volume.name} has",
                expected=f"Linux {since[0]}.{since[1]} or later",
                found=cut(version),
            )
        elif unknown:
            raise UnknownError("the version of the kernel that starts is not known")


def _mounted(guest: Guest, root: str) -> Iterator[Volume]:
    specs = [m.spec for m in read_fstab(guest.text("/etc/fstab") or "") if m.required]
    found = [locate(root, guest).volume, *(find_volume(s, guest.volumes) for s in specs)]
    yield from (v for v in found if v is not None and v.kind in _KINDS)


_KINDS = (EXT2, EXT3, EXT4, XFS, BTRFS)
