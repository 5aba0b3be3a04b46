"""Kind, UUID and label of what Debian's tools make: by libblkid, and by our tables without it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.fs import blkid
from imsprep.guest.fs.identify import Identified, identify
from imsprep.units import MIB
from tests.support.running import need

UUID = "12345678-9abc-4def-8123-456789abcdef"
# A name: its kind, UUID and label, the size of the volume in MiB, and how it is made.
MADE: dict[str, tuple[str, str | None, str | None, int, list[str]]] = {
    "ext2": ("ext2", UUID, "data", 8, ["mkfs.ext2", "-qF", "-U", UUID, "-L", "data"]),
    "ext3": ("ext3", UUID, "data", 16, ["mkfs.ext3", "-qF", "-U", UUID, "-L", "data"]),
    "ext4": ("ext4", UUID, "data", 16, ["mkfs.ext4", "-qF", "-U", UUID, "-L", "data"]),
    "XFS": ("XFS", UUID, "data", 320, ["mkfs.xfs", "-q", "-m", f"uuid={UUID}", "-L", "data"]),
    "btrfs": ("btrfs", UUID, "data", 128, ["mkfs.btrfs", "-q", "-U", UUID, "-L", "data"]),
    "NTFS": ("NTFS", None, "data", 32, ["mkntfs", "-qFf", "-L", "data"]),
    "FAT, 12 bits": ("FAT", "ABCD-1234", "DATA", 4, ["mkfs.vfat", "-F12", "-iABCD1234", "-nDATA"]),
    "FAT, 16 bits": ("FAT", "ABCD-1234", "DATA", 32, ["mkfs.vfat", "-F16", "-iABCD1234", "-nDATA"]),
    "FAT, 32 bits": ("FAT", "ABCD-1234", "DATA", 64, ["mkfs.vfat", "-F32", "-iABCD1234", "-nDATA"]),
    "exFAT": ("exFAT", None, "data", 32, ["mkfs.exfat", "-L", "data"]),
    "swap": ("swap", UUID, "data", 4, ["mkswap", "-U", UUID, "-L", "data"]),
    "swap, 16 KiB": ("swap", UUID, "data", 4, ["mkswap", "-p", "16384", "-U", UUID, "-L", "data"]),
    "swap, 64 KiB": ("swap", UUID, "data", 4, ["mkswap", "-p", "65536", "-U", UUID, "-L", "data"]),
    "F2FS": ("F2FS", None, "data", 64, ["mkfs.f2fs", "-q", "-l", "data"]),
    "ReiserFS": ("ReiserFS", UUID, "data", 48, ["mkfs.reiserfs", "-ffq", "-u", UUID, "-l", "data"]),
    "JFS": ("JFS", None, "data", 32, ["mkfs.jfs", "-q", "-L", "data"]),
    "NILFS2": ("NILFS2", None, "data", 256, ["mkfs.nilfs2", "-q", "-L", "data"]),
    "UDF": ("UDF", None, "data", 32, ["mkudffs", "-l", "data"]),
    "LUKS": ("LUKS", UUID, None, 32, ["cryptsetup", "luksFormat", "-q", "--key-file=/etc/passwd",
             "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", f"--uuid={UUID}"]),
}  # fmt: skip
WITHOUT_LABEL = ("NTFS", "exFAT", "UDF")  # our tables do not read theirs


def make(name: str, path: Path) -> None:
    size, command = MADE[name][3:]
    if shutil.which(command[0]) is None:
        pytest.skip(f"not installed: {command[0]}")
    with path.open("wb") as file:
        file.truncate(size * MIB)
    subprocess.run([*command, path], check=True, capture_output=True)


def look(path: Path) -> Identified:
    with path.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        return identify(read, path.stat().st_size)


@need("blkid")
@pytest.mark.parametrize("name", MADE)
def test_a_volume_is_what_blkid_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / "volume"
    make(name, path)
    said = subprocess.run(
        ["blkid", "-p", "-o", "export", path], check=True, capture_output=True, text=True
    )
    values = dict(line.split("=", 1) for line in said.stdout.splitlines())
    found, (kind, uuid, label, *_) = look(path), MADE[name]
    assert (found.kind, found.uuid, found.label) == (kind, values["UUID"], values.get("LABEL"))
    assert uuid in (None, found.uuid)
    assert label == found.label
    assert found.fault is None


@pytest.mark.parametrize("name", MADE)
def test_without_the_library_the_kind_and_the_uuid_are_the_same(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "volume"
    make(name, path)
    whole = look(path)
    monkeypatch.setattr(blkid, "load_library", lambda: None)
    found = look(path)
    assert found.kind == whole.kind
    if name != "UDF":
        assert found.uuid == whole.uuid
    if name not in WITHOUT_LABEL:
        assert found.label == whole.label


@need("mkfs.vfat")
@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("old", [["-n", "OLD"], []])
def test_the_label_in_the_root_directory_of_a_fat_counts(
    tmp_path: Path, old: list[str], library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not library:
        monkeypatch.setattr(blkid, "load_library", lambda: None)
    path = tmp_path / "volume"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.vfat", "-F32", *old, path], check=True, capture_output=True)
    with path.open("r+b") as file:
        reserved, tables = struct.unpack_from("<HB", file.read(512), 14)
        file.seek(36)
        (long,) = struct.unpack("<I", file.read(4))
        file.seek((reserved + tables * long) * 512)
        file.write(b"NEW        " + b"\x08" + bytes(20))
    assert look(path).label == "NEW"


@need("mkswap")
@pytest.mark.parametrize("library", [True, False])
def test_a_swap_that_holds_a_sleeping_system_is_swap(
    tmp_path: Path, library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not library:
        monkeypatch.setattr(blkid, "load_library", lambda: None)
    path = tmp_path / "volume"
    make("swap", path)
    with path.open("r+b") as file:
        file.seek(4096 - 10)
        file.write(b"S1SUSPEND\0")
    found = look(path)
    assert (found.kind, found.uuid) == ("swap", UUID)


def test_a_volume_of_a_terabyte_costs_no_more() -> None:
    data = bytes(1 << 16)
    answer = blkid.ask(lambda at, count: data[at : at + count].ljust(count, b"\0"), 1 << 40)
    assert answer in (None, blkid.Silence(several=False))


@given(st.binary(max_size=4096), st.integers(1, 1 << 24))
def test_no_bytes_raise(data: bytes, size: int) -> None:
    blkid.ask(lambda at, count: data[at : at + count], size)
