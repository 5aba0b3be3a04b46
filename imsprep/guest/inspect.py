"""Inspect one open image: volumes, the system's root, its mounts, and what the rules need of it."""

from __future__ import annotations

import contextlib
import dataclasses
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from imsprep.guest import ostree, paths
from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.images import Laid, as_seen, look_at_defaults
from imsprep.guest.chain.routes import find_routes
from imsprep.guest.chain.values import Boot, Initramfs
from imsprep.guest.fs.interface import FileSystem, UnreadableError, open_filesystem
from imsprep.guest.fs.volumes import Found, find_volumes
from imsprep.guest.linux.fstab import (
    Mount,
    find_volume,
    guess_volume,
    named_subvolume,
    read_fstab,
)
from imsprep.guest.linux.initramfs import Allowance
from imsprep.guest.linux.kernels import take_kernels
from imsprep.guest.model import LINUX, NO_FILES, NOT_YET, WINDOWS, Entry, Guest, Kernel, Volume
from imsprep.guest.snapshot import (
    extlinux_version,
    grub_version,
    guarded,
    machine,
    take_files,
    take_names,
    take_secrets,
)
from imsprep.guest.tree import Budget, Tree
from imsprep.guest.windows.registry import take_registry
from imsprep.image.volumes.signatures import BTRFS, FAT
from imsprep.units import SECTOR

# A file system with one of these is a system's root.
_LINUX_MARKS = ("/etc/os-release", "/usr/lib/os-release", "/etc/redhat-release", "/etc/fstab",
                "/etc/SuSE-release", "/etc/debian_version")  # fmt: skip
_WINDOWS_MARKS = ("/Windows/System32/config/SOFTWARE", "/Windows/System32/config/SYSTEM")

# A kernel, or what only a system has, on a volume without these marks.
_KERNELS = ("/vmlinuz*", "/bzImage*", "/kernel*", "/boot/vmlinuz*", "/boot/bzImage*",
            "/boot/kernel*", "/lib/modules/*", "/sbin/init")  # fmt: skip

# Mounts that hold what is looked at; others stay closed.
_MOUNTS = ("/boot", "/boot/efi", "/efi", "/usr", "/var", "/var/log", "/var/lib", "/home", "/root",
           "/boot/grub2/i386-pc", "/boot/grub2/x86_64-efi", "/opt")  # fmt: skip
_MOUNT_LIMIT = 32
_MERGED = ("/bin", "/sbin", "/lib", "/lib64")  # links into /usr on systems that have it apart

# Where the EFI system partition is laid if fstab says nothing: no system has a folder there that a
# check looks into, and a mount in the root folder needs none.
_ESP = "/efi"

# Where Debian, Ubuntu, Fedora and openSUSE put the root; openSUSE makes it the default as well.
_BTRFS_TOP = "5"  # the number of the tree that holds all subvolumes
_SUBVOLUMES = ("@rootfs", "@", "root", "@/.snapshots/1/snapshot")

_WINDOWS_MACHINES = {"AMD64": "x86_64", "x86": "i386", "ARM64": "aarch64"}


Tell = Callable[[Guest], object]
Step = tuple[tuple[str, ...], Callable[[], object]]  # what it looks at as patterns, and how


class Opened(NamedTuple):
    """A volume whose file system could be opened."""

    found: Found
    filesystem: FileSystem
    subvolume: str | None = None  # of a btrfs, if it is not the default one
    folder: str = ""  # that becomes /, if not the root of the file system

    @property
    def inside(self) -> str:
        """Where the system lies, from the root of all that the volume holds."""
        return self.folder or (f"/{self.subvolume}" if self.subvolume else "")


class World(NamedTuple):
    """What an inspection works on."""

    opened: list[Opened]
    devices: Devices
    allowance: Allowance


NOT_FOLLOWED = Boot(unread=NOT_YET)


def inspect(file: BinaryIO, size: int, budget: Budget, tell: Tell) -> Guest:
    """Find out what is on a disk of `size` bytes; `file` is positioned freely and stays open.

    `tell` is handed what is known before each step in which a library could be stuck; what was not
    examined by then is a gap.
    """
    disk, found = find_volumes(file, size)
    guest = Guest(
        table=disk.table,
        boot_code=disk.can_bios_boot,
        volumes=tuple(item.volume for item in found),
        boot=NOT_FOLLOWED,
    )
    tell(dataclasses.replace(guest, gaps={"/**": NOT_YET}))
    opened, volumes = _open_all(found, budget)
    unread = tuple(f"{v.name}: {v.unread}" for v in volumes if v.unread)
    guest = dataclasses.replace(guest, volumes=tuple(volumes), unread=unread)
    tell(dataclasses.replace(guest, gaps={"/**": NOT_YET}))
    file.seek(0)
    sector = file.read(SECTOR) if disk.can_bios_boot else b""
    devices = Devices(guest.volumes, _trees(opened, budget))

    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    guest = dataclasses.replace(guest, boot=find_routes(devices, sector, read))
    tell(dataclasses.replace(guest, gaps={"/**": NOT_YET}))
    return read_system(guest, World(opened, devices, Allowance()), budget, tell)


