"""An answer has one limit of time and one of length, wherever it is slow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

from imsprep.cloud.answer_limits import AnswerError, AnswerLimits, limited, why_broken
from tests.support.cloud.dripping import BODY, CHUNKED, HEADER, dripping
from tests.support.ims.answers import answering


@contextmanager
def pool(limit_s: float, most: int | None = None) -> Iterator[Any]:
    limits = AnswerLimits(lambda: time.monotonic() + limit_s, most)
    with urllib3.PoolManager(retries=False, timeout=5) as manager:
        manager.pool_classes_by_scheme = limited(manager.pool_classes_by_scheme, limits)
        yield manager


@pytest.mark.parametrize(
    ("begins", "drop"), [(HEADER, b"x"), (BODY, b" "), (CHUNKED, b"1\r\n \r\n"), (b"", b"H")]
)
def test_an_answer_that_drips_is_given_up_in_time(begins: bytes, drop: bytes) -> None:
    began = time.monotonic()
    with dripping(begins, drop) as url, pool(0.2) as manager:
        with pytest.raises(urllib3.exceptions.HTTPError) as caught:
            manager.request("GET", url)
        assert "takes more than" in str(why_broken(caught.value))
    assert time.monotonic() - began < 2


def test_a_server_that_is_silent_is_given_up_in_time_too() -> None:
    began = time.monotonic()
    with dripping(b"", b"") as url, pool(0.2) as manager:
        with pytest.raises(urllib3.exceptions.HTTPError) as caught:
            manager.request("GET", url)
        assert "takes more than" in str(why_broken(caught.value))
    assert time.monotonic() - began < 2


def test_the_limit_of_length_does_not_hold_for_a_range_that_was_asked_for() -> None:
    with answering((200, b"x" * 100_000)) as (url, _), pool(5, 50_000) as manager:
        with pytest.raises(urllib3.exceptions.HTTPError) as caught:
            manager.request("GET", url)
        assert "more than" in str(why_broken(caught.value))
        answer = manager.request("GET", url, headers={"Range": "bytes=0-99999"})
        assert len(answer.data) == 100_000


def test_a_connection_is_used_again_with_a_limit_of_its_own_for_each_answer() -> None:
    with answering((200, b"x" * 100_000)) as (url, asked), pool(1, 150_000) as manager:
        for _ in range(4):
            assert len(manager.request("GET", url).data) == 100_000
    assert len(asked) == 4


def test_the_reason_is_found_in_what_others_made_of_it() -> None:
    assert why_broken(ValueError("x")) is None
    broken = ValueError("broken")
    broken.__context__ = ConnectionError("aborted")
    broken.__context__.__cause__ = AnswerError("slow")
    assert str(why_broken(broken)) == "slow"
