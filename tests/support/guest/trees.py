"""Guests made of dictionaries: a path to its bytes, or to a Link. Real names, real formats."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imsprep.guest import paths
from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.images import Laid, as_seen, look_at_defaults
from imsprep.guest.chain.routes import find_routes
from imsprep.guest.chain.values import Boot
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.fs.volumes import Found
from imsprep.guest.inspect import Opened, World, read_system, take_all_kernels
from imsprep.guest.linux.initramfs import Allowance
from imsprep.guest.model import Guest, Volume
from imsprep.guest.snapshot import (
    extlinux_version,
    grub_version,
    machine,
    take_files,
    take_names,
    take_secrets,
)
from imsprep.guest.tree import Budget, Tree

UUID = "11111111-2222-4333-8444-555555555555"
ELF_X86_64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00"
VIRTIO = ("virtio", "virtio_ring", "virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net")


@dataclass(frozen=True)
class Link:
    target: str


class Data(bytes):
    """The content of a file that is not executable; all others are."""


@dataclass
class MemoryNode:
    content: bytes | Link | None  # None: a directory
    children: dict[str, MemoryNode] = field(default_factory=dict)

    @property
    def mode(self) -> int:
        if self.content is None:
            return stat.S_IFDIR | 0o755
        mode = 0o644 if isinstance(self.content, Data) else 0o755
        return (stat.S_IFLNK if isinstance(self.content, Link) else stat.S_IFREG) | mode

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else 0


class MemoryFileSystem:
    """A file system in memory; obeys the same contract as the adapters."""

    def __init__(self, files: Mapping[str, str | bytes | Link | None]) -> None:
        self._root = MemoryNode(None)
        for path, content in files.items():
            node = self._root
            *folders, name = [part for part in path.split("/") if part]
            for folder in folders:
                node = node.children.setdefault(folder, MemoryNode(None))
            data = content.encode() if isinstance(content, str) else content
            node.children[name] = MemoryNode(data)

    def root(self) -> MemoryNode:
        return self._root

    def child(self, directory: MemoryNode, name: str) -> MemoryNode | None:
        return directory.children.get(name)

    def names(self, directory: MemoryNode) -> Iterable[str]:
        return list(directory.children)

    def read(self, node: MemoryNode, offset: int, length: int) -> bytes:
        assert isinstance(node.content, bytes)
        return node.content[offset : offset + length]

    def link(self, node: MemoryNode) -> str:
        assert isinstance(node.content, Link)
        return node.content.target

    def clean(self) -> bool | None:
        return None


def cpio(files: Mapping[str, bytes], *, trailer: bool = True) -> bytes:
    """A newc archive as the kernel's documentation describes it."""
    archive = b""
    names = {**files, "TRAILER!!!": b""} if trailer else dict(files)
    for number, (name, data) in enumerate(names.items(), 1):
        raw = name.encode() + b"\0"
        fields = (number, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        header = b"070701" + b"".join(b"%08X" % value for value in fields)
        archive += header + raw + bytes(-(len(header) + len(raw)) % 4)
        archive += data + bytes(-len(data) % 4)
    return archive


def drivers(version: str, names: Iterable[str] = VIRTIO) -> dict[str, bytes]:
    return {f"usr/lib/modules/{version}/kernel/drivers/{name}.ko": b"\x7fELF" for name in names}


class Caseless(MemoryFileSystem):
    """A part of another file system as FAT would hold it: names without regard to case."""

    def __init__(self, root: MemoryNode) -> None:
        self._root = root

    def child(self, directory: MemoryNode, name: str) -> MemoryNode | None:
        folded = {own.casefold(): node for own, node in directory.children.items()}
        return folded.get(name.casefold())


ROOT = Volume("partition 1", 1 << 20, 1 << 30, "ext4", UUID, part_type="0x83", clean=True)

ESP = Volume("partition 1", 1 << 20, 1 << 26, "FAT", "1A2B-3C4D",
             part_type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b", clean=True)  # fmt: skip
# What `linux_guest` is told of a disk for UEFI: an ESP, and the root behind it.
EFI_AND_ROOT: dict[str, Any] = {
    "table": "gpt", "boot_code": False, "volumes": (ESP, replace(ROOT, name="partition 2")),
}  # fmt: skip


def linux_guest(
    files: Mapping[str, str | bytes | Link | None] | MemoryFileSystem, **known: object
) -> Guest:
    """What an inspection would find in such a tree, by default on one ext4 partition.

    Of several `volumes` the first that is no FAT is the root, and one that is holds /boot/efi.
    """
    filesystem = files if isinstance(files, MemoryFileSystem) else MemoryFileSystem(files)
    tree = Tree({"/": filesystem})
    gaps: dict[str, str] = {}
    volumes = known.get("volumes", (ROOT,))
    assert isinstance(volumes, tuple)
    kinds = ("ext4", "XFS", "btrfs")
    root = next((v.name for v in volumes if v.kind in kinds and not v.unread), "partition 1")
    allowance = known.pop("allowance", Allowance())
    assert isinstance(allowance, Allowance)
    boot = followed(tree, volumes, root, bool(known.get("boot_code", True)), allowance)
    looked = {image.path: image for image in boot.images}
    entries = {**take_names(tree, gaps, boot), **take_files(tree, paths.LINUX_TEXT, (), gaps)}
    entries.update(take_secrets(tree, gaps))
    values: dict[str, object] = {
        "system": "linux", "machine": machine(tree), "table": "mbr", "boot_code": True,
        "root": root, "volumes": volumes, "files": entries, "boot": boot,
        "kernels": tuple(take_all_kernels(tree, gaps, allowance, looked)), "gaps": gaps,
        "grub": grub_version(tree), "extlinux": extlinux_version(tree),
    }  # fmt: skip
    return Guest(**{**values, **known})


def inspected(
    volumes: tuple[Volume, ...],
    trees: Mapping[str, Mapping[str, str | bytes | Link | None]],
    *,
    boot_code: bool = True,
) -> Guest:
    """What an inspection finds on a disk of these volumes, with the search for the system."""
    opened = []
    for volume in volumes:
        if volume.name in trees:
            memory = MemoryFileSystem(trees[volume.name])
            system = Caseless(memory.root()) if volume.kind == "FAT" else memory
            opened.append(Opened(Found(volume, io.BytesIO()), system))
    budget = Budget()
    devices = Devices(
        volumes, {one.found.volume.name: [Tree({"/": one.filesystem}, budget)] for one in opened}
    )
    boot = find_routes(devices, b"GRUB".ljust(512, b"\0") if boot_code else b"")
    unread = tuple(f"{v.name}: {v.unread}" for v in volumes if v.unread)
    guest = Guest(table="gpt", boot_code=boot_code, volumes=volumes, boot=boot, unread=unread)
    return read_system(guest, World(opened, devices, Allowance()), budget, lambda _: None)


def followed(
    tree: Tree, volumes: tuple[Volume, ...], root: str, boot_code: bool, allowance: Allowance
) -> Boot:
    """The boot chain of a tree whose EFI system partition, if there is one, is at /boot/efi."""
    trees, laid = {root: [tree]}, [Laid("/", root, "")]
    for volume in volumes:
        for path in ("/boot/efi", "/efi") if volume.kind == "FAT" else ():
            place = tree.find(path)
            if place is not None and volume.name not in trees:
                assert isinstance(place.node, MemoryNode)
                trees[volume.name] = [Tree({"/": Caseless(place.node)})]
                laid.append(Laid(path, volume.name, ""))
    devices = Devices(volumes, trees)
    try:
        boot = find_routes(devices, b"GRUB".ljust(512, b"\0") if boot_code else b"")
        return as_seen(look_at_defaults(boot, devices, allowance), laid)
    except UnreadableError as error:
        return Boot(unread=str(error))


def modules(version: str, names: Iterable[str] = VIRTIO) -> dict[str, str]:
    lines = [f"kernel/drivers/{name}.ko:" for name in names]
    return {f"/lib/modules/{version}/modules.dep": "\n".join(lines) + "\n"}


def kernel(version: str, initramfs: str, names: Iterable[str] = VIRTIO) -> dict[str, str | bytes]:
    """A kernel with its modules and an initramfs that holds these drivers."""
    return {
        f"/boot/vmlinuz-{version}": b"MZ",
        initramfs: cpio(drivers(version, names)),
        **modules(version),
    }


def debian() -> dict[str, str | bytes | Link | None]:
    """A well-prepared Debian 10."""
    version = "4.19.0-27-amd64"
    return {
        "/bin/sh": ELF_X86_64,
        "/etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 10 (buster)"\nVERSION_ID="10"\nID=debian\n',
        "/etc/debian_version": "10.13\n",
        "/etc/fstab": f"UUID={UUID} / ext4 errors=remount-ro 0 1\n",
        "/boot/grub/grub.cfg": (
            "set default=0\nmenuentry 'Debian GNU/Linux' {\n"
            f"\tlinux\t/boot/vmlinuz-{version} root=UUID={UUID} ro console=ttyS0,115200\n"
            f"\tinitrd\t/boot/initrd.img-{version}\n}}\n"
        ),
        **kernel(version, f"/boot/initrd.img-{version}"),
        "/etc/network/interfaces": "auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n",
        "/usr/bin/cloud-init": "#!/usr/bin/python3\n",
        "/etc/cloud/cloud.cfg": "disable_root: true\n",
        "/etc/cloud/cloud.cfg.d/99_openstack.cfg": (
            "datasource_list: [ OpenStack ]\ndatasource:\n  OpenStack:\n"
            "    metadata_urls: ['http://169.254.169.254']\n    max_wait: 120\n    timeout: 5\n"
            "    apply_network_config: false\nnetwork: {config: disabled}\n"
            "manage_etc_hosts: localhost\n"
        ),
        "/etc/systemd/system/cloud-init.target.wants/cloud-init.service": Link("/dev/null"),
        "/etc/ssh/sshd_config": "PasswordAuthentication no\nPermitRootLogin no\n",
        "/etc/machine-id": "",
        "/etc/shadow": "root:!:19000:0:99999:7:::\n",
        "/var/log/nginx/.keep": "",
    }  # fmt: skip