def read_system(guest: Guest, world: World, budget: Budget, tell: Tell) -> Guest:
    """Look for the system among the file systems, and into the first that is found."""
    opened = world.opened
    for candidate in _candidates(guest, opened, budget):
        tree = Tree({"/": candidate.filesystem}, budget)
        try:
            if any(tree.exists(mark) for mark in _LINUX_MARKS):
                return read_linux(guest, tree, candidate, world, tell)
            if any(tree.exists(mark) for mark in _WINDOWS_MARKS):
                return read_windows(guest, tree, candidate, opened, tell)
            if tree.exists("/ostree/deploy"):
                guest = dataclasses.replace(guest, ostree=ostree.links(tree, guest.boot))
                found = ostree.deployment(tree, guest.boot)
                if found is not None:
                    inner = Tree(found.mounts, budget)
                    root = candidate._replace(folder=found.path)
                    return read_linux(guest, inner, root, world, tell)
            reason = _other_layout(tree)
        except UnreadableError as error:
            reason = str(error)
        if reason is not None:
            reason = f"{candidate.found.volume.name}: {reason}"
            if reason not in guest.unread:
                guest = dataclasses.replace(guest, unread=(*guest.unread, reason))
    # Whatever was being looked at then, a system may be behind it.
    unread = guest.unread or ((budget.end,) if budget.spent else ())
    boot = _looked_at(guest.boot, world, [])
    return dataclasses.replace(guest, unread=unread, boot=boot)


def _other_layout(tree: Tree) -> str | None:
    """Return why a system that is known by its layout is not looked into, or None."""
    if tree.exists("/ostree/deploy"):
        return "an ostree system, of which no deployment is named by an entry that starts"
    if tree.exists("/lib/os-release") and not tree.exists("/etc"):
        return "the /usr of a system whose other folders are made when it first starts"
    kernel = next((path for pattern in _KERNELS for path in tree.glob(pattern)), None)
    return f"{kernel} is there, of a system whose layout is not known" if kernel else None


def _trees(opened: list[Opened], budget: Budget) -> dict[str, list[Tree]]:
    """Return the trees by which a loader reads each volume; of btrfs the top comes first."""
    trees: dict[str, list[Tree]] = {}
    for item in opened:
        systems = [item.filesystem]
        if item.found.volume.kind == BTRFS:
            with contextlib.suppress(UnreadableError):
                top = open_filesystem(item.found.file, BTRFS, subvolume=_BTRFS_TOP)
                systems.insert(0, top)
        trees[item.found.volume.name] = [Tree({"/": system}, budget) for system in systems]
    return trees


def _looked_at(boot: Boot, world: World, laid: list[Laid]) -> Boot:
    """Look into the images of the entries that start, and write paths as the guest sees them."""
    return as_seen(look_at_defaults(boot, world.devices, world.allowance), laid)


def _open_all(found: list[Found], budget: Budget) -> tuple[list[Opened], list[Volume]]:
    opened, volumes = [], []
    for item in found:
        volume = item.volume
        if volume.kind not in NO_FILES and volume.unread is None:
            try:
                budget.take(lookups=1)
                filesystem = open_filesystem(item.file, volume.kind)
                _look_at_root(filesystem, volume.kind)
                opened.append(Opened(item, filesystem))
                if volume.clean is None:
                    volume = dataclasses.replace(volume, clean=filesystem.clean())
            except UnreadableError as error:
                volume = dataclasses.replace(volume, unread=str(error))
        volumes.append(volume)
    return opened, volumes


def _look_at_root(filesystem: FileSystem, kind: str) -> None:
    """Raise UnreadableError unless there is a root directory that can be listed.

    A library opens more than it can read, and then finds nothing where there is a system.
    """
    root = filesystem.root()
    if not stat.S_ISDIR(root.mode):
        raise UnreadableError(f"cannot read {kind}: its root is not a directory")
    filesystem.names(root)


