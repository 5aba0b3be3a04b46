"""IMS807, IMS812–IMS818, IMS840, IMS841, IMS849: the entry that starts, to its root.

Only the entry that starts by default is judged; what others name is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.rules.guest import fixes
from imsprep.checks.rules.guest.advice import INFERRED, LINUX_GUIDE, advice, listed
from imsprep.checks.rules.guest.entry import (
    Started,
    arguments,
    cut,
    place,
    route_of,
    started,
    value,
)
from imsprep.guest.boot.values import BootEntry
from imsprep.guest.linux.fstab import named_subvolume
from imsprep.guest.linux.kernels import VIRTIO
from imsprep.guest.linux.locate import State, Where, locate
from imsprep.guest.model import LINUX, ZEROS, Guest, Kernel, Volume
from imsprep.image.volumes.signatures import BTRFS, EXT2, EXT3, EXT4, LUKS, LVM, SWAP, XFS
from imsprep.report import Severity

_DISK_DRIVERS = ("virtio", "virtio_ring", "virtio_pci", "virtio_blk")
_EXT = (EXT2, EXT3, EXT4)
_NOTES = 3  # entries that are not started by default, of which a note is made

_REBUILD = advice(
    "add the drivers to the initramfs. Debian, Ubuntu: /etc/initramfs-tools/modules and "
    "`update-initramfs -u -k all`; RHEL family: `dracut -f --regenerate-all --add-drivers "
    '"virtio_blk virtio_scsi virtio_net virtio_pci virtio_ring virtio"`; SUSE before 12 SP1: '
    "INITRD_MODULES in /etc/sysconfig/kernel and `mkinitrd`"
)
_AGAIN = (
    "write the loader's configuration again with `update-grub` (Debian, Ubuntu) or `grub2-mkconfig "
    "-o /boot/grub2/grub.cfg` (RHEL family, SUSE)"
)


@rule(
    "IMS807",
    Severity.ERROR,
    "The boot loader stops before it starts a kernel",
    why="The loader's own search ends at a file or volume that is not in the image.",
    fix=advice(f"install the loader again on this disk, and {_AGAIN}"),
    source=INFERRED,
)
def loader_stops(facts: Facts) -> Iterator[Evidence]:
    """Follow the loader as the firmware starts it, to the kernel of the default entry."""
    guest, route = route_of(facts)
    entry = route.entry
    if route.broken is not None:
        yield Evidence(cut_long(route.broken), fix=_loader_fix(guest))
    elif entry is not None and entry.broken and entry.gone not in entry.initrds:
        yield Evidence(f"{place(entry)} ({cut(entry.title)}) starts {entry.broken}")
    elif entry is not None and entry.unknown:
        raise UnknownError(f"{cut(entry.title)}: {entry.unknown}")


def cut_long(text: str) -> str:
    """Shorten a row of reasons."""
    return text if len(text) <= 600 else f"{text[:600]}…"


def _loader_fix(guest: Guest) -> str | None:
    root = next((v for v in guest.volumes if v.name == guest.root), None)
    if root is None or root.uuid is None:
        return None
    return advice(
        f"write the UUID of the volume that holds /boot there (the system's is {root.uuid}), or "
        "run `grub-install` again"
    )


@rule(
    "IMS812",
    Severity.ERROR,
    "A kernel command line names the root by a name of the old machine",
    why="On KVM the disk has another name, and the kernel stops before it has a root.",
    fix=advice(f"set root=UUID=... and {_AGAIN}"),
    source=LINUX_GUIDE,
)
def root_by_name(facts: Facts) -> Iterator[Evidence]:
    """Read root= of the entry that starts: kernel names, loop devices, /dev/disk/by-path."""
    found = started(facts)
    root = value(found, "root") or ""
    where = locate(root, found.guest)
    if where.state not in (State.NAME, State.OLD):
        return
    soft = root.startswith("/dev/vd")
    yield Evidence(
        f"{place(found.entry)}: root={cut(root)} for {cut(found.entry.kernel)}",
        expected="root=UUID=...",
        found=f"root={cut(root)}",
        fix=fixes.root_by_uuid(found.guest, found.entry, root),
        severity=Severity.WARNING if soft else None,
    )


@rule(
    "IMS813",
    Severity.ERROR,
    "A kernel command line names a root that is not in the image",
    why="The kernel waits for a disk that never appears.",
    fix=advice(f"set root=UUID=... of the volume that holds the system, and {_AGAIN}"),
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
            f"{place(entry)}: root={cut(root)} is not in the image ({where.why})",
            found=cut(root),
            fix=_restore(root, guest) or fixes.root_by_uuid(guest, entry, root),
        )
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


# What makes the root of something else than the volume that is named, or fills it at first.
_MADE_ROOTS = re.compile(
    r"boot=|rd\.live|live|.*union=|loop=|img=|init=|.*overlay|ostree=|cos-img|rd\.cos"
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
            f"{place(found.entry)}: root={cut(value(found, 'root') or '')} is {volume.name}, {why}",
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
                fix=advice("nothing needs to be done; that entry would fail"),
                severity=Severity.NOTE,
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
    return False if driver in ("virtio_blk", "virtio_pci") and kernel.modules else None


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
    yield from _kept_out(found)
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


def _kept_out(found: Started) -> Iterator[Evidence]:
    """Look for a driver of the disk that the command line forbids to load."""
    built_in = found.kernel.builtin if found.kernel is not None else ()
    for argument in arguments(found):
        name, _, text = argument.partition("=")
        named = {word.replace("-", "_") for word in text.split(",")}
        kept = sorted(named & set(_DISK_DRIVERS) - set(built_in))
        if name in _BLACKLISTS and kept:
            yield Evidence(
                f"{place(found.entry)}: {cut(argument)} keeps {', '.join(kept)} from loading",
                found=cut(argument),
                fix=advice(f"remove it from the command line, and {_AGAIN}"),
            )


_BLACKLISTS = ("rd.driver.blacklist", "modprobe.blacklist", "module_blacklist")


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
    "A kernel has no initramfs",
    why="A kernel without one finds its disk only if every driver is built in.",
    fix=advice(
        "make it: `update-initramfs -c -k all` (Debian, Ubuntu), `dracut --regenerate-all` (RHEL "
        "family, SUSE), `mkinitcpio -P` (Arch)"
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
        yield Evidence(
            f"{found.image.path} is damaged: {found.image.damage}",
            fix=advice("make the initramfs again, and see that /boot has room for it"),
        )
    elif not entry.initrds and not entry.broken:
        missing = _lacking(found, _DISK_DRIVERS)
        if missing:
            yield Evidence(
                f"{place(entry)}: {cut(entry.kernel)} starts without an initramfs, and "
                f"{', '.join(missing)} are not built in"
            )
        else:
            _must_know(found, _DISK_DRIVERS)


@rule(
    "IMS817",
    Severity.NOTE,
    "The kernel does not write to the serial console",
    why="Without it the console log of the server stays empty when boot goes wrong.",
    fix=advice(
        "add console=tty0 console=ttyS0,115200 to GRUB_CMDLINE_LINUX and write grub.cfg again"
    ),
    source=LINUX_GUIDE,
)
def serial_console(facts: Facts) -> Iterator[Evidence]:
    """Look for console=ttyS0 (ttyAMA0 on arm) in the command line of the entry that starts."""
    entry = started(facts).entry
    if not any(a.startswith(("console=ttyS", "console=ttyAMA")) for a in entry.arguments):
        yield Evidence(f"{place(entry)} has no console=ttyS0")


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
    if version is None or not versions or not proved:
        return
    drivers = image.drivers if image is not None else ()
    yield Evidence(
        f"{cut(found.entry.kernel)} is version {cut(version)}, and /lib/modules has only "
        f"{cut(', '.join(versions[:5]))}",
        expected=f"/lib/modules/{cut(version)}",
        found=cut(", ".join(versions[:5])),
        severity=None if "virtio_net" in drivers else Severity.ERROR,
    )


# --- what the initramfs waits for ----------------------------------------------------------------

_RD = ("dracut", "mkinitcpio", None)  # initramfs makers that read rd.* arguments; None: not known


@rule(
    "IMS818",
    Severity.ERROR,
    "The boot waits for a device that is not in the image",
    why="dracut waits for every device that is named there, and then opens an emergency shell.",
    fix=advice(
        "remove the argument from GRUB_CMDLINE_LINUX in /etc/default/grub, run `grub2-mkconfig -o "
        "/boot/grub2/grub.cfg` (or `grubby --update-kernel=ALL --remove-args=...`), and make the "
        "initramfs again with `dracut -f --regenerate-all`"
    ),
    source="dracut.cmdline(7): rd.lvm.lv, rd.luks.uuid, resume",
)
def waits_in_vain(facts: Facts) -> Iterator[Evidence]:
    """Look rd.lvm.lv, rd.luks.uuid, resume and dracut's own hooks up among the volumes."""
    found = started(facts)
    reasons = []
    for text, spec, hard in _waits(found):
        where = (
            _luks(spec, found.guest) if text.startswith("rd.luks") else locate(spec, found.guest)
        )
        if where.state in (State.GONE, State.OLD):
            yield Evidence(
                f"{place(found.entry)}: {cut(text)} is not in the image ({where.why})",
                found=cut(text),
                severity=None if hard else Severity.WARNING,
            )
        elif where.state is State.NAME and not spec.startswith("/dev/vd"):
            yield Evidence(
                f"{place(found.entry)}: {cut(text)} is a name of the old machine; on KVM the disk "
                "has another",
                found=cut(text),
                severity=None if hard else Severity.WARNING,
            )
        elif where.state is State.UNKNOWN:
            reasons.append(f"{cut(text)} {where.why}")
    if reasons:
        raise UnknownError(listed(reasons))


