"""Maps are written where nothing of value is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.image.raw_disk import make_runs
from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_runs(tmp_path / "disk.raw")


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
