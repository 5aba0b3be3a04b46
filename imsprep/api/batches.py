"""Import the images of a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep.api.events import one_at_a_time
from imsprep.keywords import with_keywords
from imsprep.options import (
    BatchOptions,
    ImportOptions,
    StrPath,
)
from imsprep.progress import (
    IMPORT,
    Event,
    Progress,
)
from imsprep.system.paths import path_of
from imsprep.units import counted

if TYPE_CHECKING:
    from imsprep.pipeline.batch.run import BatchWatcher
    from imsprep.pipeline.batch.values import BatchEntry, BatchSummary, Outcome


@with_keywords(BatchOptions)
def import_batch(plan: StrPath, options: BatchOptions) -> BatchSummary:
    """Import the images of a plan: check all of them first, then several at a time.

    One that fails does not stop the others; `exit_code` and `outcomes` of what comes back say how
    each went. Calling it again continues. Raises UsageError with all mistakes of the plan,
    ReadError, TransferError if another process works on it.
    """
    entries = read_plan(plan, options)
    return run_batch(plan, entries, options, _Silent(options.progress))


def read_plan(plan: StrPath, options: BatchOptions) -> list[BatchEntry]:
    """Return the images of a plan with their options; UsageError with all mistakes."""
    from imsprep.pipeline.batch.read import read_entries

    entries = read_entries(path_of(plan), options.defaults or ImportOptions(to=""))
    return [replace(one, options=_asked_of_all(one.options, options)) for one in entries]


def _asked_of_all(image: ImportOptions, batch: BatchOptions) -> ImportOptions:
    """Return the options of an image with what the batch asks of every one."""
    return replace(
        image,
        guest=image.guest or batch.guest,
        boot=image.boot or batch.boot,
        fail_on=image.fail_on if batch.fail_on is None else batch.fail_on,
    )


def run_batch(
    plan: StrPath, entries: list[BatchEntry], options: BatchOptions, watcher: BatchWatcher
) -> BatchSummary:
    """Do what `import_batch` does with a plan that was read."""
    from imsprep.pipeline.batch.run import run_plan
    from imsprep.pipeline.batch.values import BatchSummary
    from imsprep.service import connected

    path = path_of(plan)
    return BatchSummary(str(path), run_plan(path, entries, options, connected, watcher))


class _Silent:
    """A watcher that passes news on as events."""

    def __init__(self, progress: Progress) -> None:
        self._progress = one_at_a_time(progress)

    def checking(self, count: int) -> None:
        """Pass on."""
        self.warn(f"checking {counted(count, 'image')} before anything is sent")

    def checked(self, done: int) -> None:
        """Take no notice: it is said what is refused."""

    def refused(self, outcomes: list[Outcome], *, others: bool) -> None:
        """Pass on."""
        from imsprep.pipeline.batch.reports.rows import WORDS, reason_of

        for one in outcomes:
            self.warn(f"{one.image}: {WORDS[one.state]}: {reason_of(one)}")
        if not others:
            self.warn("nothing was sent")

    def interrupted(self, summary: BatchSummary) -> None:
        """Take no notice: the caller is interrupted too."""

    def warn(self, text: str) -> None:
        """Pass on."""
        self._progress(Event(IMPORT, text=text))

    def working(self, done: int, count: int) -> None:
        """Pass on."""
        self.warn(f"{done} images were done before, {count} are to be imported")

    def began(self, entry: BatchEntry) -> None:
        """Take no notice."""

    def ended(self, entry: BatchEntry, outcome: Outcome) -> None:
        """Take no notice: it is said at the end."""

    def passing(self) -> None:
        """Take no notice."""

    def news(self, entry: BatchEntry, text: str) -> None:
        """Pass on."""
        self.warn(f"{entry.shown}: {text}")

    def moved(self, entry: BatchEntry, event: Event) -> None:
        """Pass on."""
        self._progress(event)

    def moved_there(self, shown: str, event: Event) -> None:
        """Pass on."""
        self._progress(event)


def journal_of(plan: StrPath) -> Path:
    """Return the file in which `import_batch` keeps how far a plan is."""
    from imsprep.pipeline.batch.journal import SUFFIX

    path = path_of(plan)
    return path.with_name(path.name + SUFFIX)
