"""Source: each format opens to the same disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imsprep.errors import FormatError
from imsprep.image.file import RawImage
from imsprep.units import MIB
from imsprep.zvhd2.convert import ConvertTask, convert
from imsprep.zvhd2.source import open_source, pread
from imsprep.zvhd2.writer import PackTask
from tests.support.running import need


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"a" * MIB + bytes(3 * MIB) + b"z" * 512)
    return path


@need("qemu-img", "qemu-nbd")
def test_each_format_opens_to_the_same_disk(raw: Path, tmp_path: Path) -> None:
    packed, qcow2 = tmp_path / "disk.zvhd2", tmp_path / "disk.qcow2"
    convert(raw, packed, ConvertTask(PackTask(1)))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    for path in (raw, packed, qcow2):
        with RawImage.open(path) as image, open_source(image) as disk:
            assert disk.size == 4 * MIB + 512
            assert pread(disk, 0, disk.size) == raw.read_bytes()
            assert pread(disk, MIB - 1, 2) == b"a\0"
            assert pread(disk, 4 * MIB, 9999) == b"z" * 512
            assert pread(disk, disk.size, 1) == pread(disk, -1, 1) == b""


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"\x1f\x8b\x08" + bytes(5000))
    with (
        RawImage.open(tmp_path / "a.raw") as image,
        pytest.raises(FormatError, match="gzip"),
        open_source(image),
    ):
        pass