def _candidates(guest: Guest, opened: list[Opened], budget: Budget) -> Iterator[Opened]:
    """Yield every file system, that of the entry that starts first; of btrfs also subvolumes.

    These are the one that the entry names, and those that installers put a system in.
    """
    wanted = _roots(guest)
    order = sorted(opened, key=lambda item: item.found.volume.name not in wanted)
    for item in order:
        name = item.found.volume.name
        named = wanted.get(name)
        if item.found.volume.kind != BTRFS or named is None:
            yield item
        for subvolume in _subvolumes(named) if item.found.volume.kind == BTRFS else ():
            if budget.spent:
                return
            with contextlib.suppress(UnreadableError):  # most are not there
                filesystem = open_filesystem(item.found.file, BTRFS, subvolume=subvolume)
                yield Opened(item.found, filesystem, subvolume)
        if named is not None and item.found.volume.kind == BTRFS:
            yield item


def _subvolumes(named: str | None) -> Iterator[str]:
    yield from dict.fromkeys([named, *_SUBVOLUMES] if named else _SUBVOLUMES)


def _roots(guest: Guest) -> dict[str, str | None]:
    """Return the volumes that the entries that start take as root, with their subvolume."""
    roots: dict[str, str | None] = {}
    for route in guest.boot.routes:
        entry = route.entry
        volume = (
            find_volume(entry.value("root") or "", guest.volumes) if entry is not None else None
        )
        if entry is not None and volume is not None:
            roots.setdefault(volume.name, named_subvolume(entry.value("rootflags") or ""))
    return roots


def read_linux(guest: Guest, tree: Tree, root: Opened, world: World, tell: Tell) -> Guest:
    """Return the guest with what its Linux says; `tree` is its root."""
    laid = [Laid("/", root.found.volume.name, root.inside)]
    boot = guest.boot
    gaps, files, kernels = dict[str, str](), dict[str, Entry](), list[Kernel]()
    names = (*paths.LINUX_NAMES, *paths.INITS, *paths.VENDOR_RULES)
    texts, secrets = paths.LINUX_TEXT, paths.LINUX_SECRETS
    guest = dataclasses.replace(
        guest, system=LINUX, root=root.found.volume.name, subvolume=root.subvolume
    )
    tell(dataclasses.replace(guest, gaps={"/**": NOT_YET}))
    guarded(gaps, "/etc/fstab", lambda: _mount_all(tree, world.opened, gaps, laid))
    guarded(gaps, f"{_ESP}/**", lambda: _mount_esp(tree, guest, root, world.opened, laid))
    looked: dict[str, Initramfs] = {}
    boots: list[Boot] = []

    def follow() -> None:
        boots.append(_looked_at(boot, world, laid))
        looked.update({image.path: image for image in boots[0].images})
        kernels.extend(take_all_kernels(tree, gaps, world.allowance, looked))

    guest = dataclasses.replace(
        guest, machine=machine(tree), grub=grub_version(tree), extlinux=extlinux_version(tree),
        boot=as_seen(boot, laid), gone_subvolumes=_gone_subvolumes(tree, world.devices, gaps),
    )  # fmt: skip
    steps: tuple[Step, ...] = (
        (names, lambda: files.update(take_names(tree, gaps, boot))),
        (texts, lambda: files.update(take_files(tree, texts, (), gaps))),
        (secrets, lambda: files.update(take_secrets(tree, gaps))),
        (("/lib/modules/*",), follow),
    )
    _take(steps, lambda todo: tell(dataclasses.replace(guest, files=files, gaps={**gaps, **todo})))
    return dataclasses.replace(
        guest,
        files=files,
        kernels=tuple(kernels),
        unread=(*guest.unread, *_reasons(gaps)),
        gaps=gaps,
        boot=boots[0] if boots else guest.boot,
    )


def _take(steps: tuple[Step, ...], tell: Callable[[dict[str, str]], object]) -> None:
    """Go through the steps; before each, `tell` is handed as gaps what is still to be done."""
    for number, (_, take) in enumerate(steps):
        tell({pattern: NOT_YET for patterns, _ in steps[number:] for pattern in patterns})
        take()


def take_all_kernels(
    tree: Tree, gaps: dict[str, str], allowance: Allowance, looked: dict[str, Initramfs]
) -> list[Kernel]:
    """Look at the kernels; those that could not be listed are a gap at /lib/modules."""
    kernels: list[Kernel] = []

    def take() -> None:
        for kernel in take_kernels(tree, allowance, looked):
            kernels.append(kernel)

    guarded(gaps, "/lib/modules/*", take)
    return kernels


def _reasons(gaps: dict[str, str]) -> Iterator[str]:
    """Return each reason once, with the first path that it holds for."""
    said: set[str] = set()
    for pattern, reason in gaps.items():
        if reason not in said:
            yield f"{pattern}: {reason}"
        said.add(reason)


