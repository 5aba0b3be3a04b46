"""Find the guest's kernels and which virtio drivers each can reach when it boots."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from imsprep.guest.chain.values import Initramfs
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.linux import initramfs_actions as early
from imsprep.guest.linux.initramfs import Allowance
from imsprep.guest.model import Kernel
from imsprep.guest.tree import Tree
from imsprep.units import MIB

# Drivers that a guest on KVM needs ("Installing Native KVM Drivers", user guide).
VIRTIO = ("virtio", "virtio_ring", "virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net")

# Drivers of file systems that fstab may name; ext4 is also that of ext2 and ext3.
FILE_SYSTEMS = ("ext4", "xfs", "btrfs", "vfat", "f2fs", "jfs", "exfat", "ntfs3", "isofs", "udf",
                "squashfs", "erofs")  # fmt: skip

KERNEL_LIMIT = 16  # kernels that are looked at
_LIST_LIMIT = 4 * MIB  # bytes of a kernel's list of drivers or configuration

# Which kernel option builds which driver in; virtio_ring has none of its own and comes along.
_OPTIONS = {
    "CONFIG_VIRTIO": ("virtio", "virtio_ring"),
    "CONFIG_VIRTIO_PCI": ("virtio_pci",),
    "CONFIG_VIRTIO_BLK": ("virtio_blk",),
    "CONFIG_SCSI_VIRTIO": ("virtio_scsi",),
    "CONFIG_VIRTIO_NET": ("virtio_net",),
}

# Where distributions put the initramfs and the image of kernel {v}; {f} is Alpine's flavour of it.
_INITRAMFS = (
    "/boot/initrd.img-{v}", "/boot/initramfs-{v}.img", "/boot/initrd-{v}", "/boot/initrd-{v}.img",
    "/lib/modules/{v}/initrd", "/boot/initramfs-{f}", "/boot/initramfs-{f}.img",
    "/boot/*/{v}/initrd", "/boot/efi/*/{v}/initrd", "/efi/*/{v}/initrd",
)  # fmt: skip
_IMAGES = (
    "/boot/vmlinuz-{v}", "/boot/vmlinux-{v}", "/boot/Image-{v}", "/boot/image-{v}",
    "/boot/vmlinuz-{f}", "/boot/*/{v}/linux", "/boot/efi/*/{v}/linux", "/efi/*/{v}/linux",
    "/lib/modules/{v}/vmlinuz",
)  # fmt: skip

_MODULE = re.compile(r"([^/]+)\.ko(?:\.(?:gz|xz|zst|bz2|lzma))?$")
# Not the rescue image of the RHEL family, and no copy that was set aside.
_IMAGE = re.compile(r"(?:vmlinuz|[Ii]mage)-(\d+\.\d+(?!.*\.(?:old|bak|dpkg-\w+|rpm\w+)$).*)$")


def take_kernels(
    tree: Tree, allowance: Allowance, looked: dict[str, Initramfs]
) -> Iterator[Kernel]:
    """Look at every installed kernel and into its initramfs, the newest first.

    UnreadableError follows the KERNEL_LIMITth if there are more.
    """
    versions = {
        version
        for version in tree.names("/lib/modules")
        if tree.exists(f"/lib/modules/{version}/modules.dep")
    }
    # A kernel without modules of its own is one too.
    versions.update(found[1] for name in tree.names("/boot") if (found := _IMAGE.match(name)))
    for number, version in enumerate(sorted(versions, key=_age)):
        if number == KERNEL_LIMIT:
            raise UnreadableError(f"only the newest {number} of {len(versions)} kernels were read")
        yield _kernel(tree, version, allowance, looked)


def _age(version: str) -> list[int]:
    """Return what sorts versions, the newest first."""
    return [-int(number[:9]) for number in re.findall(r"\d+", version)]


def _kernel(tree: Tree, version: str, allowance: Allowance, looked: dict[str, Initramfs]) -> Kernel:
    kernel = Kernel(version, image=_first(tree, _IMAGES, version), initramfs=None)
    try:
        kernel = replace(
            kernel,
            initramfs=_first(tree, _INITRAMFS, version),
            builtin=tuple(sorted(_builtin(tree, version))),
            modules=tuple(sorted(_modules(tree, version))),
            filesystems=_filesystems(tree, version),
            filesystem_modules=_listed_filesystems(
                _text(tree, f"/lib/modules/{version}/modules.dep").splitlines()
            ),
            own_initramfs=_own_initramfs(tree, version),
        )
        if kernel.initramfs is None:
            return kernel
        inside = look_into(tree, kernel.initramfs, allowance, looked)
    except UnreadableError as error:
        return replace(kernel, unread=str(error), unread_lists=str(error))
    return replace(
        kernel,
        loaded=tuple(sorted(set(inside.drivers) & set(VIRTIO))),
        rules=tuple(early.persistent_net(inside)),
        unread=inside.unread,
    )


def _first(tree: Tree, patterns: tuple[str, ...], version: str) -> str | None:
    """Return the first path that is there; a version is no pattern, so it is not expanded."""
    flavour = version.rsplit("-", 1)[-1]
    for pattern in patterns:
        before, star, after = pattern.partition("*")
        after = after.format(v=version, f=flavour)
        folders = tree.names(before) if star else [""]
        for folder in folders:
            path = f"{before}{folder}{after}" if star else before.format(v=version, f=flavour)
            if tree.exists(path):
                return path
    return None


def look_into(
    tree: Tree, path: str, allowance: Allowance, looked: dict[str, Initramfs]
) -> Initramfs:
    """Return what is in an initramfs, each looked at once."""
    if path not in looked:
        limit, place = early.SIZE_LIMIT, tree.find(path)
        found = early.look(path, tree.chunks(path, limit=limit), allowance)
        if place is not None and place.node.size > limit:
            cut = f"only the first {limit} of its {place.node.size} bytes count"
            found = replace(found, unread=cut)
        looked[path] = found
    return looked[path]


def _virtio(path: str) -> set[str]:
    """Return the driver's name if the path is a virtio driver that the service needs."""
    found = _MODULE.search(path)
    name = found.group(1).replace("-", "_") if found else ""
    return {name} & set(VIRTIO)