def _waits(found: Started) -> Iterator[tuple[str, str, bool]]:
    """Yield what is waited for: as it is written, as a specification, whether boot ends there."""
    maker = found.image.maker if found.image is not None else None
    for argument in dict.fromkeys(arguments(found)):
        name, _, text = argument.partition("=")
        text = text.strip("\"'")
        if name == "rd.lvm.lv" and maker in _RD and text.count("/") == 1:
            yield argument, f"/dev/{text}", True
        elif name == "rd.luks.uuid" and maker in _RD:
            yield argument, text.removeprefix("luks-"), True
        elif name == "rd.luks.name" and maker in _RD:
            yield argument, text.partition("=")[0], True
        elif name == "rd.md.uuid" and maker == "dracut":
            yield argument, f"/dev/disk/by-id/md-uuid-{text}", True
        elif name == "mount.usr" and maker in ("dracut", "mkinitcpio"):
            yield argument, text, True
        elif name == "resume" and text.startswith(("/dev/", "UUID=", "LABEL=", "PARTUUID=")):
            yield argument, text, False
    for device in found.image.waits if found.image is not None else ():
        if not device.startswith("/dev/disk/by-id/dm-uuid-"):
            yield f"{found.image.path}: {device}" if found.image else device, device, True


def _luks(uuid: str, guest: Guest) -> Where:
    plain = uuid.replace("-", "").lower()
    volumes = [v for v in guest.volumes if v.kind == LUKS]
    if any((v.uuid or "").replace("-", "").lower().startswith(plain) for v in volumes):
        return Where(State.HERE)
    closed = [v for v in guest.volumes if v.unread]
    if closed:
        return Where(State.UNKNOWN, why=f"may be inside {closed[0].name}, which is not read")
    return Where(State.GONE, why="no encrypted volume of the image has it")


