"""Installed kernels: in what order, where their files are, and what each has of drivers."""

from __future__ import annotations

import gzip
from collections.abc import Mapping

import pytest

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.linux.initramfs import Allowance
from imsprep.guest.linux.kernels import KERNEL_LIMIT, VIRTIO, look_into, take_kernels
from imsprep.guest.model import Kernel
from imsprep.guest.tree import Tree
from tests.support.guest.trees import MemoryFileSystem, cpio, drivers, kernel, modules

V = "6.1.0-9-amd64"
DEP, BUILTIN = f"/lib/modules/{V}/modules.dep", f"/lib/modules/{V}/modules.builtin"
MANY = "".join(f"kernel/drivers/other{n}.ko\n" for n in range(100))  # as many as a whole list has


def tree(files: Mapping[str, str | bytes]) -> Tree:
    return Tree({"/": MemoryFileSystem(files)})


def kernels(files: Mapping[str, str | bytes], allowance: Allowance | None = None) -> list[Kernel]:
    return list(take_kernels(tree(files), allowance or Allowance(), {}))


def test_a_kernel_has_its_image_its_drivers_and_those_of_its_initramfs() -> None:
    initrd = f"/boot/initrd.img-{V}"
    files = {**kernel(V, initrd, ["virtio_blk", "ahci"]), BUILTIN: "kernel/virtio/virtio-pci.ko\n"}
    assert kernels(files) == [
        Kernel(
            V, f"/boot/vmlinuz-{V}", initrd, builtin=("virtio_pci",),
            modules=tuple(sorted(VIRTIO)), loaded=("virtio_blk",),
        )
    ]  # fmt: skip


def test_numbers_and_not_letters_make_the_newest() -> None:
    names = ["5.9.1", "5.10.0-3", "5.10.0-21", "4.19.0"]
    files = {f"/lib/modules/{name}/modules.dep": "" for name in names}
    assert [k.version for k in kernels(files)] == ["5.10.0-21", "5.10.0-3", "5.9.1", "4.19.0"]


def test_a_folder_without_a_list_is_no_kernel_and_an_image_without_a_folder_is_one() -> None:
    files = {
        "/lib/modules/5.1.0/extra.ko": b"", "/boot/vmlinuz-6.2.0": b"MZ", "/boot/Image-6.3.0": b"MZ",
        "/boot/vmlinuz-0-rescue-0123": b"MZ", "/boot/vmlinuz-6.4.0.old": b"MZ",
        "/boot/vmlinuz": b"MZ",
    }  # fmt: skip
    assert [(k.version, k.image, k.initramfs) for k in kernels(files)] == [
        ("6.3.0", "/boot/Image-6.3.0", None),
        ("6.2.0", "/boot/vmlinuz-6.2.0", None),
    ]


@pytest.mark.parametrize(("version", "image", "initramfs"), [
    ("6.1.0-9-amd64", "/boot/vmlinuz-6.1.0-9-amd64", "/boot/initrd.img-6.1.0-9-amd64"),
    ("5.14.0-1.el9", "/boot/vmlinuz-5.14.0-1.el9", "/boot/initramfs-5.14.0-1.el9.img"),
    ("6.4.0-1-default", "/lib/modules/6.4.0-1-default/vmlinuz", "/boot/initrd-6.4.0-1-default"),
    ("6.6.1-0-virt", "/boot/vmlinuz-virt", "/boot/initramfs-virt"),
    ("6.9.0", "/boot/abc/6.9.0/linux", "/boot/efi/abc/6.9.0/initrd"),
])  # fmt: skip
def test_the_files_of_a_kernel_are_found_where_a_distribution_puts_them(
    version: str, image: str, initramfs: str
) -> None:
    found = kernels({f"/lib/modules/{version}/modules.dep": "", image: b"MZ", initramfs: cpio({})})
    assert [(k.image, k.initramfs) for k in found] == [(image, initramfs)]


def test_what_its_configuration_builds_in_counts_where_it_has_no_list() -> None:
    config = "CONFIG_VIRTIO=y\nCONFIG_VIRTIO_BLK=m\nCONFIG_SCSI_VIRTIO=y\n# CONFIG_VIRTIO_NET is not set\n"
    for path in (f"/boot/config-{V}", f"/lib/modules/{V}/config"):
        (found,) = kernels({DEP: "", path: config})
        assert found.builtin == ("virtio", "virtio_ring", "virtio_scsi")
    (found,) = kernels({DEP: "", f"/boot/config-{V}": config, BUILTIN: "a/virtio_net.ko.xz\n"})
    assert found.builtin == ("virtio_net",), "its list says it first"


