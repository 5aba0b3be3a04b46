"""`imsprep batch`: import many images by a plan; all are checked before the first is sent."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.bars import ImageBars
from imsprep.cli.configured import ConfiguredCommand, profile_option
from imsprep.cli.options.common import PATH, output_options
from imsprep.cli.options.output import output_targets, write_output
from imsprep.cli.screen import say
from imsprep.units import counted

if TYPE_CHECKING:
    from imsprep.pipeline.batch.journal import BatchJournal
    from imsprep.pipeline.batch.run import Outcome, Unit, Watching
    from imsprep.progress import Event

JOBS = 4

EPILOG = """\
\b
Example:
  imsprep batch plan.yaml --jobs 4 --output html:report.html
"""


@click.command(cls=ConfiguredCommand, epilog=EPILOG)
@click.argument("plan", type=PATH)
@click.option("--jobs", type=click.IntRange(1), metavar="N",
              help=f"Images at a time; {JOBS}, or as many as the cluster takes.")  # fmt: skip
@click.option(
    "--skip-failing", is_flag=True, help="Go on with the others if the check refuses some."
)
@click.option("--dry-run", is_flag=True, help="Check all, print what would be asked, send nothing.")
@click.option("--scheduler", metavar="ADDRESS", help="Hand the work to this Dask cluster.")
@click.option("--output", "outputs", multiple=True, metavar="FORMAT:FILE",
              help="Write the summary: text, json or html; repeatable.")  # fmt: skip
@profile_option
@output_options
def command(
    plan: Path, as_json: bool, quiet: bool, outputs: tuple[str, ...], **options: Any
) -> int:
    """Import the images of a plan: check all of them first, then several at a time.

    One that fails does not stop the others. Whatever ends it early, the same command goes on where
    it stopped; plan.yaml.batch.json beside the plan says how far it came. The exit code is 0 if
    every image exists, else that of the worst failure: 6, 3, 2, 1, 4, 7, 5 in this order, so that 5
    or 7 says that running the same command again is all that is left to do.
    """
    from imsprep.cli.batch_units import read_units
    from imsprep.pipeline.batch.journal import SUFFIX
    from imsprep.pipeline.batch.report import FORMATS, render
    from imsprep.pipeline.batch.run import Summary

    units = read_units(plan)
    kept = [plan, plan.with_name(plan.name + SUFFIX), *(Path(unit.image) for unit in units)]
    kept += [unit.options["bitmap"] for unit in units if unit.options["bitmap"]]
    targets = output_targets(outputs, FORMATS, kept)
    outcomes = _work(plan, units, options, quiet)
    summary = Summary(str(plan), outcomes)
    for format_, path in targets:
        write_output(path, render(summary, format_))
    sys.stdout.write(render(summary, "json" if as_json else "text"))
    return summary.exit_code


def _work(
    plan: Path, units: list[Unit], options: dict[str, Any], quiet: bool
) -> tuple[Outcome, ...]:
    """Check every unit and import those that may; return what became of each."""
    from imsprep.cli.batch_units import check_unit
    from imsprep.pipeline.batch import run as batch
    from imsprep.pipeline.batch.journal import BatchJournal
    from imsprep.system.locking import locked

    dry_run, telling = options["dry_run"], _Telling(len(units), quiet)
    with contextlib.ExitStack() as stack:
        journal = BatchJournal.beside(plan)
        if not dry_run:
            stack.enter_context(locked(journal.path.with_suffix(".lock"), f"the plan {plan}"))
            journal = BatchJournal.beside(plan)  # as the one that held the lock left it
        place = stack.enter_context(_place(units, options, telling))
        noted = {unit.shown: journal.done(unit) for unit in units}
        left = [unit for unit in units if noted[unit.shown] is None]
        telling.checking(len(left))
        check = partial(check_unit, ask_bucket=not dry_run)
        found = batch.run(left, check, place.executor, jobs=place.jobs, watching=batch.Watching())
        checked = [noted[unit.shown] or found[unit.shown] for unit in units]
        ready = [unit for unit in left if found[unit.shown].state == batch.PLANNED]
        if dry_run:
            return tuple(checked)
        if len(ready) < len(left) and not options["skip_failing"]:
            telling.refused(len(left) - len(ready))
            ready = []
        checked = [
            replace(o, state=batch.WAITING, body={}) if o.state == batch.PLANNED else o
            for o in checked
        ]
        for text in batch.short_of_room(ready, found):
            say(f"imsprep: {text}")
        telling.working(sum(o.state == batch.DONE for o in checked), len(ready))
        watching = telling.watching(journal)
        return batch.merged(
            checked,
            batch.run(ready, place.work, place.executor, jobs=place.jobs, watching=watching),
        )


@dataclass(frozen=True)
class _Place:
    """Where the work is done, how much of it at a time, and by what function."""

    executor: Executor
    jobs: int
    work: Callable[[Unit], Outcome]


@contextlib.contextmanager
def _place(units: list[Unit], options: dict[str, Any], telling: _Telling) -> Iterator[_Place]:
    """Give a place to work; an interruption is told how to go on."""
    from imsprep.cli.batch_units import (
        Company,
        Connections,
        check_for_cluster,
        import_on_cluster,
        import_unit,
    )
    from imsprep.pipeline.batch.executors import cluster, threads

    with contextlib.ExitStack() as stack:
        stack.enter_context(telling.if_interrupted(on_cluster=bool(options["scheduler"])))
        if options["scheduler"]:
            check_for_cluster(units)
            executor, most = stack.enter_context(cluster(options["scheduler"], telling.moved_there))
            yield _Place(executor, options["jobs"] or most, import_on_cluster)
            return
        jobs, stop = options["jobs"] or JOBS, threading.Event()
        connect = Connections(stack.enter_context(contextlib.ExitStack())).connect
        company = Company(stop, telling.news, telling.moved, connect)
        executor = stack.enter_context(threads(jobs, stop))
        yield _Place(executor, jobs, partial(import_unit, company=company))


class _Telling:
    """What is shown while a batch goes on; units' news come from several threads.

    On a terminal each image that is worked on has a bar; elsewhere news are lines.
    """

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet = total, quiet
        self._lock = threading.Lock()
        self._done = self._ended = 0
        self._at = ImageBars(quiet=quiet)
        self._last: dict[str, str] = {}

    def checking(self, count: int) -> None:
        """Tell that the check begins."""
        if count:
            self._say(f"checking {count} of {self._total} images before anything is sent")

    def refused(self, count: int) -> None:
        """Tell why nothing is begun."""
        self._say(f"the check refuses {count}: nothing was sent (--skip-failing goes on without)")

    def working(self, done: int, count: int) -> None:
        """Tell how much there is to do."""
        self._done = self._ended = done
        if done:
            self._say(f"{done} of {self._total} images were done by an earlier run")
        if count:
            self._say(f"importing {counted(count, 'image')}")

    def watching(self, journal: BatchJournal) -> Watching:
        """Return what follows the units, on paper and on stderr."""
        from imsprep.pipeline.batch.run import Watching

        def began(unit: Unit) -> None:
            journal.begun(unit)

        def ended(unit: Unit, outcome: Outcome) -> None:
            journal.ended(unit, outcome)
            self._end(unit, outcome)

        return Watching(began, ended, self._pass)

    def news(self, unit: Unit, text: str) -> None:
        """Tell a unit's news, if it is news."""
        with self._lock:
            if self._last.get(unit.shown) == text:
                return
            self._last[unit.shown] = text
        if not (self._at.shown and text.startswith("job ")):  # which has a bar
            self._say(f"{unit.shown}: {text}")

    def moved(self, unit: Unit, event: Event) -> None:
        """Show how far a unit is."""
        self._at.show(unit.shown, event)

    def moved_there(self, shown: str, event: Event) -> None:
        """Show how far a unit is that a cluster works on."""
        self._at.show(shown, event)

    def _end(self, unit: Unit, outcome: Outcome) -> None:
        from imsprep.pipeline.batch.run import DONE

        self._at.end(unit.shown)
        self._ended += 1
        self._done += outcome.state == DONE
        text = f"image {outcome.image_id}" if outcome.image_id else outcome.message
        self._say(f"[{self._ended}/{self._total}] {unit.shown}: {outcome.state}: {text}")

    def _pass(self) -> None:
        at = self._at.lines()
        if at:
            self._say(f"{self._ended} of {self._total} images ended; {', '.join(at)}")

    @contextlib.contextmanager
    def if_interrupted(self, *, on_cluster: bool) -> Iterator[None]:
        """Tell on stderr how to go on if Ctrl-C or SIGTERM ends the block."""
        from imsprep.cli.progress import AGAIN

        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception):
                if on_cluster:
                    say("what the cluster works on just now goes on there")
                say(f"{self._done} of {self._total} images are done; {AGAIN}")
            raise

    def _say(self, text: str) -> None:
        if not self._quiet:
            say(text)
