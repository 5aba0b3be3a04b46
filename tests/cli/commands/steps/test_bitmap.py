"""`imsprep bitmap` and `imsprep verify`: the pair on disk, and the proof."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.bitmap import sidecar
from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.verify import prove
from imsprep.bitmap.write import make_bitmap
from imsprep.errors import FormatError
from imsprep.options import VerifyOptions
from tests.support.image.raw_disk import BLOCK, DATA, make_disk, write_byte
from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_disk(tmp_path / "disk.raw")


def test_the_pair_is_written_and_proved(imsprep: Run, disk: Path) -> None:
    made = imsprep("bitmap", disk, "--json")
    assert made.code == 0, made.err
    packed = disk.with_suffix(".mf").read_bytes()
    assert packed == bytes([0b0000_1001, 0b010])
    noted = json.loads(disk.with_name("disk.mf.json").read_text())
    assert noted["sha256"] == hashlib.sha256(packed).hexdigest()
    assert (noted["image"], noted["size"]) == ("disk.raw", 10 * BLOCK + 512)
    assert noted["identity"]["mtime_ns"] == disk.stat().st_mtime_ns
    assert (noted["blocks"], noted["allocated"], noted["data_bytes"]) == (11, 3, 3 * BLOCK)
    assert made.json["bitmap"] == str(disk.with_suffix(".mf"))
    proof = imsprep("verify", disk)
    assert proof.code == 0
    assert "proved: all 8 blocks of 2 MiB that are marked empty are zeros\n" in proof.out
    assert "coverage: holes " in proof.out
    assert sum(made.json["coverage"].values()) == 10 * BLOCK + 512


def test_the_text_names_the_file_and_the_share(imsprep: Run, disk: Path) -> None:
    said = imsprep("bitmap", disk).out
    assert "disk.mf: 3 of 11 blocks of 2 MiB hold data, 6 MiB of 20 MiB" in said


def test_one_block_is_told_as_one(imsprep: Run, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(BLOCK))
    assert (
        "disk.mf: 0 of 1 block of 2 MiB holds data, 0 bytes of 2 MiB" in imsprep("bitmap", path).out
    )
    assert (
        "proved: the 1 block of 2 MiB that is marked empty is zeros\n"
        in imsprep("verify", path).out
    )
    path.write_bytes(b"x" * BLOCK)
    assert "error: 1 of 1 block of 2 MiB marked empty contains data" in imsprep("verify", path).out


@pytest.mark.parametrize("block", range(11))
def test_a_single_flipped_bit_is_found_either_way(imsprep: Run, disk: Path, block: int) -> None:
    imsprep("bitmap", disk)
    bitmap = disk.with_suffix(".mf")
    packed = bytearray(bitmap.read_bytes())
    packed[block // 8] ^= 1 << block % 8
    bitmap.write_bytes(packed)
    disk.with_name("disk.mf.json").unlink()
    proof = imsprep("verify", disk, "--json")
    at = [{"offset": block * BLOCK, "length": 512 if block == 10 else BLOCK}]
    if block in DATA:
        assert proof.code == 1
        assert (proof.json["data_marked_empty"], proof.json["empty_marked_data"]) == (at, [])
        assert "data that would be lost" in imsprep("verify", disk).out
    else:
        assert proof.code == 0
        assert (proof.json["data_marked_empty"], proof.json["empty_marked_data"]) == ([], at)
        assert "note: 1 empty block marked as data, which" in imsprep("verify", disk).out


@pytest.mark.slow
@given(st.data())
def test_no_data_is_lost_whatever_the_image_and_a_lost_block_is_always_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("pair") / "disk.raw"
    size = data.draw(st.integers(1, 5 * BLOCK))
    offsets = data.draw(st.lists(st.integers(0, size - 1), max_size=5))
    with path.open("wb") as file:
        file.truncate(size)
        for offset in offsets:
            os.pwrite(file.fileno(), b"\x80", offset)
    made = make_bitmap(path)
    assert prove(path).holds
    packed = bytearray(made.bitmap.read_bytes())
    for offset in offsets:
        assert packed[offset // BLOCK // 8] >> offset // BLOCK % 8 & 1
    block = data.draw(st.integers(0, (size - 1) // BLOCK))
    packed[block // 8] ^= 1 << block % 8
    made.bitmap.write_bytes(packed)
    sidecar.sidecar_path(made.bitmap).unlink()
    proof = prove(path)
    holds_data = block in {offset // BLOCK for offset in offsets}
    assert proof.holds is not holds_data
    assert (proof.lost.allocated, proof.wasted.allocated) == (holds_data, not holds_data)


def keep_time(path: Path, change: Callable[[Path], Any]) -> None:
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: write_byte(p, 4 * BLOCK), "before the image was last written"),
        (lambda p: os.utime(p, ns=(1, 1)), "before the image was last written"),
        (lambda p: os.truncate(p, 10 * BLOCK), "made of an image of"),
        (lambda p: keep_time(p, lambda q: write_byte(q, 3 * BLOCK)), "different content"),
        (lambda p: write_byte(p.with_suffix(".mf"), 0), "not the file that its sidecar"),
    ],
)
def test_a_stale_or_foreign_bitmap_is_refused(
    imsprep: Run, disk: Path, change: Callable[[Path], Any], words: str
) -> None:
    imsprep("bitmap", disk)
    change(disk)
    proof = imsprep("verify", disk)
    assert proof.code == 1
    assert words in proof.out + proof.err


def test_a_copy_that_kept_its_time_is_still_the_image(imsprep: Run, disk: Path) -> None:
    imsprep("bitmap", disk)
    there = disk.parent / "there"
    there.mkdir()
    for name in ("disk.raw", "disk.mf", "disk.mf.json"):
        shutil.copy2(disk.parent / name, there / name)
    assert imsprep("verify", there / "disk.raw").code == 0


def test_a_bitmap_of_the_wrong_length_is_refused(imsprep: Run, disk: Path) -> None:
    disk.with_suffix(".mf").write_bytes(b"\x09")
    proof = imsprep("verify", disk)
    assert proof.code == 1
    assert "a bitmap of 11 blocks has 2 bytes, this one 1" in proof.err


def test_a_missing_bitmap_is_exit_code_3(imsprep: Run, disk: Path) -> None:
    proof = imsprep("verify", disk)
    assert proof.code == 3
    assert "imsprep bitmap" in proof.err


@pytest.mark.parametrize("there", [False, True])
def test_a_bitmap_is_not_held_against_what_is_no_raw_image(
    imsprep: Run, disk: Path, there: bool
) -> None:
    imsprep("bitmap", disk)
    disk.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(4096))
    if not there:
        disk.with_suffix(".mf").unlink()
    proof = imsprep("verify", disk)
    assert (proof.code, "disk.raw is qcow2, and only a RAW" in proof.err) == (1, True)


@pytest.mark.parametrize("beside", [False, True])
def test_a_bitmap_of_another_tool_is_not_replaced_without_force(
    imsprep: Run, disk: Path, beside: bool
) -> None:
    bitmap = disk.with_suffix(".mf")
    if beside:  # the other tool ran after imsprep
        imsprep("bitmap", disk)
    bitmap.write_bytes(b"the vendor's")
    done = imsprep("bitmap", disk)
    assert done.code == 2
    assert "was not made by imsprep" in done.err
    assert bitmap.read_bytes() == b"the vendor's"
    assert imsprep("bitmap", disk, "--force").code == 0
    assert imsprep("verify", disk).code == 0


def test_two_images_of_one_base_name_do_not_take_each_other_s_bitmap(
    imsprep: Run, disk: Path
) -> None:
    imsprep("bitmap", disk)
    other = disk.with_suffix(".img")
    other.write_bytes(b"z")
    done = imsprep("bitmap", other)
    assert done.code == 2
    assert "disk.raw" in done.err
    disk.unlink()
    assert imsprep("bitmap", other).code == 0


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_the_image_itself_is_never_replaced(
    imsprep: Run, disk: Path, force: tuple[str, ...]
) -> None:
    image = disk.with_suffix(".mf")
    disk.rename(image)
    before = image.read_bytes()
    done = imsprep("bitmap", image, *force)
    assert done.code == 2
    assert "the image itself" in done.err
    link = image.with_name("link.mf")
    link.symlink_to(image)
    assert imsprep("bitmap", image, *force, "-o", link).code == 2
    assert image.read_bytes() == before
    assert imsprep("bitmap", image, "-o", image.with_name("other.mf")).code == 0


def test_holes_are_read_when_that_is_wanted_and_the_answer_is_the_same(
    imsprep: Run, disk: Path
) -> None:
    trusted = imsprep("bitmap", disk, "--holes", "trust", "--json").json
    read = imsprep("bitmap", disk, "--holes", "verify", "--jobs", "1", "--json").json
    assert (trusted["sha256"], read["coverage"]["holes"]) == (read["sha256"], 0)
    proof = imsprep("verify", disk, "--holes", "verify", "--json").json
    assert proof["holds"]
    assert proof["coverage"]["holes"] == 0


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"QFI\xfb\0\0\0\3" + bytes(5000), 1, "qcow2"),
        (b"", 1, "empty"),
    ],
)
def test_what_is_no_raw_image_gets_no_bitmap(
    imsprep: Run, tmp_path: Path, content: bytes, code: int, words: str
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(content)
    done = imsprep("bitmap", path)
    assert done.code == code
    assert words in done.err
    assert not path.with_suffix(".mf").exists()


@pytest.mark.parametrize("size", ["0", "1000", "-512"])
def test_a_block_size_that_no_disk_has_is_wrong_usage(imsprep: Run, disk: Path, size: str) -> None:
    assert imsprep("bitmap", disk, f"--block-size={size}").code == 2


def test_another_block_size_is_noted_and_used_by_verify(imsprep: Run, disk: Path) -> None:
    imsprep("bitmap", disk, "--block-size", "64k")
    assert len(disk.with_suffix(".mf").read_bytes()) == (10 * 32 + 1 + 7) // 8
    assert "64 KiB" in imsprep("verify", disk).out


def test_an_image_that_is_called_as_a_command_is_reached_by_its_path(
    imsprep: Run, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(disk.parent)
    disk.rename("make")
    assert imsprep("bitmap", "./make").code == 0
    assert Path("make.mf").exists()


def test_help_shows_the_main_form_with_its_options(imsprep: Run) -> None:
    said = imsprep("bitmap", "--help").out
    assert "Usage: imsprep bitmap [OPTIONS] IMAGE" in said
    assert "--block-size" in said
    assert "Example: imsprep bitmap disk.raw" in said


def test_a_layout_that_does_not_fit_is_a_format_error(disk: Path, tmp_path: Path) -> None:
    made = make_bitmap(disk)
    with pytest.raises(FormatError, match="not a bitmap of this image"):
        prove(disk, VerifyOptions(bitmap=made.bitmap, layout=BitmapLayout(block_size=512)))


LAYOUT = {
    "schema": 1,
    "name": "text",
    "block_size": 512,
    "header": [{"kind": "constant", "data": {"text": "blocks "}},
               {"kind": "number", "what": "blocks", "form": "decimal", "width": 0},
               {"kind": "constant", "data": {"text": "\n"}}],
    "body": {"kind": "entries", "each": "block",
             "entry": [{"kind": "number", "what": "start", "form": "decimal", "width": 0},
                       {"kind": "constant", "data": {"text": "\n"}}]},
}  # fmt: skip


def test_a_layout_from_a_file_is_written_noted_and_proved(imsprep: Run, disk: Path) -> None:
    path = disk.with_name("layout.json")
    path.write_text(json.dumps(LAYOUT))
    assert imsprep("bitmap", disk, "--layout", path).code == 0
    bitmap = disk.with_suffix(".mf")
    assert bitmap.read_text() == "blocks 40961\n4095\n16383\n40959\n"
    assert imsprep("verify", disk).code == 0  # the sidecar has the layout
    disk.with_name("disk.mf.json").unlink()
    assert imsprep("verify", disk).code == 1
    assert imsprep("verify", disk, "--layout", path).code == 0
    bitmap.write_text("blocks 40961\n4095\n40959\n")
    proof = imsprep("verify", disk, "--layout", path, "--json")
    assert proof.json["data_marked_empty"] == [{"offset": 16383 * 512, "length": 512}]


def test_a_layout_that_does_not_exist_is_wrong_usage(imsprep: Run, disk: Path) -> None:
    done = imsprep("bitmap", disk, "--layout", "none.json")
    assert done.code == 2
    assert "neither a file nor one of zvhd2" in done.err