def test_a_driver_counts_by_what_is_listed_and_not_by_what_it_needs() -> None:
    (found,) = kernels({DEP: "kernel/virtio_blk.ko.zst: kernel/virtio.ko kernel/virtio_ring.ko\n"})
    assert found.modules == ("virtio_blk",)


@pytest.mark.parametrize(("files", "filesystems"), [
    ({DEP: MANY + "fs/xfs/xfs.ko.xz: fs/ext4/ext4.ko\n", BUILTIN: "fs/ext4/ext4.ko\n"},
     ("ext4", "xfs")),
    ({DEP: "fs/xfs/xfs.ko:\n", BUILTIN: "fs/ext4/ext4.ko\n"}, None),
    ({DEP: MANY}, None),
    ({f"/boot/vmlinuz-{V}": b"MZ",
      f"/boot/config-{V}": "CONFIG_EXT4_FS=y\nCONFIG_XFS_FS=m\nCONFIG_ISO9660_FS=y\n"},
     ("ext4", "isofs")),
    ({f"/boot/vmlinuz-{V}": b"MZ", f"/boot/config-{V}": "CONFIG_ISO9660_FS=y\n"}, None),
])  # fmt: skip
def test_file_systems_are_known_where_the_lists_are_whole(
    files: dict[str, str | bytes], filesystems: tuple[str, ...] | None
) -> None:
    (found,) = kernels(files)
    assert found.filesystems == filesystems


def test_the_file_systems_that_are_files_are_those_of_modules_dep() -> None:
    (found,) = kernels(
        {DEP: "fs/xfs/xfs.ko:\nfs/fat/vfat.ko: fs/fat/fat.ko\n", BUILTIN: "fs/ext4.ko\n"}
    )
    assert found.filesystem_modules == ("xfs", "vfat")


@pytest.mark.parametrize(("config", "own"), [
    ('CONFIG_INITRAMFS_SOURCE="/root/initrd"\n', True),
    ('CONFIG_BLK_DEV_INITRD=y\nCONFIG_INITRAMFS_SOURCE=""\n', False),
    ("# CONFIG_BLK_DEV_INITRD is not set\n", False),
    ("CONFIG_BLK_DEV_INITRD=y\n", None),
])  # fmt: skip
def test_its_configuration_says_whether_an_initramfs_is_built_in(
    config: str, own: bool | None
) -> None:
    (found,) = kernels({DEP: "", f"/boot/config-{V}": config})
    assert found.own_initramfs is own


def test_after_so_many_kernels_it_is_said_that_there_are_more() -> None:
    count = KERNEL_LIMIT + 2
    files = {f"/lib/modules/5.{n}.0/modules.dep": "" for n in range(count)}
    taken = take_kernels(tree(files), Allowance(), {})
    assert [next(taken).version for _ in range(KERNEL_LIMIT)] == [
        f"5.{n}.0" for n in range(count - 1, 1, -1)
    ]
    with pytest.raises(UnreadableError, match=f"newest {KERNEL_LIMIT} of {count} kernels"):
        next(taken)


def test_what_all_initramfs_unpack_to_is_limited() -> None:
    files: dict[str, str | bytes] = {}
    for version in ("5.1.0", "5.2.0", "5.3.0"):
        files |= modules(version)
        files[f"/boot/initrd.img-{version}"] = gzip.compress(cpio(drivers(version)))
    read = {k.version: k.unread for k in kernels(files, Allowance(bytes_left=2_500))}
    assert read["5.3.0"] is None, "the newest first"
    assert "more than may be unpacked" in (read["5.1.0"] or "")


def test_an_initramfs_is_looked_at_once() -> None:
    path, looked = "/boot/initrd.img-1", {}
    files = tree({path: cpio(drivers("1", ["virtio_blk"]))})
    first = look_into(files, path, Allowance(), looked)
    assert first.drivers == ("virtio_blk",)
    assert look_into(tree({}), path, Allowance(bytes_left=0), looked) is first


def test_an_initramfs_that_is_longer_than_is_read_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imsprep.guest.linux.initramfs_actions.SIZE_LIMIT", 4096)
    found = look_into(tree({"/initrd": bytes(5000)}), "/initrd", Allowance(), {})
    assert found.unread == "only the first 4096 of its 5000 bytes count"
