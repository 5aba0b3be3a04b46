"""Ownership: nothing is written over the image, over another kind of file or another image's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imsprep.errors import UsageError
from imsprep.system.ownership import (
    Advice,
    check_apart,
    check_lasting,
    check_owner,
    first_same,
    same_file,
)

WHAT = {"what": "the bitmap", "advice": Advice("rename it", ("output",))}


def test_one_file_is_known_by_any_of_its_names(tmp_path: Path) -> None:
    disk, link, hard = (tmp_path / name for name in ("disk.raw", "link.raw", "hard.raw"))
    disk.write_bytes(b"x")
    link.symlink_to(disk)
    os.link(disk, hard)
    (tmp_path / "other.raw").write_bytes(b"x")
    assert same_file(disk, link)
    assert same_file(disk, hard)
    assert same_file(tmp_path / "." / "gone", tmp_path / "gone")
    assert not same_file(disk, tmp_path / "other.raw")
    assert not same_file(disk, tmp_path / "gone")
    assert first_same(hard, [tmp_path / "other.raw", disk]) == disk
    assert first_same(hard, [tmp_path / "other.raw"]) is None


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_the_image_is_not_replaced_under_another_name(tmp_path: Path, make) -> None:
    disk, place = tmp_path / "disk.raw", tmp_path / "disk.mf"
    disk.write_bytes(b"x")
    check_apart(place, disk, **WHAT)
    make(place, disk)
    with pytest.raises(
        UsageError, match=r"the bitmap .*disk\.mf, which is the image itself; rename"
    ):
        check_apart(place, disk, **WHAT)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, make) -> None:
    make(tmp_path / "disk.mf")
    with pytest.raises(UsageError, match="which is not a regular file; rename it") as caught:
        check_apart(tmp_path / "disk.mf", tmp_path / "disk.raw", **WHAT)
    assert caught.value.remedies == ("output",)


def test_a_file_of_another_image_is_not_replaced_while_that_is_there(tmp_path: Path) -> None:
    place, image = tmp_path / "disk.mf", tmp_path / "disk.img"
    check_owner(place, image, "disk.raw", **WHAT)
    (tmp_path / "disk.raw").touch()
    with pytest.raises(
        UsageError,
        match=r"disk\.mf is the bitmap of .*disk\.raw, and both have the same name; rename it",
    ):
        check_owner(place, image, "disk.raw", **WHAT)
    check_owner(place, tmp_path / "disk.raw", "disk.raw", **WHAT)


def test_nothing_is_kept_in_dev_but_in_its_memory_disk(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ln -s"):
        check_lasting(Path("/dev/sda"))
    check_lasting(Path("/dev/shm/disk.raw"))
    check_lasting(tmp_path / "disk.raw")