def _builtin(tree: Tree, version: str) -> set[str]:
    """Return which drivers are built in, from modules.builtin or the kernel's configuration."""
    found: set[str] = set()
    for line in _text(tree, f"/lib/modules/{version}/modules.builtin").splitlines():
        found |= _virtio(line)
    if not found:
        for path in (f"/boot/config-{version}", f"/lib/modules/{version}/config"):
            for line in _text(tree, path).splitlines():
                option, _, value = line.partition("=")
                if value == "y":
                    found.update(_OPTIONS.get(option, ()))
    return found


def _filesystems(tree: Tree, version: str) -> tuple[str, ...] | None:
    """Return the drivers of FILE_SYSTEMS that the kernel has; None where it is not known.

    A kernel without modules has those that its configuration builds in.
    """
    folder = f"/lib/modules/{version}"
    lists = [_text(tree, f"{folder}/{name}") for name in ("modules.dep", "modules.builtin")]
    lines = "\n".join(lists).splitlines()
    if all(lists) and len(lines) >= _WHOLE:
        return _listed_filesystems(lines)
    if tree.exists(folder):
        return None
    config = _text(tree, f"/boot/config-{version}").splitlines()
    if not any(line.startswith("CONFIG_EXT4_FS") for line in config):
        return None
    return tuple(
        n for n in FILE_SYSTEMS if f"CONFIG_{_CONFIGURED.get(n, n).upper()}_FS=y" in config
    )


def _listed_filesystems(lines: list[str]) -> tuple[str, ...]:
    """Return the drivers of FILE_SYSTEMS in lines of modules.dep or modules.builtin."""
    names = {m[1] for line in lines if (m := _MODULE.search(line.partition(":")[0]))}
    return tuple(name for name in FILE_SYSTEMS if name in names)


def _own_initramfs(tree: Tree, version: str) -> bool | None:
    """Return whether an initramfs is built into the kernel; None where it is not known."""
    for path in (f"/boot/config-{version}", f"/lib/modules/{version}/config"):
        text = _text(tree, path)
        found = re.search(r'^CONFIG_INITRAMFS_SOURCE="(.*)"$', text, re.MULTILINE)
        if found is not None:
            return bool(found[1])
        if re.search(r"^# CONFIG_BLK_DEV_INITRD is not set$", text, re.MULTILINE):
            return False
    return None


_CONFIGURED = {"isofs": "iso9660"}
_WHOLE = 100  # drivers that every distribution's kernel has, and more


def _modules(tree: Tree, version: str) -> set[str]:
    found: set[str] = set()
    for line in _text(tree, f"/lib/modules/{version}/modules.dep").splitlines():
        found |= _virtio(line.partition(":")[0])
    return found


def _text(tree: Tree, path: str) -> str:
    return tree.read(path, limit=_LIST_LIMIT).decode("utf-8", "replace")
