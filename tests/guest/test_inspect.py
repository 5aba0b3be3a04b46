"""Whole images: file systems made by their own tools, a real Debian, and images that are hostile.

The Debian images come from `make guest-images`; IMSPREP_GUEST_IMAGES says where they are if not in
build/guest-images. Without them those tests are skipped; the others make small images themselves.
"""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.guest_images import COMPRESSORS, LAYOUTS, MIB
from imsprep.guest.fs import interface
from imsprep.guest.inspect import inspect
from imsprep.guest.linux.initramfs import Allowance, members
from imsprep.guest.linux.kernels import VIRTIO
from imsprep.guest.model import Guest
from imsprep.guest.sandbox import inspect_image
from imsprep.guest.tree import Budget
from imsprep.image.volumes.signatures import XFS
from imsprep.report import Severity
from tests.support.guest.disks import cuts, ext4_disk, make_filesystem, on_mbr, write_tree
from tests.support.guest.real_debian import CAUSED, DEBIAN_FAULTS, IMAGES, faulty, need_built
from tests.support.guest.rules import check_guest as check
from tests.support.guest.trees import ELF_X86_64, UUID, Link, debian
from tests.support.image.file_systems import POOL_SIZE, ZFS_MAGIC, ZFS_PLACES
from tests.support.running import Outcome, need, slow
from tests.support.zvhd2.files import of_disk


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("debian"), debian())


FILESYSTEMS = [
    pytest.param("ext2", (), "pyfsext", marks=[need("mkfs.ext2"), pytest.mark.slow]),
    pytest.param("ext3", (), "pyfsext", marks=[need("mkfs.ext3"), pytest.mark.slow]),
    pytest.param("ext4", (), "pyfsext", marks=need("mkfs.ext4")),
    pytest.param("ext4", ("-O", "orphan_file,metadata_csum_seed"), "pyfsext", marks=[need("mkfs.ext4"), pytest.mark.slow]),
    pytest.param("ext4", ("-b", "1024", "-I", "128"), "pyfsext", marks=[need("mkfs.ext4"), pytest.mark.slow]),
    pytest.param("xfs", (), "pyfsxfs", marks=need("mkfs.xfs")),
    pytest.param("xfs", ("-i", "nrext64=1"), "pyfsxfs", marks=[need("mkfs.xfs"), pytest.mark.slow]),
    pytest.param("btrfs", (), "dissect.btrfs", marks=need("mkfs.btrfs")),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options", "library"), FILESYSTEMS)
def test_a_well_prepared_system_is_read_from_each_file_system(
    tree: Path, tmp_path: Path, kind: str, options: tuple[str, ...], library: str
) -> None:
    pytest.importorskip(library)
    make_filesystem(kind, tree, tmp_path / "fs.img", *options)
    guest = inspect_image(on_mbr(tmp_path / "disk.raw", tmp_path / "fs.img"))
    assert guest.unread == ()
    assert (guest.root, guest.table, guest.boot_code) == ("partition 1", "mbr", True)
    assert [(v.kind, v.uuid) for v in guest.volumes] == [(kind.replace("xfs", XFS), UUID)]
    assert guest.kernels[0].loaded == tuple(sorted(VIRTIO))
    # The kernel of the tree may be older than what mkfs.xfs makes, which IMS860 is right to say.
    assert [f for f in check(guest)[0] if f.rule != "IMS860"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "found"),
    [
        (None, "no system was found (partition 1: zeros at both ends)"),
        (ZFS_PLACES[3], "not all could be read: partition 1: no reader for ZFS"),
    ],
)
def test_a_partition_whose_start_is_zeros_is_told_by_its_end(
    tmp_path: Path, place: int | None, found: str
) -> None:
    with (tmp_path / "fs.img").open("wb") as file:
        file.truncate(POOL_SIZE)
        if place is not None:
            file.seek(place)
            file.write(ZFS_MAGIC)
    findings, skipped = check(inspect_image(on_mbr(tmp_path / "disk.raw", tmp_path / "fs.img")))
    told = {f.rule: f.message for f in findings} | {s.rule: s.reason for s in skipped}
    assert told["IMS808"] == found
    assert [f.rule for f in findings] == (["IMS808"] if place is None else [])


BOOT_UUID = "22222222-2222-4333-8444-555555555555"


