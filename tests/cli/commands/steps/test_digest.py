"""`imsprep digest`: prints, compares, and says by its exit code whether disks are equal."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.image.treedigest import tree_digest
from tests.support.running import Outcome, need

Run = Callable[..., Outcome]
MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    content = bytearray(7 * MIB + 1536)
    content[3 * MIB : 3 * MIB + 5] = b"block"
    content[-3:] = b"end"
    path.write_bytes(content)
    return path


@need("qemu-img", "qemu-nbd")
def test_a_disk_has_one_digest_in_every_format(imsprep: Run, disk: Path) -> None:
    qcow2, packed = disk.with_suffix(".qcow2"), disk.with_suffix(".zvhd2")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk, qcow2], check=True)
    assert imsprep("convert", disk, packed).code == 0
    done = imsprep("digest", disk, qcow2, packed, "--json")
    assert done.code == 0
    assert "differ" not in done.err
    value = json.loads(done.out)
    assert value["equal"]
    assert {d["digest"] for d in value["disks"]} == {tree_digest(disk.read_bytes())}


def test_other_disks_are_told_apart(imsprep: Run, disk: Path) -> None:
    other = disk.with_name("other.raw")
    other.write_bytes(disk.read_bytes()[:-1] + b"x")
    done = imsprep("digest", disk, other)
    assert done.code == 1
    assert done.err.splitlines()[-1] == "imsprep: the disks differ"
    assert done.out == "".join(f"{tree_digest(p.read_bytes())}  {p}\n" for p in (disk, other))


def test_zeros_behind_the_smaller_disk_are_said(imsprep: Run, disk: Path) -> None:
    """As an import of a ZVHD2 makes them, up to a whole GiB."""
    larger = disk.with_name("larger.raw")
    larger.write_bytes(disk.read_bytes() + bytes(MIB))
    done = imsprep("digest", disk, larger, "--json")
    assert done.code == 1
    assert " ".join(done.err.splitlines()[-2:]).endswith(
        "imsprep: the disks differ in size alone: they are equal up to the smallest's end, behind"
        " which are zeros"
    )
    value = json.loads(done.out)
    assert [value["equal"], value["differ_in_size_alone"]] == [False, True]
    assert [one["size"] for one in value["disks"]] == [7 * MIB + 1536, 8 * MIB + 1536]
    larger.write_bytes(disk.read_bytes() + b"x")
    assert "in size alone" not in imsprep("digest", disk, larger).err


def test_the_progress_of_several_files_names_them(imsprep: Run, disk: Path) -> None:
    other = disk.with_name("other.raw")
    other.write_bytes(disk.read_bytes())
    done = imsprep("digest", disk, other, "--progress", "json")
    events = [json.loads(line) for line in done.err.splitlines()]
    assert {event["image"] for event in events} == {str(disk), str(other)}


def test_the_plain_sha256_is_that_of_the_file(imsprep: Run, disk: Path) -> None:
    done = imsprep("digest", disk, "--sha256")
    assert (done.code, done.out.split()[0]) == (0, hashlib.sha256(disk.read_bytes()).hexdigest())


def test_what_is_no_disk_is_refused_in_a_sentence(imsprep: Run, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04" + bytes(600))
    assert imsprep("digest", tmp_path / "x.zip").code in (1, 2)
    assert imsprep("digest", tmp_path / "missing").code == 3


def test_a_name_commands_no_terminal_and_adds_no_line(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    odd = disk.rename(tmp_path / "a\x1b[31m\u202e\nb.raw")
    cloud = ("--to", f"local:{tmp_path}/cloud")
    for words in (("digest", odd), ("upload", odd, *cloud), ("check", odd)):
        said = imsprep(*words)
        lines = (said.out + said.err).splitlines()
        assert all(line.isprintable() for line in lines), words
        assert any(r"a\x1b[31m\u202e\nb.raw" in line for line in lines), words
