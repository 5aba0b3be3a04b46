"""IMS814–IMS816, IMS849, IMS861: the initramfs of the kernel that starts, and its drivers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import NamedTuple

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import INFERRED, Evidence, UnknownError, rule
from imsprep.checks.subject.boot_entry import (
    Started,
    arguments,
    cut,
    origin,
    place,
    started,
    value,
)
from imsprep.checks.subject.guest import LINUX_GUIDE, advice
from imsprep.guest.chain.values import Initramfs
from imsprep.guest.linux.initramfs import EMPTY, ONLY_ZEROS
from imsprep.guest.linux.kernels import VIRTIO
from imsprep.guest.linux.locate import locate
from imsprep.guest.model import Kernel
from imsprep.image.volumes.signatures import BTRFS, EXT2, EXT3, EXT4, XFS
from imsprep.report import Severity

# Drivers of which one mounts the kind.
DRIVERS = {
    EXT2: ("ext4", "ext2"), EXT3: ("ext4", "ext3"), EXT4: ("ext4",), XFS: ("xfs",),
    BTRFS: ("btrfs",),
}  # fmt: skip
_DISK_DRIVERS = ("virtio", "virtio_ring", "virtio_pci", "virtio_blk")
_REBUILD = advice(
    "add the drivers to the settings of the initramfs, and make it again. Debian, Ubuntu: "
    "/etc/initramfs-tools/modules and update-initramfs; RHEL family: add_drivers in "
    "/etc/dracut.conf.d and dracut; SUSE before 12 SP1: INITRD_MODULES in "
    "/etc/sysconfig/kernel and mkinitrd"
)


def _has(found: Started, driver: str) -> bool | None:
    """Return whether the kernel reaches a driver before it has a root; None: not known."""
    if found.kernel is not None and driver in found.kernel.builtin:
        return True
    if found.image is not None and driver in found.image.drivers:
        return True
    if found.image is None and found.entry.initrds:
        return None
    if found.image is not None and found.image.unread:
        return None
    kernel = found.kernel
    if kernel is None or kernel.unread_lists:
        return None
    if driver in kernel.modules:
        return False  # a file of its own, so it is not built in
    # virtio and virtio_ring are in one file with others in some kernels.
    # Lists that are whole, as those of file systems show, leave no driver out.
    whole = bool(kernel.modules) or kernel.filesystems is not None
    return False if driver in ("virtio_blk", "virtio_pci") and whole else None


def _lacking(found: Started, drivers: tuple[str, ...]) -> list[str]:
    return [name for name in drivers if _has(found, name) is False]


def _must_know(found: Started, drivers: tuple[str, ...]) -> None:
    """Raise UnknownError if it is not known of a driver whether it is there."""
    unknown = [name for name in drivers if _has(found, name) is None]
    if found.kernel is not None and not any((found.kernel.builtin, found.kernel.modules)):
        found.guest.must_see("/lib/modules/*")
    certain = [name for name in unknown if name in ("virtio_blk", "virtio_pci", "virtio_net")]
    if not certain:
        return
    image = found.image
    if image is not None and image.unread:
        raise UnknownError(f"{image.path}: {image.unread}")
    found.guest.must_see("/lib/modules/*")
    raise UnknownError(
        f"{', '.join(certain)} may be built into {cut(found.entry.kernel)}, whose list of built-in "
        "drivers was not found"
    )


@rule(
    "IMS814",
    Severity.ERROR,
    "A kernel has no driver for its disk at boot",
    why="Quick import injects no driver: without virtio in the initramfs no disk is found.",
    fix=_REBUILD,
    source=LINUX_GUIDE,
)
def virtio_disk(facts: Facts) -> Iterator[Evidence]:
    """Ask for virtio_pci and virtio_blk in the initramfs of the entry that starts, or built in."""
    found = started(facts)
    if found.image is None and not found.entry.initrds:
        return  # IMS816
    missing = _lacking(found, _DISK_DRIVERS)
    image = found.image
    yield from _kept_out(found, _DISK_DRIVERS)
    if image is not None and image.fits is False and _modular(found):
        yield Evidence(
            f"{image.path} holds drivers for kernel {cut(', '.join(image.versions[:3]))}, and "
            f"{cut(found.entry.version or '')} starts",
            expected=cut(found.entry.version or ""),
            found=cut(", ".join(image.versions[:3])),
            fix=advice("make the initramfs of that kernel again, or start the kernel it is for"),
        )
    elif missing:
        assert image is not None
        virtio = [name for name in VIRTIO if name in image.drivers]
        yield Evidence(
            f"{image.path} (kernel {_version(found)}) has no {', '.join(sorted(missing))}",
            found=", ".join(virtio) or "no virtio driver",
            fix=fixes.with_virtio(found.guest, image.maker),
        )
    else:
        _must_know(found, _DISK_DRIVERS)


def _modular(found: Started) -> bool:
    """Return whether the kernel's disk drivers are files of their own, not built in."""
    kernel = found.kernel
    return kernel is None or not {"virtio_blk", "virtio_pci"} <= set(kernel.builtin)


