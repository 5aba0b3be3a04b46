"""`imsprep verify`: whether a bitmap marks data as empty, by its exit code and in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def disk(tmp_path: Path, imsprep: Run) -> Path:
    """A disk of 8 MiB with data at its start, and its bitmap."""
    path = tmp_path / "disk.raw"
    path.write_bytes(b"data" * 1024 + bytes((8 << 20) - 4096))
    assert imsprep("bitmap", path).code == 0
    return path


def test_a_bitmap_that_holds_is_exit_code_0(imsprep: Run, disk: Path) -> None:
    value = imsprep("verify", disk, "--json").json
    assert value["schema"] == "imsprep.verify/2"
    done = imsprep("verify", disk, "-q")
    assert (done.code, done.err) == (0, "")


def test_data_that_is_marked_empty_is_exit_code_1(imsprep: Run, disk: Path) -> None:
    bitmap = disk.with_suffix(".mf")
    bitmap.write_bytes(bytes(len(bitmap.read_bytes())))
    done = imsprep("verify", disk, "--layout", "zvhd2")
    assert done.code == 1


def test_a_bitmap_is_named_and_one_that_is_missing_cannot_be_read(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    moved = disk.with_suffix(".mf").rename(tmp_path / "other.mf")
    assert imsprep("verify", disk, "--bitmap", moved, "--layout", "zvhd2").code == 0
    done = imsprep("verify", disk)
    assert done.code == 3
    assert "disk.mf" in done.err
