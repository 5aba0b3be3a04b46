"""Maps for other tools, judged by those tools."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imsprep.bitmap import export_formats
from imsprep.bitmap.export_formats import bmap
from imsprep.image.blockmap import BlockMap
from tests.support.image.raw_disk import RUNS, make_runs
from tests.support.running import Outcome, need

Run = Callable[..., Outcome]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_runs(tmp_path / "disk.raw")


@need("bmaptool")
def test_bmaptool_copies_by_it(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    with disk.open("r+b") as file:  # written zeros: no data, and no hole
        os.pwrite(file.fileno(), bytes(1 << 20), 2 << 20)
    assert imsprep("bitmap", disk, "--format", "bmap").code == 0
    copy = tmp_path / "copy.raw"
    command = ["bmaptool", "copy", "--bmap", tmp_path / "disk.bmap", disk, copy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert copy.read_bytes() == disk.read_bytes()
    assert copy.stat().st_blocks * 512 < 64 << 10


@need("bmaptool")
@pytest.mark.parametrize("offset", [offset for offset, _ in RUNS])
def test_bmaptool_notices_other_data(imsprep: Run, disk: Path, tmp_path: Path, offset: int) -> None:
    assert imsprep("bitmap", disk, "--format", "bmap").code == 0
    with disk.open("r+b") as file:
        os.pwrite(file.fileno(), b"\x08", offset)
    command = ["bmaptool", "copy", "--bmap", tmp_path / "disk.bmap", disk, tmp_path / "copy.raw"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "checksum" in done.stderr


@need("qemu-img")
def test_it_says_what_qemu_img_says(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    os.truncate(disk, (5 << 20) + 4096)  # whole sectors, as every disk has
    assert imsprep("bitmap", disk, "--format", "qemu-map").code == 0
    command = ["qemu-img", "map", "--output=json", "-f", "raw", disk]
    theirs = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    ours = json.loads((tmp_path / "disk.map.json").read_text())
    assert ours == theirs


def test_written_zeros_are_zeros(imsprep: Run, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"x" * 4096 + bytes(8192))
    assert imsprep("bitmap", disk, "--format", "qemu-map", "--json").json["data_bytes"] == 4096
    extents = json.loads((tmp_path / "disk.map.json").read_text())
    assert [(e["start"], e["length"], e["data"]) for e in extents] == [
        (0, 4096, True), (4096, 8192, False),
    ]  # fmt: skip


def test_each_format_is_what_its_name_says(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    assert imsprep("bitmap", disk, "--format", "bmap").code == 0
    assert imsprep("bitmap", disk, "--format", "qemu-map").code == 0
    assert (tmp_path / "disk.bmap").read_text().startswith("<?xml")
    found = json.loads((tmp_path / "disk.map.json").read_text())
    assert sum(extent["length"] for extent in found) == disk.stat().st_size


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 4095))
@example([True] * 7 + [False, True], 5)
@example([False, *[True] * 4, False, True, True, False, True], 0)
def test_the_ranges_of_a_bmap_are_the_runs_of_data(flags: list[bool], short: int) -> None:
    """Each is named by its first block and its last, and has the sum of its bytes alone."""
    size = len(flags) * 4096 - short
    data = bytes(n // 4096 + 1 for n in range(size))
    block_map = BlockMap.from_flags(size, 4096, np.array(flags))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_formats, "STEP", 3 * 4096)  # runs are read in several steps
        text = bmap(block_map, lambda offset, length: data[offset : offset + length]).decode()
    named = []
    for digest, first, last in re.findall(r'chksum="([0-9a-f]{64})"> (\d+)(?:-(\d+))? <', text):
        start, stop = int(first), int(last or first) + 1
        assert digest == hashlib.sha256(data[start * 4096 : stop * 4096]).hexdigest()
        named.append((start, stop))
    assert [n for start, stop in named for n in range(start, stop)] == [
        n for n, flag in enumerate(flags) if flag
    ]
    assert all(before[1] < behind[0] for before, behind in pairwise(named))
    own = re.search(r"<BmapFileChecksum> ([0-9a-f]{64}) <", text)
    assert own is not None
    assert hashlib.sha256(text.replace(own[1], "0" * 64).encode()).hexdigest() == own[1]