def _kept_out(found: Started, drivers: tuple[str, ...]) -> Iterator[Evidence]:
    """Look for drivers that the command line, or a file of modprobe.d, forbids to load.

    Of the disk's drivers the file inside the initramfs counts; whether one of the system is in
    there is not known of every maker, so of those it is a warning.
    """
    built_in = found.kernel.builtin if found.kernel is not None else ()
    image = found.image
    inside = list(_forbidden_inside(image)) if image is not None and "virtio_blk" in drivers else []
    said_inside = {one.said for one in inside}
    for one in (*inside, *forbidden(found)):
        kept = sorted(set(one.names) & set(drivers) - set(built_in))
        if not kept or (one.file and one.said in said_inside):
            continue
        yield Evidence(
            f"{one.place}: {cut(one.said)} keeps {', '.join(kept)} from loading",
            found=cut(one.said),
            fix=one.fix,
            severity=Severity.WARNING if one.file and "virtio_net" not in kept else Severity.ERROR,
        )


class Forbidden(NamedTuple):
    """What forbids the kernel to load drivers; modprobe.d(5), dracut.cmdline(7)."""

    place: str
    said: str
    names: tuple[str, ...]  # of drivers, `_` for `-`
    fix: str
    by_alias: bool = True  # it hides aliases: a driver that is asked for by its name is loaded
    file: bool = False  # of the system, so that it counts only once the root is mounted


def forbidden(found: Started) -> Iterator[Forbidden]:
    """Yield what the command line and the system's modprobe.d forbid to load."""
    for argument in arguments(found):
        name, _, text = argument.partition("=")
        if name in _BLACKLISTS:
            fix = advice(f"remove it from the command line, and {fixes.AGAIN}")
            by_alias = name != "module_blacklist"
            names = _names(text.split(","), by_alias=by_alias)
            yield Forbidden(origin(found, argument), argument, names, fix, by_alias)
    for path, entry in found.guest.matching("/etc/modprobe.d/*.conf"):
        fix = advice(f"remove the line from {path}, and make the initramfs again")
        for line in map(str.strip, (entry.text or "").splitlines()):
            yield Forbidden(path, line, _forbids(line), fix, _is_blacklist(line), file=True)


def _forbidden_inside(image: Initramfs) -> Iterator[Forbidden]:
    """Yield what the modprobe.d inside an initramfs forbids, unless it loads that by its name."""
    fix = advice("remove the line from /etc/modprobe.d, and make the initramfs again")
    for line in image.modprobe:
        loaded = image.loads if _is_blacklist(line) else ()
        names = tuple(name for name in _forbids(line) if name not in loaded)
        yield Forbidden(f"{image.path} (its modprobe.d)", line, names, fix)


def _is_blacklist(line: str) -> bool:
    return line.split()[:1] == ["blacklist"]


def _forbids(line: str) -> tuple[str, ...]:
    """Return the drivers that a line of modprobe.d keeps from loading."""
    words = line.split()
    off = len(words) > 2 and words[2].rpartition("/")[2] in ("true", "false")
    if _is_blacklist(line):
        return _names(words[1:2], by_alias=True)
    return _names(words[1:2]) if words[:1] == ["install"] and off else ()


