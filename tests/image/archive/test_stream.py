"""A compressed RAW disk is unpacked in one pass, to its end, or refused and nothing is left."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard

from imsprep.units import KIB, MIB
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]

TIME = ("--timestamp", "1700000000")
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
}


def disk(size: int = 9 * MIB + 3 * 512) -> bytes:
    random = np.random.default_rng(4)
    data = bytearray(size)
    data[: 64 * KIB] = random.bytes(64 * KIB)
    data[5 * MIB : 6 * MIB] = b"some text, " * (MIB // 11) + b"12345"[: MIB % 11]
    data[-512:] = random.bytes(512)
    return bytes(data)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACK)
def test_it_becomes_the_same_container_and_the_same_disk(
    suffix: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    raw, packed = tmp_path / "disk.raw", tmp_path / f"disk.raw.{suffix}"
    raw.write_bytes(disk())
    packed.write_bytes(PACK[suffix](disk()))
    outcome = imsprep("convert", packed, tmp_path / "a.zvhd2", *TIME, "--jobs", 3, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["disk_size"] == len(disk())
    assert imsprep("convert", raw, tmp_path / "b.zvhd2", *TIME).code == 0
    assert (tmp_path / "a.zvhd2").read_bytes() == (tmp_path / "b.zvhd2").read_bytes()
    assert imsprep("convert", packed, tmp_path / "back.raw").code == 0
    assert (tmp_path / "back.raw").read_bytes() == disk()
    assert (tmp_path / "back.raw").stat().st_blocks * 512 < 2 * MIB


@pytest.mark.parametrize("block_size", ["1m", "8m"])
def test_blocks_of_another_size(block_size: str, imsprep: Imsprep, tmp_path: Path) -> None:
    packed = tmp_path / "disk.gz"
    packed.write_bytes(gzip.compress(disk()))
    target = tmp_path / "a.zvhd2"
    assert imsprep("convert", packed, target, "--block-size", block_size).code == 0
    assert imsprep("convert", target, tmp_path / "back.raw").code == 0
    assert (tmp_path / "back.raw").read_bytes() == disk()


@pytest.mark.slow
@need("gzip", "bzip2", "xz", "zstd", "lz4")
@pytest.mark.parametrize(
    ("program", "suffix"),
    [("gzip -9", "gz"), ("bzip2", "bz2"), ("xz -6", "xz"), ("xz --check=sha256", "xz"),
     ("zstd --long=27", "zst"), ("lz4 -9", "lz4")],
)  # fmt: skip
def test_what_the_programs_write_is_read(
    program: str, suffix: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    packed = tmp_path / f"disk.{suffix}"
    done = subprocess.run([*program.split(), "-c"], input=disk(), capture_output=True, check=True)
    packed.write_bytes(done.stdout)
    assert imsprep("convert", packed, tmp_path / "back.raw").code == 0
    assert (tmp_path / "back.raw").read_bytes() == disk()


@pytest.mark.parametrize("suffix", PACK)
def test_streams_behind_each_other_are_one_disk(
    suffix: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    packed, whole = tmp_path / "disk.img", disk()
    parts = (whole[:70_000], whole[70_000 : 4 * MIB], whole[4 * MIB :])
    packed.write_bytes(b"".join(PACK[suffix](part) for part in parts))
    assert imsprep("convert", packed, tmp_path / "back.raw").code == 0
    assert (tmp_path / "back.raw").read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACK)
def test_a_stream_that_is_cut_short_or_damaged_leaves_nothing(
    suffix: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    packed = tmp_path / f"disk.{suffix}"
    data = PACK[suffix](disk())
    broken = bytearray(data)
    broken[len(data) // 2] ^= 0x55
    for wrong in (data[:-1], data[: len(data) // 2], bytes(broken), data + b"garbage"):
        packed.write_bytes(wrong)
        for target in ("out.raw", "out.zvhd2"):
            outcome = imsprep("convert", packed, tmp_path / target)
            assert outcome.code == 1, outcome.err
            assert "cut short" in outcome.err or "does not unpack" in outcome.err
            assert left(tmp_path) == {packed.name}


def test_the_size_in_the_trailer_is_not_believed(imsprep: Imsprep, tmp_path: Path) -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(disk())
    (tmp_path / "disk.zst").write_bytes(frame)
    assert imsprep("convert", tmp_path / "disk.zst", tmp_path / "a.raw").code == 0
    assert (tmp_path / "a.raw").read_bytes() == disk()
    lying = bytearray(gzip.compress(disk()))
    lying[-4:] = (512).to_bytes(4, "little")
    (tmp_path / "disk.gz").write_bytes(lying)
    outcome = imsprep("convert", tmp_path / "disk.gz", tmp_path / "b.raw")
    assert outcome.code == 1
    assert not (tmp_path / "b.raw").exists()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACK)
def test_a_bomb_ends_at_the_limit(
    suffix: str, imsprep: Imsprep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.image.formats.MAX_SIZE", 16 * MIB)
    packed = tmp_path / "bomb"
    packed.write_bytes(PACK[suffix](bytes(17 * MIB)))
    outcome = imsprep("convert", packed, tmp_path / "out.raw")
    assert outcome.code == 1
    assert "unpacks to more than 16 MiB" in outcome.err
    packed.write_bytes(PACK[suffix](bytes(16 * MIB - 512) + b"x" * 512))
    assert imsprep("convert", packed, tmp_path / "out.raw").code == 0


def test_what_is_inside_must_be_raw(imsprep: Imsprep, tmp_path: Path) -> None:
    packed = tmp_path / "disk.gz"
    footer = b"conectix" + bytes(504)
    for said, helps, data in (
        ("qcow2", "gzip -dk", b"QFI\xfb\0\0\0\3".ljust(MIB, b"\1")),
        ("vhd-fixed", "gzip -dk", disk() + footer),
        ("tar archive", "tar -xf", bytes(257).replace(b"\0", b"a") + b"ustar\x0000" + bytes(MIB)),
        ("text file", "gzip -dk", b"d41d8cd98f00b204  disk.img\n"),
    ):
        packed.write_bytes(gzip.compress(data))
        outcome = imsprep("convert", packed, tmp_path / "out.zvhd2")
        assert outcome.code == 1
        assert said in outcome.err
        assert helps in outcome.err
        assert left(tmp_path) == {"disk.gz"}


def test_nothing_inside_is_no_disk(imsprep: Imsprep, tmp_path: Path) -> None:
    packed = tmp_path / "disk.gz"
    packed.write_bytes(gzip.compress(b""))
    for target in ("out.raw", "out.zvhd2"):
        outcome = imsprep("convert", packed, tmp_path / target)
        assert outcome.code == 1
        assert "unpacks to nothing" in outcome.err
