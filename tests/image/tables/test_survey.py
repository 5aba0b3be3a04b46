"""The ledger: which parts of a file are spoken for, overlaps and gaps, to the byte."""

from __future__ import annotations

import numpy as np
import pytest

from imsprep.image.tables import survey as module
from imsprep.image.tables.survey import (
    LARGEST_DISK,
    TABLE_LIMIT,
    Ledger,
    Survey,
    SurveyError,
    check_size,
    cut_short,
    is_power_of_two,
    table,
)


def ledger(size: int, *parts: tuple[str, int, int]) -> Ledger:
    made = Ledger(size)
    for name, start, length in parts:
        made.add(start, length, name)
    return made


def test_parts_may_touch_and_not_overlap() -> None:
    ledger(100, ("a", 0, 10), ("b", 10, 5), ("c", 20, 80), ("d", 15, 0)).check_apart()
    with pytest.raises(SurveyError, match=r"a and b lie over each other \(at byte 9\)"):
        ledger(100, ("a", 0, 10), ("b", 9, 5), ("c", 20, 1), ("d", 30, 1)).check_apart()
    with pytest.raises(SurveyError, match="lie over each other"):
        ledger(100, ("a", 0, 50), ("b", 10, 5)).check_apart()
    with pytest.raises(SurveyError, match=r"b and c lie over each other \(at byte 15\)"):
        ledger(100, ("a", 0, 10), ("b", 10, 10), ("c", 15, 10), ("d", 30, 1)).check_apart()


def test_gaps_are_what_nothing_speaks_for() -> None:
    assert ledger(100).gaps(1) == [(0, 100)]
    assert ledger(100).gaps(101) == []
    some = ledger(100, ("a", 5, 10), ("b", 15, 5), ("c", 21, 40), ("d", 25, 3))
    assert some.gaps(1) == [(0, 5), (20, 1), (61, 39)]
    assert some.gaps(5) == [(0, 5), (61, 39)]
    assert some.gaps(6) == [(61, 39)]
    assert ledger(100, ("a", 0, 100)).gaps(1) == []


def test_a_table_is_read_whole_or_not_at_all() -> None:
    def read(offset: int, length: int) -> bytes:
        return bytes(length)

    assert table(read, 100, 90, 10) == bytes(10)
    with pytest.raises(SurveyError, match="to byte 101, and the file ends at byte 100"):
        table(read, 100, 91, 10)
    assert len(table(read, TABLE_LIMIT + 2, 0, TABLE_LIMIT)) == TABLE_LIMIT
    with pytest.raises(SurveyError, match="more than any program writes"):
        table(read, TABLE_LIMIT + 2, 0, TABLE_LIMIT + 1)


@pytest.mark.parametrize("size", [0, -1, LARGEST_DISK + 1])
def test_a_disk_of_a_size_that_no_program_makes_is_refused(size: int) -> None:
    with pytest.raises(SurveyError, match=f"a disk of {size} bytes"):
        check_size(size, 24)
    for fine in (1, LARGEST_DISK):
        check_size(fine, 24)
    assert LARGEST_DISK == 64 << 40  # VHDX and VMDK, as their makers state


def test_powers_of_two_and_places() -> None:
    assert [n for n in range(20) if is_power_of_two(n, 2, 16)] == [2, 4, 8, 16]
    assert "to byte 7," in str(cut_short(7, 5))
    assert "far beyond the end of any file" in str(cut_short(1 << 62, 5))
    values = module.entries(np.array([1, 2**64 - 1], "<u8").tobytes(), "<u8")
    assert values[0] == 1
    assert values[1] > 1 << 60
    units = np.array([0, 1, 2], np.int64)
    assert module.needed(units, 10, 15).tolist() == [10, 5, 0]


def test_what_a_survey_does_not_say_is_nothing() -> None:
    found = Survey(512, Ledger(100))
    assert (found.least_gap, found.freed, found.notes, found.options) == (None, 0, (), {})
    assert (found.hint, found.has_check) == ("", False)
