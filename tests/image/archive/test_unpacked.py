"""A compressed image is checked, digested and imported as the disk in it, and leaves nothing."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from imsprep.errors import FormatError, ReadError
from imsprep.image.archive import unpacked
from imsprep.image.archive.unpacked import open_unpacked
from imsprep.image.file import RawImage
from imsprep.units import MIB
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]
SIZE = 24 * MIB
REQUEST = (
    "--name", "web01", "--os-version", "Debian GNU/Linux 12.0.0 64bit", "--min-disk", "40",
)  # fmt: skip


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    random = np.random.default_rng(8)
    with open(path, "wb") as file:
        file.truncate(SIZE)
        for offset, length in ((MIB, 3 * MIB), (20 * MIB, 5), (SIZE - 512, 512)):
            os.pwrite(file.fileno(), random.bytes(length), offset)
    subprocess.run(["sfdisk", "-q", path], input=b"label: dos\nstart=2048, bootable\n", check=True)
    return path


OPTIONS = {"qcow2": [], "vpc": ["-o", "force_size=on"]}


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.mark.slow
@need("zstd", "sfdisk")
def test_every_command_takes_the_disk_in_it(
    raw: Path, scratch: Path, imsprep: Imsprep, tmp_path: Path
) -> None:
    packed = tmp_path / "disk.raw.zst"
    subprocess.run(["zstd", "-q", raw, "-o", packed], check=True)
    seen = imsprep("info", packed, "--json").json
    assert (seen["format"], seen["virtual_size"]) == ("zstd", SIZE)
    mine, its = (imsprep("digest", path).out.split()[0] for path in (packed, raw))
    assert mine == its
    findings = imsprep("check", packed, "--json").json["images"][0]["findings"]
    assert {f["rule"]: f["severity"] for f in findings}["IMS102"] == "error", "as the file to send"
    done = imsprep("import", packed, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--json")
    assert done.code == 0, done.err
    (sent,) = (tmp_path / "cloud").glob("**/*.zvhd2")
    assert imsprep("digest", sent).out.split()[0] == its
    assert left(scratch) == set()


@pytest.mark.slow
@need("qemu-img", "qemu-nbd", "sfdisk")
def test_an_image_of_another_format_in_it_is_read_too(
    raw: Path, scratch: Path, imsprep: Imsprep, tmp_path: Path
) -> None:
    for format_ in ("qcow2", "vpc"):
        inner, packed = tmp_path / f"disk.{format_}", tmp_path / f"disk.{format_}.xz"
        subprocess.run(
            ["qemu-img", "convert", "-O", format_, *OPTIONS[format_], raw, inner], check=True
        )
        packed.write_bytes(lzma.compress(inner.read_bytes(), preset=0))
        inner.unlink()
        assert imsprep("convert", packed, tmp_path / "out.raw", "--force").code == 0
        assert (tmp_path / "out.raw").read_bytes() == raw.read_bytes()
        assert imsprep("info", packed, "--json").json["virtual_size"] == SIZE
    packed.write_bytes(lzma.compress(lzma.decompress(packed.read_bytes())[:-MIB], preset=0))
    outcome = imsprep("check", packed)
    assert outcome.code == 1
    assert "xz -dk" in outcome.out + outcome.err
    assert left(scratch) == set()


@need("sfdisk")
def test_what_is_unpacked_reads_as_the_disk(raw: Path, scratch: Path, tmp_path: Path) -> None:
    packed = tmp_path / "disk.gz"
    packed.write_bytes(gzip.compress(raw.read_bytes(), 1))
    with RawImage.open(packed) as image, open_unpacked(image, "gzip") as content:
        assert content.size == SIZE
        buffer = bytearray(512)
        content.pread_into(SIZE - 512, memoryview(buffer))
        assert buffer == raw.read_bytes()[-512:]
        extents = list(content.extents())
        assert sum(length for _, length, _ in extents) == SIZE
        assert sum(length for _, length, is_data in extents if is_data) < 16 * MIB
    assert left(scratch) == set()


def test_where_there_is_no_room_it_says_so(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "disk.gz"
    packed.write_bytes(gzip.compress(bytes(3 * MIB) + b"data" * MIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=400 * 1024))
    with RawImage.open(packed) as image:
        monkeypatch.setattr(unpacked, "LOOKS", 1)
        with pytest.raises(ReadError, match="set TMPDIR"), open_unpacked(image, "gzip"):
            pass
        assert left(scratch) == set()


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_stream_is_refused(
    damage: str, scratch: Path, imsprep: Imsprep, tmp_path: Path
) -> None:
    packed = tmp_path / "disk.raw.gz"
    data = bytearray(gzip.compress(np.random.default_rng(1).bytes(4 * MIB)))
    if damage == "cut":
        del data[-9:]
    else:
        data[2 * MIB] ^= 4
    packed.write_bytes(data)
    for words in (["info"], ["digest"], ["import", *REQUEST, "--to", f"local:{tmp_path}/cloud"]):
        outcome = imsprep(words[0], packed, *words[1:])
        assert outcome.code == 1, outcome
        assert "compare its checksum" in outcome.err
    assert imsprep("check", packed).code == 1
    with RawImage.open(packed) as image, pytest.raises(FormatError):
        open_unpacked(image, "gzip").__enter__()
    assert left(scratch) == set()
    assert not (tmp_path / "cloud" / "images").exists()
