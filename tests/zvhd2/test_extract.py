"""A container unpacked into a sparse file, which is read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.errors import FormatError, ReadError
from imsprep.units import KIB, MIB
from imsprep.zvhd2 import records
from imsprep.zvhd2.examine import examine
from imsprep.zvhd2.extract import unpack_disk
from imsprep.zvhd2.reader import Zvhd2Reader
from tests.support.zvhd2.files import build, of_disk, reading


def unpack(data: bytes, path: Path, jobs: int = 2) -> list[int]:
    """Unpack into a file; return what was reported on the way."""
    told: list[int] = []
    container = examine(reading(data), len(data)).container_or_raise()
    with path.open("w+b") as file, Zvhd2Reader(container, reading(data)) as reader:
        unpack_disk(reader, file.fileno(), jobs=jobs, progress=told.append)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 4])
def test_the_disk_is_there_and_its_zeros_take_no_space(tmp_path: Path, jobs: int) -> None:
    size = 96 * MIB + 512
    disk = bytearray(size)
    disk[:4] = b"head"
    disk[70 * MIB : 70 * MIB + 8 * KIB] = b"x" * 8 * KIB
    disk[-4:] = b"tail"
    path = tmp_path / "disk.raw"
    told = unpack(of_disk(bytes(disk)), path, jobs)
    assert path.read_bytes() == disk
    assert sum(told) == size
    assert min(told) >= 0
    assert path.stat().st_blocks * 512 <= 256 * KIB


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    built = build({0: b"a", 3: b"b"}, 8 * MIB)
    at = int(built.entries["offset"][1]) + 48
    with pytest.raises(FormatError) as told:
        unpack(built.with_bytes(at, b"\0" * 8), tmp_path / "disk.raw")
    assert str(int(built.entries["offset"][1])) in str(told.value)


def test_what_does_not_read_back_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = of_disk(b"data" * KIB + bytes(records.BLOCK_SIZE))
    monkeypatch.setattr(
        "imsprep.image.archive.unpack.read_at", lambda file, length, offset: b"?" * length
    )
    with pytest.raises(ReadError):
        unpack(data, tmp_path / "disk.raw")
