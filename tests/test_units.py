"""Sizes as people write them, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import UsageError
from imsprep.units import (
    GIB,
    KIB,
    MIB,
    TIB,
    ceil_div,
    counted,
    exact_size,
    format_ratio,
    format_seconds,
    format_size,
    parse_size,
    rough_size,
    round_up,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096), ("64k", 64 * KIB), ("2MiB", 2 * MIB), ("1g", GIB), ("1TB", TIB),
        ("1.5m", 3 * MIB // 2), (" 7 ", 7), ("0", 0),
    ],
)  # fmt: skip
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "1x", "1e999", "nan", "two", "1 2"])
def test_what_is_no_size_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(text)


def test_less_than_the_least_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        parse_size("0", least=1)
    with pytest.raises(UsageError, match="at least 0"):
        parse_size("-1")


@given(st.integers(0, 1023), st.sampled_from([KIB, MIB, GIB, TIB]))
def test_what_is_written_is_read_again(number: int, unit: int) -> None:
    text = format_size(number * unit).replace("bytes", "")
    assert parse_size(text.replace(" ", "")) == number * unit


@given(st.integers(0, 1 << 50), st.integers(1, 1 << 30))
def test_what_is_rounded_up_is_the_least_multiple(value: int, multiple: int) -> None:
    rounded = round_up(value, multiple)
    assert rounded % multiple == 0
    assert value <= rounded < value + multiple
    assert ceil_div(value, multiple) * multiple == rounded


def test_people_read_numbers_and_units() -> None:
    assert (counted(1, "file"), counted(2, "entry")) == ("1 file", "2 entries")
    assert (format_size(1), format_size(1023)) == ("1 byte", "1023 bytes")
    assert exact_size(3 * GIB // 2) == "1.5 GiB (1610612736 bytes)"


@pytest.mark.parametrize(
    ("ratio", "said"), [(1.5, "1.5 to 1"), (99.9, "99.9 to 1"), (4096.0, "4096 to 1")]
)
def test_a_ratio_is_written_without_an_exponent(ratio: float, said: str) -> None:
    assert format_ratio(ratio) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0.4 s"), (59.4, "59 s"), (59.6, "1 min"), (112, "1 min 52 s"), (3599.7, "1 h"), (4805, "1 h 20 min")],
)  # fmt: skip
def test_a_duration_is_written_in_two_units_at_most(seconds: float, said: str) -> None:
    assert format_seconds(seconds) == said


@pytest.mark.parametrize(
    ("size", "words"),
    [(94_174_282, "about 90 MiB"), (565_248, "about 552 KiB"), (1_980_000_000, "about 1.8 GiB"),
     (GIB, "about 1 GiB"), (700, "about 700 bytes"), (0, "about 0 bytes")],
)  # fmt: skip
def test_an_estimate_claims_few_digits(size: int, words: str) -> None:
    assert rough_size(size) == words
