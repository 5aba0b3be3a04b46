"""The disk of `imsprep demo`: a GPT with one ext4 file system, made by mkfs.ext4 in the image.

It is a data disk as a user might have one: texts, a few larger files, a journal, and much that was
never written. The two copies of the GPT are written here because no program for that is on every
Debian; mkfs.ext4 is. Layout of the records: UEFI specification 2.10, chapter 5.3.

The disk appears under its name only when it is whole. A *demo folder* is used by one run at a time.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

from imsprep.errors import MissingExtraError, ReadError, UsageError, show_path
from imsprep.image.file import RawImage
from imsprep.image.volumes.partitions import (
    GPT_ENTRY,
    GPT_HEADER,
    GPT_SIGNATURE,
    MBR_ENTRY,
    read_disk,
)
from imsprep.units import GIB, KIB, MIB, SECTOR

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, which has no mkfs.ext4 either
    fcntl = None  # type: ignore[assignment]  # without it nothing is locked

SIZE = 1 * GIB
START, LENGTH = 1 * MIB, SIZE - 2 * MIB  # of the partition; aligned, clear of both tables

# Fixed, so that a disk of an earlier run is recognised among other files.
DISK_GUID = uuid.UUID("6d1a5e2c-5f0e-4d3b-9a77-1d5e0d15c001")
_PARTITION_GUID = uuid.UUID("6d1a5e2c-5f0e-4d3b-9a77-1d5e0d15c002")
_FILESYSTEM_UUID = "6d1a5e2c-5f0e-4d3b-9a77-1d5e0d15c003"
_LINUX_DATA = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_ENTRIES, _ENTRIES_SECTORS = 128, 32
_LOCK = ".demo.lock"
_LAST = SIZE // SECTOR - 1  # the last sector, where the backup header lies


def ensure_disk(path: Path) -> bool:
    """Make the disk at `path` unless it is there; return whether it was made.

    Raises MissingExtraError without mkfs.ext4, UsageError if `path` is there and not the demo's,
    ReadError if it cannot be written.
    """
    if path.exists():
        if not _is_demo_disk(path):
            raise UsageError(
                f"{show_path(path)} is not the demo's disk; choose another folder",
                remedies=("folder",),
            )
        return False
    try:
        with tempfile.TemporaryDirectory(prefix=".tree.", suffix=".part", dir=path.parent) as name:
            unfinished = Path(name) / "disk"
            _write(unfinished, Path(name) / "files")
            os.replace(unfinished, path)
    except OSError as error:
        raise ReadError.from_os(error, "cannot write", path) from error
    return True


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a demo folder while the block runs, and remove what a killed run left unfinished.

    The lock stays where the block raises: the next run knows the folder by it. Raises UsageError if
    another run holds it or it holds what is not the demo's, ReadError if the folder cannot be made.
    """
    place = folder / _LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_ours(folder)
        lock = place.open("a")
    except OSError as error:
        raise ReadError.from_os(error, "cannot write", folder) from error
    with lock:
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(lock.fileno()), place.stat())
        except OSError:
            held = False
        if not held:  # another holds it, or removed it between the two steps
            raise UsageError(f"another demo is running in {show_path(folder)}")
        for path in list(folder.rglob(".*.part")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield
        place.unlink()


def _check_ours(folder: Path) -> None:
    """Raise UsageError for a folder that is neither empty nor a demo's: its files would be at risk.

    The lock is the first thing that a demo puts into a folder, and an empty file. One that came to
    its end leaves its disk and the image service.
    """
    lock, disk = folder / _LOCK, folder / "disk.raw"
    begun = lock.is_file() and not lock.is_symlink() and lock.stat().st_size == 0
    ended = (folder / "cloud" / ".emulator").is_dir() and disk.is_file() and _is_demo_disk(disk)
    if not (begun or ended) and any(folder.iterdir()):
        raise UsageError(
            f"{show_path(folder)} is not empty and not the demo's folder; choose another folder",
            remedies=("folder",),
        )


def _is_demo_disk(path: Path) -> bool:
    with RawImage.open(path) as image:
        if image.size != SIZE:
            return False
        primary = read_disk(image.pread, image.size).primary
        return primary is not None and primary.disk_guid == str(DISK_GUID)


def gpt(name: str) -> tuple[bytes, bytes]:
    """Return the first and the last sectors of the disk: protective MBR, GPT, and its backup."""
    first, last = START // SECTOR, (START + LENGTH) // SECTOR - 1
    entry = GPT_ENTRY.pack(
        _LINUX_DATA.bytes_le, _PARTITION_GUID.bytes_le, first, last, 0, name.encode("utf-16-le")
    )
    entries = entry.ljust(_ENTRIES * GPT_ENTRY.size, b"\0")
    mbr = bytes(446) + MBR_ENTRY.pack(0, 0xEE, 1, _LAST)
    primary = _header(own=1, other=_LAST, table=2, entries=entries)
    backup = _header(own=_LAST, other=1, table=_LAST - _ENTRIES_SECTORS, entries=entries)
    return mbr.ljust(510, b"\0") + b"\x55\xaa" + primary + entries, entries + backup


def _header(*, own: int, other: int, table: int, entries: bytes) -> bytes:
    """Return a GPT header for its place on the disk, with both checksums."""

    def packed(crc: int) -> bytes:
        return GPT_HEADER.pack(
            GPT_SIGNATURE, b"\0\0\1\0", GPT_HEADER.size, crc, 0,
            own, other, 2 + _ENTRIES_SECTORS, _LAST - _ENTRIES_SECTORS - 1, DISK_GUID.bytes_le,
            table, _ENTRIES, GPT_ENTRY.size, zlib.crc32(entries),
        )  # fmt: skip

    return packed(zlib.crc32(packed(0))).ljust(SECTOR, b"\0")


def _write(path: Path, tree: Path) -> None:
    """Write the whole disk to a new file, and the files that go into it to the folder `tree`."""
    _write_files(tree)
    head, tail = gpt("data")
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.write(head)
        file.seek(-len(tail), os.SEEK_END)
        file.write(tail)
    _make_filesystem(path, tree)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _make_filesystem(path: Path, tree: Path) -> None:
    # Not on the path of those who are not root, though anybody may run it.
    program = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise MissingExtraError("the demo needs mkfs.ext4: apt-get install e2fsprogs")
    command = [
        program, "-q", "-F", "-L", "demo", "-U", _FILESYSTEM_UUID, "-E", f"offset={START}",
        "-d", str(tree), str(path), f"{LENGTH // KIB}k",
    ]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise ReadError(f"mkfs.ext4 could not make the file system: {done.stderr.strip()}")


def _write_files(tree: Path) -> None:
    """Write texts and larger files, the same ones every time."""
    numbers = random.Random(1)
    for folder, count, size in (("notes", 200, 2 * KIB), ("photos", 12, 3 * MIB)):
        (tree / folder).mkdir(parents=True)
        for number in range(count):
            text = f"{folder} {number}\n".encode() * (size // 16)
            content = text if folder == "notes" else numbers.randbytes(size)
            (tree / folder / f"{number:04}").write_bytes(content)
