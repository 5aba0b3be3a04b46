"""Figures with their spread, as a person reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.image.file import RawImage
from imsprep.scan.bench.figures import Spread, rate, read_in_order, seconds
from imsprep.units import MIB


def test_a_spread_is_least_median_and_most() -> None:
    spread = Spread.of([3.0, 1.0, 2.0, 10.0])
    assert spread == (1.0, 2.5, 10.0)
    assert spread.times(2) == (2.0, 5.0, 20.0)
    assert spread.shown(lambda value: f"{value:g} s") == "2.5 s (1 s to 10 s)"
    assert Spread.of([1 / 3]).as_dict() == {"min": 0.3333, "median": 0.3333, "max": 0.3333}


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.00823, "8.23 ms"), (0.25, "0.25 s"), (599.0, "599 s"), (2400.0, "40 min"),
     (36_000.0, "10 h")],
)  # fmt: skip
def test_a_time_has_the_unit_that_fits(value: float, words: str) -> None:
    assert seconds(value) == words


def test_a_rate_is_bytes_per_second() -> None:
    assert rate(1.5 * MIB) == "1.5 MiB/s"


def test_a_range_is_read_to_its_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * (2 * MIB + 512))
    counts: list[int] = []
    with RawImage.open(path) as image:
        read_in_order(image, 512, 2 * MIB + 512, counts.append)
    assert counts == [MIB, MIB]
