"""Source: each format opens to the same disk."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from imsprep.errors import ContentError, FormatError
from imsprep.units import MIB
from imsprep.zvhd2.convert import ConvertTask
from imsprep.zvhd2.source import OpenImage, pread
from imsprep.zvhd2.writer import PackTask
from tests.support.running import need
from tests.support.zvhd2.converting import convert


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
        with OpenImage.open(path) as image:
            disk = image.disk()
            assert image.disk() is disk, "it is opened once"
            assert disk.size == 4 * MIB + 512
            assert pread(disk, 0, disk.size) == raw.read_bytes()
            assert pread(disk, MIB - 1, 2) == b"a\0"
            assert pread(disk, 4 * MIB, 9999) == b"z" * 512
            assert pread(disk, disk.size, 1) == pread(disk, -1, 1) == b""


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"\x1f\x8b\x08" + bytes(5000))
    with OpenImage.open(tmp_path / "a.raw") as image, pytest.raises(FormatError, match="gzip"):
        image.disk()


def test_what_could_be_two_disks_or_has_the_name_of_another_format_is_none(tmp_path: Path) -> None:
    both, cut = tmp_path / "both.raw", tmp_path / "cut.qcow2"
    both.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(56) + b"\x7f\x10\xda\xbe" + bytes(9000))
    cut.write_bytes(b"\1" * 9000)
    for path, words in ((both, "could be qcow2 or vdi"), (cut, "has the name of a qcow2, but not")):
        with OpenImage.open(path) as image, pytest.raises(ContentError, match=words) as caught:
            image.disk()
        assert caught.value.ambiguous


def test_a_compressed_file_opens_to_the_disk_in_it(raw: Path, tmp_path: Path) -> None:
    packed = tmp_path / "disk.raw.gz"
    packed.write_bytes(gzip.compress(raw.read_bytes()))
    with OpenImage.open(packed) as image:
        assert pread(image.disk(), 0, image.disk().size) == raw.read_bytes()
    text = tmp_path / "text.gz"
    text.write_bytes(gzip.compress(b"%PDF-1.4\n".ljust(5000)))
    with OpenImage.open(text) as image, pytest.raises(ContentError, match=r"text\.gz"):
        image.disk()


def test_the_size_of_a_disk_is_told_for_progress_where_it_is_known(
    raw: Path, tmp_path: Path
) -> None:
    def likely_size(path: Path) -> int:
        with OpenImage.open(path) as image:
            return image.likely_size

    assert likely_size(raw) == raw.stat().st_size
    qcow2 = tmp_path / "disk.qcow2"
    qcow2.write_bytes(
        b"QFI\xfb\0\0\0\3".ljust(24, b"\0") + (7 << 30).to_bytes(8, "big") + bytes(99)
    )
    assert likely_size(qcow2) == 7 << 30
    packed = tmp_path / "disk.gz"
    packed.write_bytes(gzip.compress(bytes(5000)))
    assert likely_size(packed) == 0
