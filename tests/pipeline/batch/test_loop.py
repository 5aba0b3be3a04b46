"""The loop of a batch: so many entries at a time, whatever becomes of them."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from imsprep.pipeline.batch.loop import Watching, run
from imsprep.pipeline.batch.values import (
    DONE,
    FAILED,
    BatchEntry,
    Outcome,
)
from tests.support.pipeline.batch_outcomes import done, entry


@pytest.mark.parametrize("jobs", [1, 3, 20])
def test_so_many_at_a_time_and_no_more(jobs: int) -> None:
    at_work, most = 0, 0

    def began(one: BatchEntry) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)

    def ended(one: BatchEntry, outcome: Outcome) -> None:
        nonlocal at_work
        at_work -= 1

    entries = [entry(n) for n in range(10)]
    with ThreadPoolExecutor(10) as pool:
        outcomes = run(entries, done, pool, jobs=jobs, watching=Watching(began, ended))
    assert (most, at_work) == (min(jobs, 10), 0)
    assert {o.image for o in outcomes.values()} == {u.shown for u in entries}


def test_one_that_is_lost_does_not_stop_the_others() -> None:
    def work(one: BatchEntry) -> Outcome:
        if one.shown == "2.raw":
            raise ConnectionError("the worker is gone")
        return done(one)

    with ThreadPoolExecutor(2) as pool:
        outcomes = run([entry(n) for n in range(4)], work, pool, jobs=2, watching=Watching())
    assert [o.state for o in outcomes.values()].count(DONE) == 3
    lost = outcomes["2.raw"]
    assert (lost.state, lost.exit_code) == (FAILED, 5)
    assert "ConnectionError: the worker is gone" in str(lost.message)


class Cancelling(Executor):
    """An executor that takes everything back, as a cluster whose scheduler ends."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_a_cluster_that_goes_away_fails_what_it_had() -> None:
    outcomes = run([entry(1), entry(2)], done, Cancelling(), jobs=2, watching=Watching())
    assert {o.exit_code for o in outcomes.values()} == {5}


def test_what_happens_is_told_in_order_and_now_and_then_in_between() -> None:
    told: list[str] = []
    go_on = threading.Event()

    def on_tick() -> None:
        told.append("passing")
        go_on.set()

    def work(one: BatchEntry) -> Outcome:
        go_on.wait(timeout=20)
        return done(one)

    watching = Watching(
        lambda u: told.append(f"began {u.shown}"),
        lambda u, o: told.append(f"ended {u.shown} {o.state}"),
        on_tick,
        interval_s=0.01,
    )
    with ThreadPoolExecutor(1) as pool:
        run([entry(1)], work, pool, jobs=1, watching=watching)
    assert [t for t in told if t != "passing"] == ["began 1.raw", "ended 1.raw done"]
    assert "passing" in told
