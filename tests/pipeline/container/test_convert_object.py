"""Convert into a bucket: the object is the file that `convert` writes, and no file is made here."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imsprep as package
from imsprep.store.directory import DirectoryStore
from tests.support.image.treedigest import tree_digest
from tests.support.running import need

MIB = 1 << 20
DATE = 1_700_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    rng = random.Random(4)
    with path.open("wb") as file:
        file.truncate(40 * MIB + 512)
        for block in (1, 2, 3, 4, 9, 12, 13):
            file.seek(block * 2 * MIB)
            file.write(rng.randbytes(2 * MIB))
    os.utime(path, (DATE, DATE))
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_object_is_the_file_of_the_image_s_date(
    disk: Path, tmp_path: Path, imsprep: Callable[..., Any]
) -> None:
    done = imsprep("convert", disk, f"local:{tmp_path / 'cloud'}", "--json")
    assert done.code == 0
    assert names(tmp_path) - {"disk.raw.upload.lock"} == {"disk.raw", "cloud"}
    assert imsprep("convert", disk, tmp_path / "d.zvhd2", "--timestamp", DATE).code == 0
    made = tmp_path / "cloud" / "images" / "disk.zvhd2"
    assert made.read_bytes() == (tmp_path / "d.zvhd2").read_bytes()
    said = done.json
    assert said["target"] == "images:disk.zvhd2"
    assert said["sent"] == said["target_size"] == made.stat().st_size
    assert said["digest"] == tree_digest(disk.read_bytes())
    assert (said["stored_blocks"], said["disk_size"]) == (7, 40 * MIB + 512)
    packed = imsprep("convert", disk, tmp_path / "e.zvhd2", "--json").json
    assert {name: said[name] for name in ("packed_bytes", "ratio", "data_bytes", "blocks")} == {
        name: packed[name] for name in ("packed_bytes", "ratio", "data_bytes", "blocks")
    }


def test_the_same_again_sends_nothing_and_says_so(
    disk: Path, tmp_path: Path, imsprep: Callable[..., Any]
) -> None:
    target = f"local:{tmp_path / 'cloud'}"
    imsprep("convert", disk, target)
    done = imsprep("convert", disk, target)
    assert done.out.startswith("images:disk.zvhd2: is there already, the same zvhd2, a disk of")


def test_another_s_object_is_replaced_only_by_force(
    disk: Path, tmp_path: Path, imsprep: Callable[..., Any]
) -> None:
    store, target = DirectoryStore(tmp_path / "cloud" / "images"), f"local:{tmp_path / 'cloud'}"
    store.put("x/other", b"theirs")
    refused = imsprep("convert", disk, target, "--key", "x/other")
    assert refused.code != 0
    assert store.read("x/other", 0, 9) == b"theirs"
    assert imsprep("convert", disk, target, "--key", "x/other", "--force").code == 0
    found = store.head("x/other")
    assert found is not None
    assert found.size > 14 * MIB


def test_what_cannot_be_streamed_is_said_with_what_does_it(
    disk: Path, tmp_path: Path, imsprep: Callable[..., Any]
) -> None:
    target, packed = f"local:{tmp_path / 'cloud'}", tmp_path / "packed.zvhd2"
    imsprep("convert", disk, packed)
    again = imsprep("convert", packed, target)
    assert (again.code, "imsprep upload" in again.err) == (2, True)
    raw = imsprep("convert", disk, target, "--to-format", "raw")
    assert (raw.code, "imsprep upload" in raw.err) == (2, True)
    nowhere = imsprep("convert", disk, "obs:my-bucket")
    assert (nowhere.code, "--region" in nowhere.err) == (2, True)
    assert not (tmp_path / "cloud").exists()


def test_a_file_may_have_the_name_of_a_bucket(
    disk: Path, tmp_path: Path, imsprep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert imsprep("convert", disk, "./obs:x.zvhd2").code == 0
    assert (tmp_path / "obs:x.zvhd2").stat().st_size > 14 * MIB


def test_a_path_of_the_library_is_never_a_bucket(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(package.convert(disk, Path("local:x.zvhd2")), package.Converted)
    made = package.convert(disk, f"local:{tmp_path / 'cloud'}", key="k")
    assert isinstance(made, package.ConvertedObject)
    assert made.uploaded.key == "k"


@need("qemu-img", "qemu-nbd")
def test_what_qemu_reads_is_streamed_too(
    disk: Path, tmp_path: Path, imsprep: Callable[..., Any]
) -> None:
    source = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk, source], check=True)
    done = imsprep("convert", source, f"local:{tmp_path / 'cloud'}", "--json")
    assert (done.code, done.json["source_format"]) == (0, "qcow2")
    assert done.json["digest"] == tree_digest(disk.read_bytes())


def test_a_run_that_was_broken_off_continues(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"local:{tmp_path / 'cloud'}"

    class BrokenError(BaseException):
        pass

    def broken(*arguments: object) -> str:
        raise BrokenError

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, "complete", broken)
        with pytest.raises(BrokenError):
            package.convert(disk, target)
    assert (tmp_path / "disk.raw.upload.json").exists()
    done = package.convert(disk, target).uploaded
    assert (done.restarted, done.reused > 5 * MIB) == (None, True)
    assert done.sent + done.reused == done.size
