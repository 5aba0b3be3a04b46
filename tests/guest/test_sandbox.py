"""Images made to harm: each ends soon, with a reason, and passes for nothing that was not read."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import FormatError
from imsprep.guest import sandbox
from imsprep.guest.fs import libyal
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.fs.ranges import Window
from imsprep.guest.inspect import inspect
from imsprep.guest.model import Guest
from imsprep.guest.sandbox import MEMORY_LIMIT, inspect_image
from imsprep.guest.tree import Budget
from imsprep.units import KIB
from tests.support.guest.disks import make_filesystem, write_tree
from tests.support.guest.rules import check_guest as check
from tests.support.guest.trees import debian
from tests.support.running import need

EXT_SUPERBLOCK, BTRFS_SUPERBLOCK = KIB, 64 * KIB


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., Path]:
    """A well-prepared system on the bare disk."""

    def make(kind: str, *options: str) -> Path:
        write_tree(tmp_path / "tree", debian())
        make_filesystem(kind, tmp_path / "tree", tmp_path / "fs.img", *options)
        return tmp_path / "fs.img"

    return make


def look(image: Path) -> Guest:
    """Inspect in this process."""
    with image.open("rb") as file:
        return inspect(file, image.stat().st_size, Budget(), lambda guest: None)


def test_a_system_that_was_not_looked_for_is_not_called_absent() -> None:
    budget = Budget()
    budget.spend_all("enough")
    guest = inspect(io.BytesIO(b"\1" * 4096), 4096, budget, lambda guest: None)
    assert guest.unread == ("enough",)
    _, skipped = check(guest)
    assert "IMS808" in {s.rule for s in skipped}


def test_no_file_system_is_opened_after_the_end() -> None:
    budget = Budget()
    budget.spend_all("enough")
    disk = bytearray(64 * KIB)
    disk[EXT_SUPERBLOCK + 0x38 : EXT_SUPERBLOCK + 0x3A] = b"\x53\xef"
    struct.pack_into("<II", disk, EXT_SUPERBLOCK, 2048, 8192)  # inodes and blocks
    struct.pack_into("<I", disk, EXT_SUPERBLOCK + 0x14, 1)  # the first block
    struct.pack_into("<III", disk, EXT_SUPERBLOCK + 0x20, 8192, 0, 2048)  # blocks, inodes a group
    guest = inspect(io.BytesIO(disk), len(disk), budget, lambda guest: None)
    assert [v.unread for v in guest.volumes] == ["enough"]


# In a process of its own, because the interruption may fall into whatever else runs in this one.
IMPATIENT = "from imsprep.guest import child; child.CPU_ENOUGH_S = 0.5; child.main()"


@pytest.mark.slow
@need("mkfs.btrfs")
def test_a_node_of_btrfs_that_is_its_own_child_ends(image: Callable[..., Path]) -> None:
    pytest.importorskip("dissect.btrfs")
    path = image("btrfs")
    data = bytearray(path.read_bytes())
    uuid = data[BTRFS_SUPERBLOCK + 0x20 : BTRFS_SUPERBLOCK + 0x30]
    for node in range(0, len(data), 4 * KIB):
        (owner,) = struct.unpack_from("<Q", data, node + 0x58)
        if node != BTRFS_SUPERBLOCK and data[node + 0x20 : node + 0x30] == uuid and owner == 5:
            (itself,) = struct.unpack_from("<Q", data, node + 0x30)
            struct.pack_into("<IB", data, node + 0x60, 400, 1)  # entries, level
            for entry in range(400):
                struct.pack_into("<QBQQQ", data, node + 0x65 + 33 * entry, entry, 1, 0, itself, 1)
    path.write_bytes(data)
    command = [sys.executable, "-c", IMPATIENT, str(path), str(MEMORY_LIMIT)]
    done = subprocess.run(command, check=True, capture_output=True)
    guest = sandbox.guest_of(done.stdout, path, None)
    assert guest.system is None
    assert "processor time" in guest.unread[0]


@pytest.mark.slow
@need("mkfs.ext4", "debugfs")
def test_extents_that_hold_themselves_end(image: Callable[..., Path]) -> None:
    path = image("ext4", "-O", "^metadata_csum", "-b", "4096")
    said = subprocess.run(
        ["debugfs", "-R", "imap /etc/fstab", path], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"block (\d+), offset (0x\w+)", said)
    assert found is not None
    inode = int(found[1]) * 4096 + int(found[2], 16)
    data = bytearray(path.read_bytes())
    loop = len(data) // 4096 - 5  # a free block
    entries = b"".join(struct.pack("<IIHH", 10 * n, loop, 0, 0) for n in range(300))
    header = struct.pack("<HHHHI", 0xF30A, 300, 340, 2, 0)
    struct.pack_into(f"{len(header + entries)}s", data, loop * 4096, header + entries)
    struct.pack_into("<I", data, inode + 4, 0x7FFFFFFF)  # size
    struct.pack_into("<HHHHI", data, inode + 40, 0xF30A, 1, 4, 3, 0)
    struct.pack_into("<IIHH", data, inode + 52, 0, loop, 0, 0)
    path.write_bytes(data)
    guest = inspect_image(path)
    assert "/etc/fstab" in guest.gaps
    _, skipped = check(guest)
    assert {"IMS810", "IMS811"} <= {s.rule for s in skipped}


@pytest.mark.slow
@need("mkfs.ext4")
@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(0x18, b"\xff\xff\xff\xff", id="blocks of 2^(10+2^32)"),
        pytest.param(0x20, bytes(4), id="no blocks in a group"),
        pytest.param(0x28, bytes(4), id="no inodes in a group"),
        pytest.param(0x58, bytes(2), id="inodes of no size"),
        pytest.param(0x58, b"\x2c\1", id="inodes of 300 bytes"),
        pytest.param(0x58, b"\0\x20", id="inodes larger than a block"),
        pytest.param(0x0, bytes(4), id="no inodes"),
        pytest.param(0x150, b"\xff" * 4, id="2^63 blocks"),
    ],
)
@pytest.mark.parametrize("features", ["metadata_csum", "^metadata_csum"])
def test_an_absurd_superblock_is_skipped_with_its_reason(
    image: Callable[..., Path], at: int, value: bytes, features: str
) -> None:
    path = image("ext4", "-O", features)
    with path.open("r+b") as file:
        file.seek(EXT_SUPERBLOCK + at)
        file.write(value)
    guest = inspect_image(path)
    if at == 0x150 and features.startswith("^"):
        assert guest.volumes[0].claimed > 1 << 60  # which IMS220 tells
        return
    findings, skipped = check(guest)
    assert guest.unread
    assert not {r.rule for r in findings} & {"IMS808"}
    assert {"IMS808", "IMS814"} <= {s.rule for s in skipped}


# A loop inside a library of C, in which no Python code is heard, and a limit that ends it sooner.
STUCK = """
import collections, itertools, resource
resource.setrlimit(resource.RLIMIT_CPU, (1, resource.getrlimit(resource.RLIMIT_CPU)[1]))
collections.deque(itertools.repeat(0), maxlen=0)
"""
DIED = "the inspection was ended by SIGXCPU: 20 s of processor time"


@pytest.mark.slow
@need("mkfs.ext4")
@pytest.mark.parametrize(
    ("library", "system", "gaps"),
    [("pyfsext", None, ["/**"]), ("lz4", "linux", ["/lib/modules/*"])],
)
def test_what_was_found_before_a_library_is_stuck_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, system: str, gaps: list[str]
) -> None:
    pytest.importorskip("pyfsext")
    files = {path: content for path, content in debian().items() if "initrd" not in path}
    files["/boot/initrd.img-4.19.0-27-amd64"] = b"\x02\x21\x4c\x18" + bytes(9)
    files["/etc/shadow"] = "root::19000:0:99999:7:::\n"
    write_tree(tmp_path / "tree", files)
    make_filesystem("ext4", tmp_path / "tree", tmp_path / "fs.img")
    (tmp_path / "stuck" / library).mkdir(parents=True)
    (tmp_path / "stuck" / library / "__init__.py").write_text(STUCK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stuck"))
    guest = inspect_image(tmp_path / "fs.img")
    assert (guest.system, guest.unread, guest.gaps) == (system, (DIED,), dict.fromkeys(gaps, DIED))
    assert [volume.kind for volume in guest.volumes] == ["ext4"]
    findings, skipped = check(guest)
    assert [f.rule for f in findings] == (["IMS837"] if system else [])
    assert {"IMS814", "IMS821"} <= {s.rule for s in skipped}
    assert (len(skipped) > 30) is (system is None)


class Broken(Window):
    """A volume of which nothing more can be read from a moment on."""

    error: Exception | None = None

    def readinto(self, buffer: Any) -> int:
        if self.error is not None:
            raise self.error
        return super().readinto(buffer)


@need("mkfs.ext4")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnreadableError("reading took more than 10 s"), "reading took more than 10 s"),
        (FormatError("byte 5: the block's checksum"), "byte 5: the block's checksum"),
        (OSError(5, "Input/output error"), "OSError(5, 'Input/output error')"),
    ],
)
def test_what_ends_the_reading_inside_a_library_is_the_reason(
    image: Callable[..., Path], error: Exception, reason: str
) -> None:
    pytest.importorskip("pyfsext")
    path = image("ext4")
    with path.open("rb") as file:
        volume = Broken(
            lambda at, length: os.pread(file.fileno(), length, at), 0, path.stat().st_size
        )
        filesystem = libyal.open_filesystem(volume, "ext4", None)
        volume.error = error
        with pytest.raises(UnreadableError) as caught:
            filesystem.root()
        assert str(caught.value) == reason
        with pytest.raises(UnreadableError) as caught:
            libyal.open_filesystem(volume, "ext4", None)
        assert str(caught.value) == reason


@need("mkfs.ext4")
def test_a_root_that_is_no_directory_is_skipped_with_its_reason(
    image: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyfsext")
    opened = libyal.YalFileSystem.root
    monkeypatch.setattr(
        libyal.YalFileSystem, "root", lambda self: dataclasses.replace(opened(self), mode=0)
    )
    guest = look(image("ext4"))
    assert guest.system is None
    assert guest.unread == ("whole disk: cannot read ext4: its root is not a directory",)


@need("mkfs.ext4")
def test_a_directory_of_too_many_names_is_not_listed(
    image: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("pyfsext")
    many = tmp_path / "tree" / "etc" / "cloud" / "cloud.cfg.d"
    many.mkdir(parents=True)
    for number in range(9):
        (many / f"{number}.txt").touch()
    monkeypatch.setattr(libyal, "LISTING_LIMIT", 8)  # the root has fewer
    guest = look(image("ext4"))
    assert any("a directory of" in reason for reason in guest.gaps.values())
