"""Maps are written where nothing of value is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import Outcome

Run = Callable[..., Outcome]


RUNS = ((0, 4096), (40960, 12288), (1 << 20, 9000), (5 << 20, 700))  # offset and bytes of data


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A sparse disk with a short last block that holds data."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        for offset, length in RUNS:
            os.pwrite(file.fileno(), bytes([7]) * length, offset)
    return path


def test_a_file_that_is_there_is_kept(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    (tmp_path / "disk.bmap").write_text("theirs")
    refused = imsprep("bitmap", disk, "--format", "bmap")
    assert refused.code == 2
    assert "disk.bmap exists" in refused.err
    assert (tmp_path / "disk.bmap").read_text() == "theirs"
    assert imsprep("bitmap", disk, "--format", "bmap", "--force").code == 0
    assert (tmp_path / "disk.bmap").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize("format_", ["bmap", "qemu-map"])
def test_the_image_itself_is_never_written_over(imsprep: Run, disk: Path, format_: str) -> None:
    before = disk.read_bytes()
    done = imsprep("bitmap", disk, "--format", format_, "-o", disk, "--force")
    assert done.code == 2
    assert disk.read_bytes() == before
