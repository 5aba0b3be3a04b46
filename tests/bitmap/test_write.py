"""Making a bitmap: what was written is read back before anything gets its name."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imsprep.bitmap import codec, export_formats, sidecar
from imsprep.bitmap.export import export
from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.write import make_bitmap
from imsprep.errors import FormatError, ImageChangedError, ReadError, UsageError
from imsprep.image.blockmap import BlockMap
from imsprep.image.file import RawImage
from imsprep.image.identity import Identity
from imsprep.options import BitmapOptions, ExportOptions
from imsprep.scan import scan as scan_module
from imsprep.units import MIB
from tests.support.image.raw_disk import BLOCK, make_disk, write_byte


@pytest.mark.parametrize("bits", [0b1, 0b100, 0b1000, 0b11])  # the last: as many are marked
def test_a_bitmap_that_does_not_read_back_is_not_written(
    bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"x" + bytes(5 * MIB - 1) + b"y" + bytes(2 * MIB - 1))
    real = codec.encode

    def wrong(block_map: BlockMap, layout: BitmapLayout) -> bytes:
        data = bytearray(real(block_map, layout))
        data[0] ^= bits
        return bytes(data)

    with monkeypatch.context() as patch:
        patch.setattr(codec, "encode", wrong)
        patch.setattr(codec, "decode", _plain)
        with pytest.raises(FormatError, match="does not read back"):
            make_bitmap(disk)
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]
    assert make_bitmap(disk).bitmap.read_bytes() == b"\x05"


def _plain(data: bytes, size: int, layout: BitmapLayout) -> BlockMap:
    from bitarray import bitarray

    bits = bitarray(endian="little")
    bits.frombytes(data)
    return BlockMap(size, layout.block_size, bits[: -(-size // layout.block_size)])


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_disk(tmp_path / "disk.raw")


def test_a_bitmap_that_does_not_say_what_was_found_is_not_written(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = bytes(2)  # of the right length, with all data marked empty
    monkeypatch.setattr(codec, "encode", lambda block_map, layout: empty)
    with pytest.raises(FormatError, match="does not read back"):
        make_bitmap(disk)
    assert os.listdir(disk.parent) == ["disk.raw"]


def test_a_full_disk_leaves_the_bitmap_of_before(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the disk's last block, too, is known only then that there is room for it."""
    made = make_bitmap(disk)
    before = {path.name: path.read_bytes() for path in disk.parent.glob("disk.mf*")}
    assert len(before) == 2
    write_byte(disk, 5 * BLOCK)
    sync = os.fsync

    def full(file: int) -> None:
        if ".disk.mf." in os.readlink(f"/proc/self/fd/{file}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReadError, match="No space left"):
        make_bitmap(disk)
    assert {path.name: path.read_bytes() for path in disk.parent.glob("*disk.mf*")} == before
    assert made.bitmap.name in before


def test_a_bitmap_of_which_the_disk_kept_something_else_is_an_error(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def other(source: Path, target: Path) -> None:
        rename(source, target)
        if target.name == "disk.mf":
            target.write_bytes(bytes(target.stat().st_size))

    monkeypatch.setattr(os, "replace", other)
    with pytest.raises(ReadError, match=r"disk\.mf does not read back"):
        make_bitmap(disk)


@pytest.mark.parametrize("kind", ["mf", *export_formats.SUFFIXES])
def test_beside_a_device_nothing_is_written(
    disk: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    real = RawImage.open

    @contextlib.contextmanager
    def as_device(path: Path) -> Iterator[RawImage]:
        with real(path) as image:
            image.is_device = True
            yield image

    def make(output: str | None) -> object:
        if kind == "mf":
            return make_bitmap(disk, BitmapOptions(output=output))
        return export(disk, ExportOptions(format=kind, output=output))

    monkeypatch.setattr(RawImage, "open", as_device)
    with pytest.raises(UsageError, match="is a device; name the") as caught:
        make(None)
    assert caught.value.remedies == ("output",)
    assert os.listdir(disk.parent) == ["disk.raw"]
    assert make(str(disk.with_name("other.map")))
    assert disk.with_name("other.map").exists()


def test_an_image_that_is_written_to_while_its_fingerprint_is_taken_gets_no_bitmap(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sidecar.fingerprint

    def late(*args: Any) -> str:
        write_byte(disk, 5 * BLOCK)
        return real(*args)

    monkeypatch.setattr(sidecar, "fingerprint", late)
    with pytest.raises(ImageChangedError):
        make_bitmap(disk)
    assert os.listdir(disk.parent) == ["disk.raw"]


def test_a_bitmap_that_is_the_same_gets_the_sidecar_of_the_image_as_it_is_now(disk: Path) -> None:
    before = make_bitmap(disk)
    os.utime(disk, (1, 1))
    made = make_bitmap(disk)
    found = sidecar.read_sidecar(made.bitmap)
    assert found is not None
    assert found.identity == Identity.of(disk) != before.sidecar.identity


@pytest.mark.parametrize("kind", ["mf", *export_formats.SUFFIXES])
def test_an_image_that_is_written_to_behind_the_scan_gets_no_map(
    disk: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    real = scan_module.scan

    def scan(*args: Any, **options: Any) -> Any:
        found = real(*args, **options)
        write_byte(disk, 5 * BLOCK)
        return found

    monkeypatch.setattr(scan_module, "scan", scan)
    with pytest.raises(ImageChangedError):
        make_bitmap(disk) if kind == "mf" else export(disk, ExportOptions(format=kind))
    assert os.listdir(disk.parent) == ["disk.raw"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mf", *export_formats.SUFFIXES])
def test_a_result_says_whether_a_program_could_write_meanwhile(disk: Path, kind: str) -> None:
    def result(**options: Any) -> Any:
        if kind == "mf":
            return make_bitmap(disk, BitmapOptions(**options))
        return export(disk, ExportOptions(format=kind, force=True, **options))

    before = result()
    assert before.as_dict()["sharing"] == before.sharing.as_dict()
    with open(disk, "r+b"):
        done = result(force_share=True)
    assert done.as_dict()["sharing"]["writers"] == "allowed"
    assert "open for writing" in str(done)
    assert "open for writing" not in str(before)