# --- GRUB and the file system that it reads ------------------------------------------------------

# The first GRUB that reads a file system with the feature; distributions brought some earlier.
_SINCE = {
    "meta_bg": (2, 2), "64bit": (2, 2), "mmp": (2, 2), "encrypt": (2, 4),
    "metadata_csum_seed": (2, 12), "large_dir": (2, 12), "bigtime": (2, 6), "nrext64": (2, 12),
    "exchange": (2, 14), "parent": (2, 14),
}  # fmt: skip


@rule(
    "IMS840",
    Severity.WARNING,
    "GRUB does not know a feature of the file system that it starts from",
    why="GRUB does not read a file system with a feature that it does not know, and stops at its"
    " prompt: “unknown filesystem”.",
    fix=advice(
        "ext4: boot from another system and `tune2fs -O ^metadata_csum_seed` the unmounted volume; "
        "XFS: copy /boot to a file system made with the feature off; or install a newer GRUB"
    ),
    source="GRUB 2.12's news and fs/ext2.c, fs/xfs.c of each release; distributions' own additions"
    " are not known here",
)
def old_grub(facts: Facts) -> Iterator[Evidence]:
    """Compare the volumes' features with what GRUB's module reads, or else with its version.

    What the code of the module `ext2` refuses is an error; the version alone is a warning.
    """
    guest, route = route_of(facts)
    if not route.loader.startswith("GRUB"):
        return
    read = [v for v in guest.volumes if v.name in route.volumes and v.features]
    for volume in read if route.reads is not None else ():
        refused = [f for f in volume.features if f not in (route.reads or ())]
        if volume.kind in _EXT and refused:
            yield Evidence(
                f"the GRUB that starts does not read {', '.join(refused)}, which the {volume.kind} "
                f"of {volume.name} has",
                expected="a file system without it",
                found=", ".join(refused),
                severity=Severity.ERROR,
            )
    dated = [v for v in read if route.reads is None or v.kind not in _EXT]
    if not any(feature in _SINCE for volume in dated for feature in volume.features):
        return
    if guest.grub is None:
        raise UnknownError("the version of GRUB was not found")
    version = tuple(int(part) for part in re.findall(r"\d+", guest.grub)[:2])
    for volume in dated:
        unknown = [f for f in volume.features if version < _SINCE.get(f, (0, 0))]
        if unknown:
            yield Evidence(
                f"GRUB {guest.grub} does not know {', '.join(unknown)}, which the {volume.kind} of "
                f"{volume.name} has",
                expected="a file system without it",
                found=", ".join(unknown),
            )


# --- btrfs ---------------------------------------------------------------------------------------


@rule(
    "IMS841",
    Severity.ERROR,
    "The boot entry does not name the subvolume that holds the system",
    why="The kernel mounts the default subvolume, finds no system there, and stops.",
    fix=advice(
        "add rootflags=subvol=NAME to the entry: GRUB_CMDLINE_LINUX and `grub2-mkconfig`, or "
        "`grubby --update-kernel=ALL --args=...`; or `btrfs subvolume set-default`"
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


def entries_of(facts: Facts) -> tuple[BootEntry, ...]:
    """Return every entry of the way that the firmware goes; none where it is not known."""
    try:
        return route_of(facts)[1].entries
    except UnknownError:
        return ()
