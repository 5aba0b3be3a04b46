"""Amounts, rates and the time left, in words that keep to their room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imsprep.cli.progress import rates
from imsprep.cli.progress.rates import Step
from imsprep.progress import Event
from imsprep.units import GIB, MIB


def test_a_bar_of_an_image_shows_amount_and_time_left_in_eighty_columns() -> None:
    step = Step(Event("convert", total=515 * MIB), 0.0)
    step.add(58 * MIB, 6.6)
    room = 80 - 1 - 24 - 18  # what a batch's bar leaves
    assert step.words(6.6, room) == "58/515 MiB, 8.8 MiB/s; 0:52 left"
    assert step.words(6.6, 21) == "58/515 MiB; 0:52 left"
    assert step.words(6.6, 12) == "0:52 left"


def test_the_start_of_a_large_step_is_in_a_smaller_unit() -> None:
    assert rates.amount_of(60 * MIB, 2 * GIB) == "60 MiB/2 GiB"
    assert rates.amount_of(GIB, 2 * GIB) == "1/2 GiB"
    assert rates.amount_of(0, 2 * GIB) == "0/2 GiB"


@given(
    st.lists(st.integers(0, 1 << 30), max_size=20), st.integers(1, 1 << 40), st.integers(12, 100)
)
def test_the_words_of_a_step_keep_to_their_room(counts: list[int], total: int, room: int) -> None:
    step = Step(Event("upload", total=total, sent=total // 2, copied=total - total // 2), 0.0)
    for now, count in enumerate(counts):
        step.add(count, float(now), sent=count // 2, copied=count - count // 2)
        said = step.words(float(now), room)
        clock_alone = ";" not in said and "/s" not in said
        assert len(said) <= room or clock_alone


def test_an_upload_of_what_is_in_the_bucket_has_no_rate() -> None:
    step = Step(Event("upload", total=3 * MIB, sent=3 * MIB), 0.0)
    step.add(3 * MIB, 2.0)
    assert step.came_to(2.0) == "upload   0 bytes: 3 MiB were in the bucket already"


def test_what_an_earlier_run_sent_counts_for_the_share_and_is_told_at_the_end() -> None:
    step = Step(Event("upload", total=90 * MIB, sent=90 * MIB, estimated=True), 0.0)
    step.add(30 * MIB, 1.0)
    step.add(15 * MIB, 3.0, sent=15 * MIB)
    assert step.share == 0.5
    assert step.words(3.0).startswith("45/~90 MiB there, 15 MiB/s; ")
    step.add(45 * MIB, 6.0, sent=45 * MIB)
    assert step.came_to(6.0) == "upload   60 MiB sent, 30 MiB were there in 0:06 (10 MiB/s)"


def test_the_time_that_passed_is_told_from_the_time_that_is_left() -> None:
    step = Step(Event("upload", total=100, sent=100), 0.0)
    step.add(10, 1.0, sent=10)
    assert step.words(1.0).endswith("; 0:01 elapsed")
    assert step.words(4.0).endswith("; 0:04 elapsed, 0:36 left")


def test_of_an_estimated_upload_the_time_that_is_left_is_said_until_nothing_tells_it() -> None:
    step = Step(Event("upload", total=100, sent=100, estimated=True), 0.0)
    step.add(25, 3.0, sent=25)
    assert step.words(3.0).endswith("; 0:03 elapsed, 0:09 left")
    step.add(75, 12.0, sent=75)
    assert step.words(13.0).endswith("; 0:13 elapsed")