def _mount_all(tree: Tree, opened: list[Opened], gaps: dict[str, str], laid: list[Laid]) -> None:
    """Lay the other volumes over the root as fstab says; what cannot be laid is a gap."""
    fstab = tree.read("/etc/fstab", limit=paths.TEXT_LIMIT).decode("utf-8", "surrogateescape")
    for mount in sorted(read_fstab(fstab)[:_MOUNT_LIMIT], key=lambda m: m.path):
        if mount.path in _MOUNTS and mount.on_disk:
            below: dict[str, str] = {}
            guarded(below, mount.path, partial(_mount, tree, mount, opened, laid))
            for path in (mount.path, *(_MERGED if mount.path == "/usr" else ())):
                gaps.update({f"{path}/**": reason for reason in below.values()})


def _mount(tree: Tree, mount: Mount, opened: list[Opened], laid: list[Laid]) -> None:
    volumes = [item.found.volume for item in opened]
    volume = find_volume(mount.spec, volumes) or guess_volume(mount.spec, volumes)
    if volume is None:
        raise UnreadableError(f"fstab mounts {mount.spec[:100]} here, which could not be read")
    item = opened[volumes.index(volume)]
    subvolume = named_subvolume(",".join(mount.options))
    filesystem = item.filesystem
    if subvolume is not None:
        filesystem = open_filesystem(item.found.file, volume.kind, subvolume=subvolume)
    tree.mount(mount.path, filesystem)
    laid.append(Laid(mount.path, volume.name, f"/{subvolume.strip('/')}" if subvolume else ""))


def _gone_subvolumes(tree: Tree, devices: Devices, gaps: dict[str, str]) -> tuple[str, ...]:
    """Return the subvolumes that fstab names and that the top of their btrfs does not have."""
    gone: list[str] = []
    guarded(gaps, "/etc/fstab", lambda: gone.extend(_without_subvolume(tree, devices)))
    return tuple(gone)


def _without_subvolume(tree: Tree, devices: Devices) -> Iterator[str]:
    fstab = tree.read("/etc/fstab", limit=paths.TEXT_LIMIT).decode("utf-8", "surrogateescape")
    for mount in read_fstab(fstab)[:_MOUNT_LIMIT]:
        volume = find_volume(mount.spec, devices.volumes)
        named = named_subvolume(",".join(mount.options))
        if volume is None or volume.kind != BTRFS or named is None or named.isdigit():
            continue
        trees = devices.trees.get(volume.name, [])
        if len(trees) > 1 and not trees[0].exists(f"/{named}"):  # else the top could not be read
            yield f"{volume.name}:{named}"


def _mount_esp(
    tree: Tree, guest: Guest, root: Opened, opened: list[Opened], laid: list[Laid]
) -> None:
    """Lay the EFI system partition where fstab does not mention it; firmware reads it anyway."""
    if tree.mounts.keys() & {"/boot/efi", _ESP}:
        return
    for item in opened:
        if item.found.volume.kind == FAT and item is not root:
            esp = Tree({"/": item.filesystem}, tree.budget)
            if esp.exists("/EFI") and item.filesystem not in tree.mounts.values():
                tree.mount(_ESP, item.filesystem)
                laid.append(Laid(_ESP, item.found.volume.name, ""))
                return
    unread = [v for v in guest.volumes if v.kind == FAT and v.unread]
    if unread:
        raise UnreadableError(f"{unread[0].name}: {unread[0].unread}")


def read_windows(guest: Guest, tree: Tree, root: Opened, opened: list[Opened], tell: Tell) -> Guest:
    """Return the guest with what its Windows says; `tree` is its system volume."""
    gaps: dict[str, str] = {}
    files: dict[str, Entry] = {}
    unread: list[str] = []
    registry: dict[str, Any] = {}
    texts, names = paths.WINDOWS_TEXT, paths.WINDOWS_NAMES
    guest = dataclasses.replace(guest, system=WINDOWS, root=root.found.volume.name)
    tell(dataclasses.replace(guest, gaps={"/**": NOT_YET}))
    guarded(gaps, f"{_ESP}/**", lambda: _mount_esp(tree, guest, root, opened, []))
    steps: tuple[Step, ...] = (
        (names + texts, lambda: files.update(take_files(tree, texts, names, gaps))),
        ((), lambda: registry.update(take_registry(tree, unread))),
    )
    _take(steps, lambda todo: tell(dataclasses.replace(guest, files=files, gaps={**gaps, **todo})))
    return dataclasses.replace(
        guest,
        machine=_WINDOWS_MACHINES.get(registry.get("machine") or ""),
        files=files,
        registry=registry,
        unread=(*guest.unread, *unread, *_reasons(gaps)),
        gaps=gaps,
    )
