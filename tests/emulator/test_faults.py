"""What the emulator does wrong on request."""

from __future__ import annotations

import pytest

from imsprep.emulator.faults import Faults, parse
from imsprep.errors import UsageError


def test_words_are_names_with_or_without_a_value() -> None:
    faults = parse(["slow-job-s=2.5", "query-429", "post-503=3", "refuse=IMG.0013", "odd-status"])
    assert faults == Faults(
        slow_job_s=2.5, query_429=1, post_503=3, refuse="IMG.0013", odd_status=True
    )
    assert parse([]) == Faults()


@pytest.mark.parametrize(
    ("word", "said"), [("slow", "no fault is called 'slow'"), ("query-429=x", "needs a number")]
)
def test_a_word_that_means_nothing_is_refused(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse([word])


def test_a_counted_fault_is_spent_one_by_one() -> None:
    assert Faults(post_drop=2).spent("post_drop") == Faults(post_drop=1)