@pytest.mark.slow
@need("mkfs.ext4")
def test_a_boot_partition_of_its_own_is_laid_over_the_root(tmp_path: Path) -> None:
    files = debian()
    fstab = f"UUID={UUID} / ext4 defaults 0 1\nUUID={BOOT_UUID} /boot ext4 defaults 0 2\n"
    root = {k: v for k, v in files.items() if not k.startswith("/boot/")}
    boot = {k.removeprefix("/boot"): v for k, v in files.items() if k.startswith("/boot/")}
    write_tree(tmp_path / "root", {**root, "/etc/fstab": fstab, "/boot/.keep": ""})
    write_tree(tmp_path / "boot", boot)
    make_filesystem("ext4", tmp_path / "root", tmp_path / "root.img")
    make_filesystem("ext4", tmp_path / "boot", tmp_path / "boot.img", "-U", BOOT_UUID)
    disk = on_mbr(tmp_path / "disk.raw", tmp_path / "boot.img", tmp_path / "root.img")
    guest = inspect_image(disk)
    assert guest.root == "partition 2"
    assert guest.kernels[0].loaded == tuple(sorted(VIRTIO))
    assert check(guest)[0] == []
    without = on_mbr(tmp_path / "disk.raw", tmp_path / "root.img")
    assert {f.rule for f in check(inspect_image(without))[0]} >= {"IMS811"}


@pytest.mark.slow
@need("mkfs.btrfs")
@pytest.mark.parametrize("name", ["@rootfs", slow("root")])
def test_a_system_in_a_folder_of_btrfs_is_found(tmp_path: Path, name: str) -> None:
    pytest.importorskip("dissect.btrfs")
    fstab = f"UUID={UUID} / btrfs subvol={name} 0 0\n"
    grub = debian()["/boot/grub/grub.cfg"]
    assert isinstance(grub, str)
    flags = {"/boot/grub/grub.cfg": grub.replace(" ro ", f" ro rootflags=subvol={name} ")}
    write_tree(tmp_path / "tree" / name, {**debian(), "/etc/fstab": fstab, **flags})
    make_filesystem("btrfs", tmp_path / "tree", tmp_path / "fs.img")
    guest = inspect_image(on_mbr(tmp_path / "disk.raw", tmp_path / "fs.img"))
    assert (guest.subvolume, check(guest)[0]) == (name, [])
    entry = guest.boot.routes[0].entry
    assert entry is not None
    assert entry.kernel.startswith("/boot/vmlinuz-"), "as the guest sees it"


@pytest.mark.slow
@need("mkfs.btrfs")
def test_an_entry_without_the_subvolume_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("dissect.btrfs")
    write_tree(tmp_path / "tree" / "root", debian())
    make_filesystem("btrfs", tmp_path / "tree", tmp_path / "fs.img")
    findings, _ = check(inspect_image(on_mbr(tmp_path / "disk.raw", tmp_path / "fs.img")))
    assert [f.rule for f in findings] == ["IMS841"]
    assert "rootflags=subvol=root" in findings[0].message


@pytest.mark.slow
@need("mkfs.btrfs")
def test_a_subvolume_of_fstab_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("dissect.btrfs")
    lines = f"UUID={UUID} / btrfs defaults 0 0\n" + "".join(
        f"UUID={UUID} /{name} btrfs subvol={name}{more} 0 0\n"
        for name, more in (("home", ""), ("srv/data", ""), ("opt", ",nofail"), ("there", ""))
    )
    write_tree(tmp_path / "tree", {**debian(), "/etc/fstab": lines, "/there/x": b""})
    make_filesystem("btrfs", tmp_path / "tree", tmp_path / "fs.img")
    guest = inspect_image(on_mbr(tmp_path / "disk.raw", tmp_path / "fs.img"))
    assert guest.gone_subvolumes == ("partition 1:home", "partition 1:srv/data", "partition 1:opt")
    said = [(f.severity.name, f.message) for f in check(guest)[0] if f.rule == "IMS852"]
    assert [severity for severity, _ in said] == ["ERROR", "ERROR", "NOTE"]
    assert "/etc/fstab line 2" in said[0][1]
    assert "has no subvolume home" in said[0][1]


