"""Retrying: what is tried again, how long in all, and how fast bytes may go."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import pytest

from imsprep.errors import ServiceError, TransferError
from imsprep.store.contract import ObjectStore
from imsprep.store.retry import RateLimit, RetryingStore, RetryPolicy


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return False


class Store:
    """A store that fails by a list of answers, the last of which stays."""

    etags_are_md5 = True

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def head(self, key: str) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def patient(clock: Clock, *answers: Any, **retry: Any) -> RetryingStore:
    given = {"limit_s": 100.0, "first_wait_s": 1.0, "longest_wait_s": 4.0} | retry
    store: Any = Store(*answers)

    class Waiting(threading.Event):
        """Waits by the clock, in which no time passes for others."""

        def wait(self, timeout: float | None = None) -> bool:
            return bool(clock.wait(timeout or 0.0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "Event", Waiting)
        return RetryingStore(store, RetryPolicy(clock=clock, jitter=lambda: 0.5, **given))


BUSY = TransferError("503")


def test_the_waits_grow_and_are_random() -> None:
    clock = Clock()
    store = patient(clock, *[BUSY] * 5, None)
    store.head("k")
    assert clock.waits == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert store.retries == 5


def test_the_limit_is_one_for_all_requests_together() -> None:
    clock = Clock()
    # Each request fails for 7.5 s and then works: the fourteenth would be beyond 100 s.
    store = patient(clock, *[*[BUSY] * 5, "found"] * 20, longest_wait_s=4.0)
    for _ in range(13):
        assert store.head("k") is not None
    with pytest.raises(TransferError, match="every attempt failed for 100 s in all; run again"):
        store.head("k")
    assert clock.now <= 100


def test_a_store_that_wants_no_request_for_longer_than_is_tried_is_left_alone() -> None:
    clock = Clock()
    with pytest.raises(TransferError, match="wants no request for 3600 s: run again then"):
        patient(clock, TransferError("busy", retry_after_s=3600.0)).head("k")
    assert clock.waits == []


def test_what_helps_is_still_known_at_the_end() -> None:
    lost = TransferError("not copied", remedies=("copy_zeros",))
    with pytest.raises(TransferError) as caught:
        patient(Clock(), *[lost] * 99).head("k")
    assert caught.value.remedies == ("copy_zeros",)


def test_time_in_which_something_works_does_not_count() -> None:
    clock = Clock()
    store = patient(clock, BUSY, "found", BUSY, "found", limit_s=3.0)
    store.head("k")
    clock.now += 1e6
    store.head("k")


def test_a_refusal_is_not_tried_again() -> None:
    clock = Clock()
    with pytest.raises(ServiceError, match="no"):
        patient(clock, ServiceError("no")).head("k")
    assert clock.waits == []


class Once:
    """A store whose first request fails, whichever it is; notes all of them."""

    etags_are_md5 = True

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any, **options: Any) -> str:
            self.calls.append((method, *arguments, *options.values()))
            if len(self.calls) == 1:
                raise BUSY
            return "an answer"

        return call


@pytest.mark.parametrize("method", [name for name in vars(ObjectStore) if name[0] != "_"])
def test_every_request_but_a_completion_is_made_again_as_it_was(method: str) -> None:
    if method == "etags_are_md5":
        return
    parameters = list(inspect.signature(getattr(ObjectStore, method)).parameters.values())[1:]
    names = [p.name for p in parameters]
    given = [p.name for p in parameters if p.kind != p.KEYWORD_ONLY]
    options = {p.name: p.name for p in parameters if p.kind == p.KEYWORD_ONLY}
    store: Any = Once()
    retrying = getattr(RetryingStore(store, RetryPolicy(first_wait_s=0.0)), method)
    if method == "complete":
        with pytest.raises(TransferError, match="503"):
            retrying(*given)
        assert store.calls == [(method, *names)]
        return
    retrying(*given, **options)
    assert store.calls == [(method, *names)] * 2


def test_a_completion_is_asked_about_until_the_deadline() -> None:
    clock = Clock()
    store = patient(clock, None, limit_s=3.0)
    clock.now = 1e6
    deadline = store.deadline()
    assert [store.pause(deadline) for _ in range(4)] == [True, True, False, False]
    assert (clock.waits, store.retries) == ([1.0] * 4, 4)


def test_a_store_that_was_stopped_waits_no_more() -> None:
    store: Any = Store(BUSY)
    stopped = RetryingStore(store, RetryPolicy(limit_s=1.0))
    stopped.stop()
    with pytest.raises(TransferError, match=r"^503$"):  # not that the limit was reached
        stopped.head("k")
    assert not stopped.pause(stopped.deadline())
    with pytest.raises(TransferError, match="stopped"):
        stopped.wait(1e6)


def test_a_rate_holds_over_all_threads_together() -> None:
    clock = Clock()
    limit = RateLimit(10.0, sleep=clock.wait, clock=lambda: 0.0)
    threads = [threading.Thread(target=limit.wait_for, args=(5,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Twenty bytes at ten a second: the last five begin after a second and a half.
    assert sorted(clock.waits) == [0.0, 0.5, 1.0, 1.5]


def test_a_rate_that_was_not_used_is_not_saved_up() -> None:
    clock = Clock()
    limit = RateLimit(10.0, sleep=clock.wait, clock=clock)
    limit.wait_for(10)
    clock.now = 100.0
    limit.wait_for(10)
    limit.wait_for(10)
    assert clock.waits == [0.0, 0.0, 1.0]


def test_a_store_is_left_alone_for_as_long_as_it_wishes() -> None:
    clock = Clock()
    store = patient(clock, TransferError("503", retry_after_s=40.0), None)
    store.head("k")
    assert clock.waits == [40.0]
