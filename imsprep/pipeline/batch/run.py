"""A whole batch: check all images of a plan, import those that may be, and keep the journal."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
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

    def refused(self, outcomes: list[Outcome], *, others: bool) -> None:
        """Take note of what the check did not take, and whether the others are imported."""

    def warn(self, text: str) -> None:
        """Take a warning."""

    def working(self, done: int, count: int) -> None:
        """Take note that so many are done already, and so many are to be imported."""

    def began(self, entry: BatchEntry) -> None:
        """Take note that an entry is worked on from now on."""

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

    def interrupted(self, summary: batch.BatchSummary) -> None:
        """Take what is known of each entry when the batch is interrupted."""


def run_plan(
    plan: Path,
    entries: list[BatchEntry],
    options: BatchOptions,
    connect: Connect,
    watcher: BatchWatcher,
) -> tuple[Outcome, ...]:
    """Check every entry and import those that may be; return what became of each.

    Raises TransferError if another process works on the plan, ReadError for a journal that cannot
    be used, UsageError for a cluster that does not answer. What interrupts it passes through; the
    watcher gets what is known by then.
    """
    known = _Known(entries)
    try:
        with contextlib.ExitStack() as stack:
            journal = BatchJournal.for_plan(plan)
            if not options.dry_run:
                stack.enter_context(locked(journal.path.with_suffix(".lock"), f"the plan {plan}"))
                journal = BatchJournal.for_plan(plan)  # as the one that held the lock left it
            place = stack.enter_context(_place(entries, options, connect, watcher))
            check = partial(check_entry, connect=connect, ask_bucket=not options.dry_run)
            _check(known, journal, place, check, watcher)
            if not options.dry_run:
                _import(known, journal, place, watcher, others=options.skip_failing)
            return known.outcomes(options.dry_run)
    except Exception:
        raise
    except BaseException:
        watcher.interrupted(batch.BatchSummary(str(plan), known.outcomes(options.dry_run)))
        raise


class _Known:
    """What is known of each entry at any time, by its `shown`."""

    def __init__(self, entries: list[BatchEntry]) -> None:
        self.entries = entries
        self.noted = dict[str, Outcome]()  # done by an earlier run
        self.found = dict[str, Outcome]()  # by the check
        self.begun = set[str]()
        self.worked = dict[str, Outcome]()

    def outcomes(self, dry_run: bool = False) -> tuple[Outcome, ...]:
        """Return the last word on each entry, in the plan's order."""
        checked = [
            self.noted.get(one.shown) or self.found.get(one.shown) or _not_begun(one)
            for one in self.entries
        ]
        if dry_run:
            return tuple(checked)
        return tuple(map(self._last_word, checked))

    def _last_word(self, checked: Outcome) -> Outcome:
        if checked.image in self.worked:
            return batch.last_word(checked, self.worked[checked.image])
        if checked.state != batch.PLANNED:
            return checked
        state = batch.INTERRUPTED if checked.image in self.begun else batch.WAITING
        return replace(checked, state=state, body={})


def _not_begun(entry: BatchEntry) -> Outcome:
    return Outcome(entry.shown, entry.name, batch.WAITING)


def _check(
    known: _Known,
    journal: BatchJournal,
    place: _Place,
    check: Callable[[BatchEntry], Outcome],
    watcher: BatchWatcher,
) -> None:
    """Check what no earlier run has done."""
    done = {entry.shown: journal.done(entry) for entry in known.entries}
    known.noted = {shown: outcome for shown, outcome in done.items() if outcome is not None}
    left = [entry for entry in known.entries if entry.shown not in known.noted]
    watcher.checking(len(left))

    def ended(entry: BatchEntry, outcome: Outcome) -> None:
        known.found[entry.shown] = outcome
        watcher.checked(len(known.found))

    loop.run(left, check, place.executor, jobs=place.jobs, watching=loop.Watching(ended=ended))


def _import(
    known: _Known,
    journal: BatchJournal,
    place: _Place,
    watcher: BatchWatcher,
    *,
    others: bool,
) -> None:
    """Import what the check has passed; `others` says whether also if it has not passed some."""
    left = [entry for entry in known.entries if entry.shown in known.found]
    ready = [entry for entry in left if known.found[entry.shown].state == batch.PLANNED]
    refused = [out for e in left if (out := known.found[e.shown]).state != batch.PLANNED]
    if refused:
        watcher.refused(refused, others=others)
        ready = ready if others else []
    for text in batch.short_of_room(ready, known.found):
        watcher.warn(text)
    watcher.working(len(known.noted), len(ready))

    def began(entry: BatchEntry) -> None:
        journal.begun(entry)
        known.begun.add(entry.shown)
        watcher.began(entry)

    def ended(entry: BatchEntry, outcome: Outcome) -> None:
        outcome = batch.last_word(known.found[entry.shown], outcome)
        known.worked[entry.shown] = outcome
        journal.ended(entry, outcome)
        watcher.ended(entry, outcome)

    watching = loop.Watching(began, ended, watcher.passing)
    loop.run(ready, place.work, place.executor, jobs=place.jobs, watching=watching)


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