@pytest.mark.slow
@need("mkfs.ext4")
def test_the_command_line_looks_inside(
    tree: Path, tmp_path: Path, imsprep: Callable[..., Outcome]
) -> None:
    make_filesystem("ext4", tree, tmp_path / "fs.img")
    disk = on_mbr(tmp_path / "disk.raw", tmp_path / "fs.img")
    asked = ("check", disk, "--json", "--os-version", "CentOS 7.6 64bit")
    outside, inside = imsprep(*asked), imsprep(*asked, "--guest")
    rules = [{f["rule"] for f in o.json["images"][0]["findings"]} for o in (outside, inside)]
    assert "IMS801" not in rules[0]
    assert "IMS801" in rules[1]
    assert inside.code == 1
    assert inside.json["images"][0]["facts"]["guest"]["system"] == "linux"


@pytest.mark.slow
@need("mkfs.btrfs")
def test_what_no_reader_is_installed_for_is_said(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_filesystem("btrfs", tree, tmp_path / "fs.img")
    monkeypatch.setenv("PYTHONPATH", str(blocked(tmp_path, "dissect")))
    guest = inspect_image(tmp_path / "fs.img")
    assert guest.system is None
    assert "imsprep[guest-agpl] is not installed" in guest.unread[0]
    findings, skipped = check(guest)
    assert findings == []
    assert all("guest-agpl" in s.reason for s in skipped if s.rule in ("IMS808", "IMS814"))


def blocked(folder: Path, package: str) -> Path:
    """A folder for PYTHONPATH in which a package cannot be imported."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("raise ImportError('blocked')\n")
    return folder


@pytest.mark.slow
@need("mkfs.ext4", "debugfs")
def test_an_unclean_file_system_is_found(tree: Path, tmp_path: Path) -> None:
    make_filesystem("ext4", tree, tmp_path / "fs.img")
    subprocess.run(
        ["debugfs", "-w", "-R", "ssv state 2", tmp_path / "fs.img"], check=True, capture_output=True
    )
    guest = inspect_image(on_mbr(tmp_path / "disk.raw", tmp_path / "fs.img"))
    assert [f.rule for f in check(guest)[0]] == ["IMS806"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "unread"),
    [
        (b"", ()),
        (b"x", ()),
        (bytes(4096), ()),
        (b"\x55\xaa" * 4096, ()),
        (b"EFI PART" * 1000, ("whole disk: its partition table cannot be read",)),
    ],
)
def test_an_image_without_anything_is_no_crash(
    content: bytes, unread: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "disk.raw").write_bytes(content)
    guest = inspect_image(tmp_path / "disk.raw")
    assert guest.system is None
    assert guest.unread == unread


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "library"),
    [
        pytest.param("ext4", "pyfsext", marks=need("mkfs.ext4")),
        pytest.param("xfs", "pyfsxfs", marks=need("mkfs.xfs")),
        pytest.param("btrfs", "dissect.btrfs", marks=need("mkfs.btrfs")),
    ],
)
def test_the_same_is_seen_inside_a_zvhd2(
    tree: Path, tmp_path: Path, kind: str, library: str
) -> None:
    pytest.importorskip(library)
    make_filesystem(kind, tree, tmp_path / "fs.img")
    raw = on_mbr(tmp_path / "disk.raw", tmp_path / "fs.img")
    packed = tmp_path / "disk.zvhd2"
    packed.write_bytes(of_disk(raw.read_bytes()))
    guest = inspect_image(packed)
    assert guest.system == "linux"
    assert guest == inspect_image(raw)


@pytest.mark.slow
def test_a_damaged_zvhd2_is_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "disk.zvhd2"
    path.write_bytes(b"z2strm\0\0" + bytes(4096))
    assert "checksum of the header does not hold" in inspect_image(path).unread[0]
    whole = bytearray(of_disk(b"\1" * 4096))
    whole[4096 + 48] ^= 0xFF  # the payload of block 0
    path.write_bytes(whole)
    assert "block 0" in inspect_image(path).unread[0]


@pytest.mark.slow
def test_a_missing_image_is_a_reason(tmp_path: Path) -> None:
    assert "No such file" in inspect_image(tmp_path / "none.raw").unread[0]


@pytest.mark.slow
@need("mkfs.ext4")
def test_limits_end_an_inspection_with_a_reason(tree: Path, tmp_path: Path) -> None:
    make_filesystem("ext4", tree, tmp_path / "fs.img")
    late = inspect_image(tmp_path / "fs.img", time_limit_s=0.001)
    assert "stopped after 0.001 seconds" in late.unread[0]
    poor = inspect_image(tmp_path / "fs.img", memory_limit=8 * MIB)
    assert poor.system is None
    assert len(poor.unread) == 1


@pytest.mark.slow
def test_a_reader_that_crashes_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    package = tmp_path / "pyfsext"
    package.mkdir()
    (package / "__init__.py").write_text(crash)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    head = bytearray(2 * MIB)
    head[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
    # 256 inodes and blocks, in one group of as many; block 1 is the first.
    for at, number in ((0x0, 256), (0x4, 256), (0x14, 1), (0x20, 256), (0x28, 256)):
        struct.pack_into("<I", head, 1024 + at, number)
    (tmp_path / "disk.raw").write_bytes(head)
    guest = inspect_image(tmp_path / "disk.raw")
    assert guest.unread == ("the inspection was ended by SIGSEGV: a reader crashed",)
    assert guest.gaps == {"/**": guest.unread[0]}
    assert [(volume.name, volume.kind) for volume in guest.volumes] == [("whole disk", "ext2")]


@pytest.mark.slow
@need("mkfs.ext4", "mkfs.xfs")
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_damaged_file_system_never_ends_without_an_answer(
    tree: Path, tmp_path: Path, kind: str
) -> None:
    make_filesystem(kind, tree, tmp_path / "fs.img")
    original = (tmp_path / "fs.img").read_bytes()
    used = [at for at in range(0, len(original), 4096) if any(original[at : at + 4096])]
    chance = random.Random(20240809)
    for _ in range(12):
        damaged = bytearray(original)
        for _ in range(chance.choice((1, 10, 200))):
            damaged[chance.choice(used) + chance.randrange(4096)] = chance.randrange(256)
        (tmp_path / "fs.img").write_bytes(damaged)
        guest = inspect_image(tmp_path / "fs.img", time_limit_s=60)
        assert guest.system == "linux" or guest.unread or guest.volumes[0].kind == "unknown"


def grave(guest: Guest, **asked: str) -> set[tuple[str, str]]:
    """Errors and warnings on a guest that say more than how it differs from what was asked for.

    Of a boot program that goes on behind the end of the disk it is proved that it stops.
    """
    return {
        (f.rule, f.message)
        for f in check(guest, **asked)[0]
        if f.severity > Severity.NOTE and f.rule not in ("IMS801", "IMS802")
        if "behind the end of the disk" not in f.message
    }


ENTIRE: dict[str, Any] = {
    "/bin/sh": b"#!/usr/bin/dash\n", "/usr/bin/dash": ELF_X86_64, "/sbin/ifup": ELF_X86_64,
    "/sbin/init": Link("../lib/systemd/systemd"), "/lib/systemd/systemd": b"#!/bin/sh\n",
    **dict.fromkeys(("/usr/bin/ls", "/usr/bin/mount", "/usr/bin/env"), ELF_X86_64 + bytes(9000)),
    **{f"/{folder}/.keep": "" for folder in ("dev", "proc", "run", "sys", "tmp")},
    **{f"/usr/share/doc/package-{number:03}/copyright": "x" * 999 for number in range(150)},
}  # fmt: skip


@pytest.mark.slow
@need("mkfs.ext4")
@pytest.mark.parametrize("readers", [("libyal", "dissect"), ("libyal",)])
def test_what_an_image_that_is_cut_lacks_is_no_fault_of_its_system(
    tmp_path: Path, readers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [one for one in interface.ADAPTERS if one[0].rpartition(".")[2] in readers]
    monkeypatch.setattr(interface, "ADAPTERS", kept)
    # Blocks of 4 KiB make one group of all, so that no backup of the superblock is cut off.
    tree = write_tree(tmp_path / "tree", {**debian(), **ENTIRE})
    for path in tree.glob("**/*bin/*"):
        path.chmod(0o755)
    (tree / "lib/systemd/systemd").chmod(0o755)
    make_filesystem("ext4", tree, tmp_path / "fs.img", "-b", "4096")
    disk = on_mbr(tmp_path / "disk.raw", tmp_path / "fs.img").read_bytes()
    whole = inspect(io.BytesIO(disk), len(disk), Budget(), lambda _: None)
    assert grave(whole) == set()
    looked = 0
    for size in [*range(1024, 2 * MIB, 400_000), *cuts(tmp_path / "disk.raw", 60)]:
        guest = inspect(io.BytesIO(disk[:size]), size, Budget(), lambda _: None)
        assert grave(guest) == set(), size
        looked += guest.system == "linux"
    assert looked > 20


@pytest.mark.slow
@need("mkfs.ext4")
@pytest.mark.parametrize("extended", [False, True])
def test_a_chain_of_logical_partitions_that_is_cut_may_hold_any_volume(
    tmp_path: Path, extended: bool
) -> None:
    fstab = f"UUID={UUID} / ext4 defaults 0 1\nUUID={BOOT_UUID} /home ext4 defaults 0 2\n"
    disk = ext4_disk(tmp_path, {**debian(), "/etc/fstab": fstab})
    if extended:
        entry = struct.pack("<B3sB3sII", 0, bytes(3), 5, bytes(3), disk.stat().st_size // 512, 9999)
        with disk.open("r+b") as file:
            file.seek(446 + 16)
            file.write(entry)
    guest = inspect_image(disk)
    assert ("IMS811" in {rule for rule, _ in grave(guest)}) is not extended
    reasons = {s.rule: s.reason for s in check(guest)[1]}
    assert ("may be inside partition 2 (unknown)" in reasons.get("IMS811", "")) is extended


@pytest.mark.slow
@pytest.mark.parametrize("name", ["debian-ext4-bios", "debian-xfs-uefi", "debian-btrfs-zstd", "debian-lvm-uefi"])  # fmt: skip
def test_a_real_debian_that_is_cut_has_no_fault_but_that(name: str, tmp_path: Path) -> None:
    image, disk = IMAGES / f"{name}.raw", tmp_path / "disk.raw"
    need_built(image)
    if LAYOUTS[name].filesystem == "btrfs":
        pytest.importorskip("dissect.btrfs")
    subprocess.run(["cp", "--sparse=always", image, disk], check=True)
    found = {}
    for size in reversed(cuts(disk, 12)):
        os.truncate(disk, size)
        found[size] = grave(inspect_image(disk), hw_firmware_type=LAYOUTS[name].firmware)
    assert {size: said for size, said in found.items() if said} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_well_prepared_debian_has_no_error(name: str) -> None:
    image = IMAGES / f"{name}.raw"
    need_built(image)
    if LAYOUTS[name].filesystem == "btrfs":
        pytest.importorskip("dissect.btrfs")
    guest = inspect_image(image)
    findings, skipped = check(guest, hw_firmware_type=LAYOUTS[name].firmware)
    # Debian 12 is newer than what was asked for and than any string of the sites.
    assert {f.rule: f.severity.word for f in findings} == {"IMS801": "warning", "IMS802": "note"}
    assert {s.rule for s in skipped} <= {"IMS806"}
    assert guest.unread == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [*COMPRESSORS, "early", "rules", "dracut", "no-virtio_blk", "no-virtio_scsi", "no-virtio_net"],
)
def test_a_real_initramfs_is_read(name: str) -> None:
    path = IMAGES / "initramfs" / f"{name}.img"
    need_built(path)
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(MIB), b"")
        names = [m.name for m in members(pieces, lambda _: False, Allowance())]
    found = {n for n in VIRTIO if any(path.endswith(f"/{n}.ko") for path in names)}
    # Debian's dracut leaves the network out unless the root is on it.
    left_out = {"dracut": {"virtio_net"}, **{f"no-{driver}": {driver} for driver in VIRTIO}}
    assert found == set(VIRTIO) - left_out.get(name, set())


@pytest.mark.slow
@need("debugfs")
def test_each_fault_planted_into_a_real_debian_is_found(tmp_path: Path) -> None:
    missed = []
    for name, (changes, rule) in DEBIAN_FAULTS.items():
        findings, _ = check(inspect_image(faulty(changes, tmp_path)), hw_firmware_type="bios")
        # Debian 12 was not asked for.
        others = {f.rule for f in findings} - {"IMS801", "IMS802"} - CAUSED.get(name, set())
        if others != {rule}:
            missed.append((name, rule, others))
    assert missed == []
