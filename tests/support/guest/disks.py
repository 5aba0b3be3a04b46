"""Small real disks with a guest in them: file systems made by their own tools, without root."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fixtures.guest_images import MIB, xfs_protofile
from tests.support.guest.trees import UUID, Link

BOOT_PROGRAM = b"\xeb\x63\x90GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n" + b"boot" * 90


def write_tree(folder: Path, files: Mapping[str, object]) -> Path:
    for name, content in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content.target)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(str(content or ""))
    return folder


def make_filesystem(kind: str, tree: Path, image: Path, *options: str) -> None:
    size = 320 * MIB if kind == "xfs" else 128 * MIB
    with image.open("wb") as file:
        file.truncate(size)
    if kind == "xfs":
        protofile = tree.with_suffix(".proto")
        protofile.write_text(xfs_protofile(tree))
        command = ["mkfs.xfs", "-q", "-f", "-m", f"uuid={UUID}", *options, "-p", protofile, image]
    elif kind == "btrfs":
        command = ["mkfs.btrfs", "-q", "-f", "-U", UUID, *options, "--rootdir", tree, image]
    else:
        command = [f"mkfs.{kind}", "-q", "-F", "-U", UUID, *options, "-d", tree, image]
    subprocess.run(command, check=True, capture_output=True)


def on_mbr(image: Path, *filesystems: Path) -> Path:
    """A disk with a boot program and a partition for each file system, from 1 MiB on."""
    entries, at = b"", MIB
    with image.open("wb") as disk:
        for filesystem in filesystems:
            size = filesystem.stat().st_size
            entries += struct.pack("<B3sB3sII", 0, bytes(3), 0x83, bytes(3), at // 512, size // 512)
            disk.seek(at)
            with filesystem.open("rb") as source:
                shutil.copyfileobj(source, disk)
            at += size
        disk.truncate(at)
        disk.seek(0)
        disk.write(BOOT_PROGRAM.ljust(446, b"\0") + entries.ljust(64, b"\0") + b"\x55\xaa")
    return image


def ext4_disk(folder: Path, files: Mapping[str, object], *options: str) -> Path:
    """A disk with one partition, an ext4 with these files."""
    make_filesystem("ext4", write_tree(folder / "tree", files), folder / "fs.img", *options)
    return on_mbr(folder / "disk.raw", folder / "fs.img")


def cuts(image: Path, count: int) -> list[int]:
    """Sizes to which to cut a file, spread over what it holds that is not a hole."""
    held = []
    with image.open("rb") as file:
        at = 0
        while at < os.fstat(file.fileno()).st_size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break  # a hole to the end
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            held += range(at + 512, end, 512)
            at = end
    return held[:: max(len(held) // count, 1)]