def _names(words: list[str], *, by_alias: bool = False) -> tuple[str, ...]:
    """Return names of drivers; a blacklist ignores aliases, so that it needs one that has some."""
    names = (word.replace("-", "_") for word in words)
    return tuple(name for name in names if not (by_alias and name in _WITHOUT_ALIAS))


_WITHOUT_ALIAS = ("virtio", "virtio_ring")  # others need these, and load them by their names
_BLACKLISTS = ("rd.driver.blacklist", "modprobe.blacklist", "module_blacklist")

# By which only an initramfs finds a root; what the kernel knows is in its block/early-lookup.c.
_OF_INITRAMFS = ("UUID=", "LABEL=", "/dev/mapper/", "/dev/disk/")


def _version(found: Started) -> str:
    kernel: Kernel | None = found.kernel
    return cut(kernel.version if kernel is not None else found.entry.version or "unknown")


@rule(
    "IMS815",
    Severity.NOTE,
    "A kernel's initramfs lacks a virtio driver that the guide asks for",
    why="The guide asks for all of them; a server with SCSI disks needs virtio_scsi to boot.",
    fix=_REBUILD,
    source=LINUX_GUIDE,
)
def virtio_rest(facts: Facts) -> Iterator[Evidence]:
    """Ask for virtio_scsi and virtio_net; an error if there is no driver for the network at all."""
    found = started(facts)
    wanted = ("virtio_scsi", "virtio_net")
    kernel = found.kernel
    gone = []
    yield from _kept_out(found, ("virtio_net",))
    if kernel is not None and kernel.modules and not kernel.unread_lists:
        gone = [n for n in wanted if n not in (*kernel.modules, *kernel.builtin)]
        gone = [n for n in gone if _has(found, n) is not True]
    if "virtio_net" in gone:
        yield Evidence(
            f"kernel {_version(found)} has no virtio_net: the server has no network",
            found=f"not even in /lib/modules: {', '.join(gone)}",
            severity=Severity.ERROR,
            fix=advice("install the kernel's package with all drivers"),
        )
        return
    missing = [name for name in _lacking(found, wanted) if name not in gone]
    if missing and found.image is not None:
        yield Evidence(
            f"{found.image.path} (kernel {_version(found)}) has no {', '.join(sorted(missing))}",
            fix=fixes.with_virtio(found.guest, found.image.maker),
        )
    elif not missing:
        _must_know(found, wanted)


@rule(
    "IMS816",
    Severity.ERROR,
    "A kernel starts without an initramfs, or with a damaged one",
    why="Without an initramfs, or with only the part in front of the damage, a kernel finds its"
    " disk only if every driver is built in.",
    fix=fixes.without_start(
        advice(
            "make it with update-initramfs (Debian, Ubuntu), dracut (RHEL family, SUSE) or "
            "mkinitcpio (Arch)"
        )
    ),
    source=INFERRED,
)
def no_initramfs(facts: Facts) -> Iterator[Evidence]:
    """Ask the entry that starts for its initramfs unless the disk drivers are built in."""
    found = started(facts)
    entry = found.entry
    if entry.gone is not None and entry.gone in entry.initrds:
        yield Evidence(f"{place(entry)} ({cut(entry.title)}) takes {entry.broken}")
    elif found.image is not None and found.image.damage is not None:
        said = f"{found.image.path} is damaged: {found.image.damage}"
        fix = fixes.damaged_initramfs(found.guest, found.image, entry.version)
        if found.image.damage not in (EMPTY, ONLY_ZEROS):
            yield Evidence(said, fix=fix)
            return
        bare = found._replace(image=None, entry=dataclasses.replace(entry, initrds=()))
        try:
            yield from _alone(bare, said, fix)
        except UnknownError as error:
            why = "whether the kernel can start without one is not known"
            yield Evidence(f"{said}, and {why}", fix=fix, severity=Severity.WARNING)
            raise UnknownError(str(error)) from None
    elif not entry.initrds and not entry.broken:
        said = f"{place(entry)}: {cut(entry.kernel)} starts without an initramfs"
        yield from _alone(found, said, None)


