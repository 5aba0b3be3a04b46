"""Estimates: samples that stand for an image."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.options import EstimateOptions
from imsprep.scan.bench import scan_estimate
from imsprep.units import GIB, KIB, MIB, TIB
from tests.support.image.raw_disk import write_disk
from tests.support.measured import ticking
from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.mark.usefixtures("cold")
def test_a_small_image_is_measured_as_a_whole(tmp_path: Path) -> None:
    image = write_disk(
        tmp_path / "disk.raw", GIB, [(0, b"x" * 4096), (64 * MIB, bytes(16 * MIB)), (512 * MIB, b"x" * 512)]
    )  # fmt: skip
    before = image.stat()
    made = scan_estimate.estimate(
        image, EstimateOptions(runs=2, bandwidth=MIB, holes="trust"), ticking()
    )
    assert (made.size, made.extents) == (GIB, 3)
    assert made.sampled == made.stored
    assert made.scan_s == (2, 2, 2), "a second for the list of extents, one for the scan"
    assert made.data_bytes == (4 * MIB,) * 3
    assert made.upload_s == (4, 4, 4)
    assert made.disk_bytes_per_s == (16 * MIB,) * 3
    after = image.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


@pytest.mark.usefixtures("cold")
def test_a_sample_stands_for_all_that_is_stored(tmp_path: Path) -> None:
    extents = 4096
    image = write_disk(tmp_path / "disk.raw", TIB, [])
    with image.open("r+b") as file:
        for number in range(extents):
            content = b"x" if number % 4 == 0 else b"\0"
            os.pwrite(file.fileno(), content * 4 * KIB, number * (TIB // extents))
    made = scan_estimate.estimate(image, EstimateOptions(runs=3, holes="trust"), ticking())
    assert made.extents == extents
    assert made.sampled == 32 * 4 * KIB, "8 windows of 4 blocks take a second by this clock"
    assert made.scan_s == (1 + extents / 32,) * 3
    assert made.data_bytes == (extents // 4 * 2 * MIB,) * 3
    assert made.probed == pytest.approx(0.25)


@pytest.mark.usefixtures("cold")
def test_windows_are_added_until_they_take_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write_disk(
        tmp_path / "disk.raw", 512 * MIB, [(at * 2 * MIB, b"x") for at in range(256)]
    )
    monkeypatch.setattr(
        "imsprep.scan.bench.scan_estimate.ENOUGH_S", 1.5
    )  # seconds; the clock gives 1 for each
    made = scan_estimate.estimate(image, EstimateOptions(runs=3, holes="trust"), ticking())
    assert made.sampled == made.stored


def test_an_image_of_holes_takes_no_sample(tmp_path: Path, imsprep: Run) -> None:
    image = write_disk(tmp_path / "disk.raw", TIB, [])
    said = imsprep("bench", image, "--bandwidth", "1m", "--holes", "trust", "--json").json
    assert (said["size"], said["stored"], said["sampled"], said["extents"]) == (TIB, 0, 0, 0)
    assert said["upload_s"] == said["data_bytes"] == {"min": 0, "median": 0, "max": 0}
    assert said["disk_bytes_per_s"] is None


def test_holes_that_are_not_believed_are_sampled_too(tmp_path: Path, imsprep: Run) -> None:
    image = write_disk(tmp_path / "disk.raw", 64 * MIB, [(0, b"x")])
    said = imsprep("bench", image, "--holes", "verify", "--runs", 1, "--json").json
    assert (said["stored"], said["extents"], said["sampled"]) == (64 * MIB, 1, 64 * MIB)
    assert said["data_bytes"]["median"] == pytest.approx(2 * MIB, rel=1e-3)
