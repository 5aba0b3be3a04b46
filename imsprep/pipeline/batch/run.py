"""A whole batch: check all images of a plan, import those that may be, and keep the journal."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from imsprep.options import BatchOptions
from imsprep.pipeline.batch import loop
from imsprep.pipeline.batch import values as batch
from imsprep.pipeline.batch.executors import cluster, threads
from imsprep.pipeline.batch.journal import BatchJournal
from imsprep.pipeline.batch.run_entry import (
    Connections,
    WorkContext,
    check_entry,
    check_for_cluster,
    import_entry,
    import_on_cluster,
)
from imsprep.pipeline.batch.values import BatchEntry, Outcome
from imsprep.pipeline.import_task import Connect
from imsprep.progress import Event
from imsprep.system.locking import locked

JOBS = 4  # images at a time, in this process


class BatchWatcher(Protocol):
    """What is called while a batch goes on, some of it by several threads."""

    def checking(self, count: int) -> None:
        """Take note that so many images are checked."""

    def checked(self, done: int) -> None:
        """Take note that so many of them are checked."""

    def refused(self, images: list[str], *, others: bool) -> None:
        """Take note of what the check refused, and whether the others are imported."""

    def warn(self, text: str) -> None:
        """Take a warning."""

    def working(self, done: int, count: int) -> None:
        """Take note that so many are done already, and so many are to be imported."""

    def ended(self, entry: BatchEntry, outcome: Outcome) -> None:
        """Take note of what became of an entry."""

    def passing(self) -> None:
        """Take note from time to time that the batch goes on."""

    def news(self, entry: BatchEntry, text: str) -> None:
        """Take a line of an entry's."""

    def moved(self, entry: BatchEntry, event: Event) -> None:
        """Take how far an entry is."""

    def moved_there(self, shown: str, event: Event) -> None:
        """Take how far an entry is that a cluster works on."""


def run_plan(
    plan: Path,
    entries: list[BatchEntry],
    options: BatchOptions,
    connect: Connect,
    watcher: BatchWatcher,
) -> tuple[Outcome, ...]:
    """Check every entry and import those that may be; return what became of each.

    Raises TransferError if another process works on the plan, ReadError for a journal that cannot
    be used, UsageError for a cluster that does not answer.
    """
    with contextlib.ExitStack() as stack:
        journal = BatchJournal.for_plan(plan)
        if not options.dry_run:
            stack.enter_context(locked(journal.path.with_suffix(".lock"), f"the plan {plan}"))
            journal = BatchJournal.for_plan(plan)  # as the one that held the lock left it
        place = stack.enter_context(_place(entries, options, connect, watcher))
        noted = {entry.shown: journal.done(entry) for entry in entries}
        left = [entry for entry in entries if noted[entry.shown] is None]
        watcher.checking(len(left))
        check = partial(check_entry, connect=connect, ask_bucket=not options.dry_run)
        counts = itertools.count(1)
        counting = loop.Watching(ended=lambda entry, outcome: watcher.checked(next(counts)))
        found = loop.run(left, check, place.executor, jobs=place.jobs, watching=counting)
        checked = [noted[entry.shown] or found[entry.shown] for entry in entries]
        ready = [entry for entry in left if found[entry.shown].state == batch.PLANNED]
        if options.dry_run:
            return tuple(checked)
        refused = [e.shown for e in left if found[e.shown].state != batch.PLANNED]
        if refused:
            watcher.refused(refused, others=options.skip_failing)
            ready = ready if options.skip_failing else []
        checked = [_waiting(outcome) for outcome in checked]
        for text in batch.short_of_room(ready, found):
            watcher.warn(text)
        watcher.working(sum(o.state == batch.DONE for o in checked), len(ready))
        watching = _watching(journal, found, watcher)
        worked = loop.run(ready, place.work, place.executor, jobs=place.jobs, watching=watching)
        return batch.merged(checked, worked)


def _watching(
    journal: BatchJournal, checked: Mapping[str, Outcome], watcher: BatchWatcher
) -> loop.Watching:
    """Return what follows the entries, which were checked, on paper and for the watcher."""

    def ended(entry: BatchEntry, outcome: Outcome) -> None:
        outcome = batch.last_word(checked[entry.shown], outcome)
        journal.ended(entry, outcome)
        watcher.ended(entry, outcome)

    return loop.Watching(journal.begun, ended, watcher.passing)


def _waiting(outcome: Outcome) -> Outcome:
    planned = outcome.state == batch.PLANNED
    return replace(outcome, state=batch.WAITING, body={}) if planned else outcome


@dataclass(frozen=True)
class _Place:
    """Where the work is done, how much of it at a time, and by what function."""

    executor: Executor
    jobs: int
    work: Callable[[BatchEntry], Outcome]


@contextlib.contextmanager
def _place(
    entries: list[BatchEntry], options: BatchOptions, connect: Connect, watcher: BatchWatcher
) -> Iterator[_Place]:
    """Give a place to work."""
    with contextlib.ExitStack() as stack:
        if options.scheduler:
            check_for_cluster(entries)
            executor, most = stack.enter_context(cluster(options.scheduler, watcher.moved_there))
            work = partial(import_on_cluster, connect=connect)
            yield _Place(executor, options.jobs or most, work)
            return
        jobs, stop = options.jobs or JOBS, threading.Event()
        shared = Connections(stack.enter_context(contextlib.ExitStack()), connect)
        context = WorkContext(stop, watcher.news, watcher.moved, shared.connect)
        executor = stack.enter_context(threads(jobs, stop))
        yield _Place(executor, jobs, partial(import_entry, context=context))