def _alone(found: Started, said: str, fix: str | None) -> Iterator[Evidence]:
    """Look whether a kernel that has no initramfs gets to its root; UnknownError if not known."""
    kernel, root = found.kernel, value(found, "root") or ""
    if kernel is not None and kernel.own_initramfs:
        raise UnknownError(
            f"{cut(found.entry.kernel)} has an initramfs built in, which is not read"
        )
    missing = _lacking(found, _DISK_DRIVERS)
    volume = locate(root, found.guest).volume if root else None
    drivers = DRIVERS.get(volume.kind) if volume is not None else None
    named = root.startswith(_OF_INITRAMFS) or (volume is not None and volume.name[:4] == "LVM ")
    alone = (kernel is not None and kernel.own_initramfs is False) or fixes.usual(found.guest)
    if missing:
        yield Evidence(f"{said}, and {', '.join(missing)} are not built in", fix=fix)
    elif named and alone:
        yield Evidence(
            f"{said}, and a kernel alone finds no root by {cut(root)}",
            expected="root=PARTUUID=... or an initramfs",
            found=f"root={cut(root)}",
            fix=fix,
        )
    elif alone and kernel and drivers and drivers[0] in kernel.filesystem_modules:
        yield Evidence(f"{said}, and {drivers[0]}, which mounts the root, is not built in", fix=fix)
    else:
        _must_know(found, _DISK_DRIVERS)


@rule(
    "IMS861",
    Severity.ERROR,
    "The kernel cannot unpack the compression of its initramfs",
    why="The kernel skips an archive whose compression was not built into it, starts without the"
    " drivers in it, and finds no root.",
    fix=advice(
        "make the initramfs again with another compression: COMPRESS=gzip in "
        '/etc/initramfs-tools/initramfs.conf, compress="gzip" in /etc/dracut.conf.d, '
        'COMPRESSION="gzip" in /etc/mkinitcpio.conf'
    ),
    source="the Linux kernel's usr/Kconfig: CONFIG_RD_GZIP, CONFIG_RD_ZSTD...; init/initramfs.c:"
    " “compression method … not configured”",
)
def cannot_unpack(facts: Facts) -> Iterator[Evidence]:
    """Compare how the initramfs is packed with the configuration of the kernel that starts."""
    found = started(facts)
    image = found.image
    if image is None or not image.packed:
        return
    others = [name for name in image.packed if name != "gzip"]
    if image.refused is None:
        if others:
            raise UnknownError(
                f"no configuration of {cut(found.entry.kernel)} was found, which would say whether "
                f"it unpacks {', '.join(others)}"
            )
        return
    options = ", ".join(f"CONFIG_RD_{name.upper()}" for name in image.refused)
    if options:
        alone = not _modular(found) and not (value(found, "root") or "").startswith(_OF_INITRAMFS)
        yield Evidence(
            f"{image.path} is packed by {', '.join(image.refused)}, and {cut(found.entry.kernel)} "
            f"was built without {options}",
            expected=f"{options}=y",
            found=", ".join(image.packed),
            severity=Severity.WARNING if alone else None,
        )


@rule(
    "IMS849",
    Severity.WARNING,
    "The kernel that starts has no modules",
    why="Without them a server has no network, and file systems such as vfat cannot be mounted.",
    fix=advice("install that kernel's package again, or start a kernel whose modules are there"),
    source="depmod(8): /lib/modules/VERSION; inferred",
)
def no_modules(facts: Facts) -> Iterator[Evidence]:
    """Look for the version of the kernel that starts among those that have modules."""
    found = started(facts)
    version, guest = found.entry.version, found.guest
    if f"/lib/modules/{version}" in guest.files:
        return
    there = [path.rpartition("/")[2] for path, _ in guest.matching("/lib/modules/*")]
    versions = [name for name in there if re.match(r"\d+\.\d+", name)]
    image = found.image
    proved = image is not None and version in image.versions
    if not versions:
        guest.must_see("/lib/modules/*")
    if version is None or not proved or not (versions or fixes.usual(guest)):
        return
    drivers = image.drivers if image is not None else ()
    shown = cut(", ".join(versions[:5]))
    yield Evidence(
        f"{cut(found.entry.kernel)} is version {cut(version)}, and /lib/modules has "
        + (f"only {shown}" if shown else "none"),
        expected=f"/lib/modules/{cut(version)}",
        found=shown or "none",
        severity=None if "virtio_net" in drivers else Severity.ERROR,
    )
