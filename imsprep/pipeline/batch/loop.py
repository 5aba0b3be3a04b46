"""The loop of a batch: an executor gets so many entries at a time, until all have ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass

from imsprep.errors import TransferError
from imsprep.pipeline.batch.values import FAILED, BatchEntry, Outcome


@dataclass(frozen=True)
class Watching:
    """Callbacks for what happens to the entries, called in the thread that runs the batch."""

    began: Callable[[BatchEntry], object] = lambda entry: None
    ended: Callable[[BatchEntry, Outcome], object] = lambda entry, outcome: None
    on_tick: Callable[[], object] = lambda: None  # from time to time
    interval_s: float = 10.0


def run(
    entries: Iterable[BatchEntry],
    work: Callable[[BatchEntry], Outcome],
    executor: Executor,
    *,
    jobs: int,
    watching: Watching,
) -> dict[str, Outcome]:
    """Work on every entry, at most `jobs` at a time; return the outcomes by the entries' `shown`.

    An executor that loses an entry fails that entry. An interruption passes through; what was begun
    is then for the caller to end.
    """
    left, outcomes = deque(entries), dict[str, Outcome]()
    running: dict[Future[Outcome], BatchEntry] = {}
    while left or running:
        while left and len(running) < jobs:
            entry = left.popleft()
            watching.began(entry)
            running[executor.submit(work, entry)] = entry
        ended, _ = wait(running, timeout=watching.interval_s, return_when=FIRST_COMPLETED)
        for future in ended:
            entry = running.pop(future)
            outcomes[entry.shown] = _outcome(future, entry)
            watching.ended(entry, outcomes[entry.shown])
        if not ended:
            watching.on_tick()
    return outcomes


def _outcome(future: Future[Outcome], entry: BatchEntry) -> Outcome:
    """Return what an entry's work gave; an entry that was lost may be run again."""
    try:
        return future.result()
    except (Exception, CancelledError) as error:
        lost = TransferError(f"the work was lost ({type(error).__name__}: {error}); run again")
        return Outcome.of_error(entry, FAILED, lost)
