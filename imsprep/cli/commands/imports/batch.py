"""`imsprep batch`: import many images by a plan; all are checked before the first is sent."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.options.common import PATH, CountType, output_options
from imsprep.cli.options.importing import base_options
from imsprep.cli.options.output import output_targets, write_output
from imsprep.cli.progress.bars import ClockRow, ImageBars
from imsprep.cli.progress.upload import AGAIN
from imsprep.cli.screen import end_bars, say, style_for
from imsprep.cli.settings.configured import ConfiguredCommand, profile_option, settings_here
from imsprep.errors import show_path
from imsprep.options import FAIL_ON
from imsprep.units import counted

if TYPE_CHECKING:
    from imsprep.pipeline.batch.values import BatchEntry, BatchSummary, Outcome
    from imsprep.progress import Event

JOBS = 4
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0  # between looks at all, in a log; ever longer

EPILOG = """\
\b
Example:
  imsprep batch plan.yaml --jobs 4 --output html:report.html
"""


@click.command(
    cls=ConfiguredCommand,
    epilog=EPILOG,
    first=("dry_run", "jobs", "skip_failing", "guest", "outputs"),
)
@click.argument("plan", type=PATH)
@click.option("--jobs", type=CountType(1),
              help=f"Images worked on at the same time (default: {JOBS}, or as many as the"
              f" cluster takes).")  # fmt: skip
@click.option(
    "--skip-failing", is_flag=True, help="Go on with the others if the check refuses some."
)
@click.option("--dry-run", is_flag=True, help="Check all, print the requests, send nothing.")
@click.option("--guest", is_flag=True,
              help="Check inside the file systems of every image too.")  # fmt: skip
@click.option("--boot", is_flag=True,
              help="Start every image in QEMU first; one that does not boot is not"
              " sent.")  # fmt: skip
@click.option("--fail-on", type=click.Choice(FAIL_ON),
              help="Findings from this severity on stop an import (default: what the plan"
              " says, or error).")  # fmt: skip
@click.option("--strict", is_flag=True, help="The same as --fail-on warning.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler.")
@click.option("--output", "outputs", multiple=True, metavar="FORMAT:FILE",
              help="Write the summary: text, json or html; repeatable.")  # fmt: skip
@profile_option
@output_options
def command(
    plan: Path, as_json: bool, quiet: bool, outputs: tuple[str, ...], **options: Any
) -> int:
    """Import the images of a plan: check all of them first, then several at a time.

    One that fails does not stop the others. After an interruption, run the same command again to
    continue; plan.yaml.batch.json, next to the plan, records how far it came. The exit code is 0 if
    every image exists, else that of the worst failure: 6, 3, 2, 1, 4, 7, 5 in this order, so that
    after 5 or 7 it is enough to run the same command again.
    """
    from imsprep import api
    from imsprep.cli import Terminated
    from imsprep.options import BatchOptions
    from imsprep.pipeline.batch.reports import FORMATS, render

    if options.pop("strict"):
        options["fail_on"] = "warning"
    asked = BatchOptions(**options, defaults=base_options(settings_here()))
    entries = api.read_plan(plan, asked)
    kept = [plan, api.journal_of(plan), *(Path(entry.image) for entry in entries)]
    kept += [Path(entry.options.bitmap) for entry in entries if entry.options.bitmap]
    targets = output_targets(outputs, FORMATS, kept)
    telling = _Telling(len(entries), quiet)

    def write(summary: BatchSummary) -> None:
        for format_, path in targets:
            write_output(path, render(summary, format_))
        style = replace(style_for(sys.stdout), offers={})  # a plan has keys, and no options
        sys.stdout.write(render(summary, "json" if as_json else "text", style))
        sys.stdout.flush()

    try:
        summary = api.run_batch(plan, entries, asked, telling)
    except (KeyboardInterrupt, Terminated) as stop:
        return _end_early(stop, telling, write, on_cluster=bool(asked.scheduler))
    write(summary)
    return summary.exit_code


def _end_early(
    stop: BaseException,
    telling: _Telling,
    write: Callable[[BatchSummary], None],
    *,
    on_cluster: bool,
) -> int:
    """Write what is known when Ctrl-C or SIGTERM ends a batch, and how to go on."""
    from imsprep.cli import INTERRUPTED, TERMINATED, Terminated

    end_bars()
    terminated = isinstance(stop, Terminated)
    code = TERMINATED if terminated else INTERRUPTED
    if telling.so_far is not None:
        write(replace(telling.so_far, interrupted=code))
    if on_cluster:
        say("what runs on the cluster goes on there")
    say(f"imsprep: {'terminated' if terminated else 'interrupted'}; {AGAIN}")
    return code


class _Telling:
    """What is shown while a batch goes on; entries' news come from several threads.

    On a terminal each image that is worked on has a bar; elsewhere news are lines.
    """

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet = total, quiet
        self.so_far: BatchSummary | None = None  # of a batch that was interrupted
        self._lock = threading.Lock()
        self._ended = 0
        self._refused: list[Outcome] = []
        self._at = ImageBars(quiet=quiet)
        self._check: ClockRow | None = None
        self._to_check = 0
        self._last: dict[str, str] = {}
        self._next, self._pause_s = 0.0, _FIRST_PAUSE_S

    def checking(self, count: int) -> None:
        """Print that the check begins."""
        if count:
            images = counted(count, "image")
            if count != self._total:
                images = f"{count} of {counted(self._total, 'image')}"
            self._say(f"checking {images} before anything is sent")
            self._check, self._to_check = ClockRow("check", quiet=self._quiet), count

    def checked(self, done: int) -> None:
        """Show how many are checked."""
        if self._check is not None:
            self._check.words = f"{done}/{counted(self._to_check, 'image')}; "
            if done == self._to_check:
                self._check.close()

    def refused(self, outcomes: list[Outcome], *, others: bool) -> None:
        """Print what the check did not take, and that nothing is started where that follows."""
        from imsprep.pipeline.batch.reports.rows import named, not_taken

        if others:
            self._refused = outcomes  # each gets its line
            return
        said = [f"{words}: {named(images)}" for words, images in not_taken(outcomes)]
        so = "nothing was sent (--skip-failing imports the others)"
        self._say("; ".join([*said, so]))

    def warn(self, text: str) -> None:
        """Print a warning, also if quiet."""
        say(f"imsprep: {text}")

    def working(self, done: int, count: int) -> None:
        """Print how much there is to do."""
        from imsprep.pipeline.batch.reports.rows import WORDS, reason_of

        self._ended = done
        if done:
            self._say(f"{done} of {self._total} images were done by an earlier run")
        for one in self._refused:
            self._ended += 1
            self._say(f"{self._counted(one.image)}: {WORDS[one.state]}: {reason_of(one)}")
        if count:
            self._say(f"importing {counted(count, 'image')}")

    def began(self, entry: BatchEntry) -> None:
        """Show that an entry is worked on."""
        self._at.begin(entry.shown)

    def ended(self, entry: BatchEntry, outcome: Outcome) -> None:
        """Tell what became of an entry."""
        from imsprep.pipeline.batch.reports.rows import doubts

        self._at.end(entry.shown)
        self._ended += 1
        text = f", image {outcome.image_id}" if outcome.image_id else f": {outcome.message}"
        found = doubts(outcome) if outcome.done else ""
        state = f"{outcome.state} with {found}" if found else outcome.state
        self._say(f"{self._counted(entry.shown)}: {state}{text}")

    def _counted(self, image: str) -> str:
        return f"[{self._ended}/{self._total}] {show_path(image)}"

    def passing(self) -> None:
        """Tell from time to time where the entries are."""
        now = time.monotonic()
        at = self._at.lines() if now >= self._next else []
        if at:
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self._next = now + self._pause_s
            ended = f"{self._ended} of {counted(self._total, 'image')} ended"
            self._say(f"{ended}, {len(at)} at work:")
            for line in at:
                self._say(line)

    def news(self, entry: BatchEntry, text: str) -> None:
        """Print an entry's progress, unless it was just printed."""
        with self._lock:
            if self._last.get(entry.shown) == text:
                return
            self._last[entry.shown] = text
        if not (self._at.shown and text.startswith("job ")):  # which has a bar
            self._say(f"{show_path(entry.shown)}: {text}")

    def moved(self, entry: BatchEntry, event: Event) -> None:
        """Show how far an entry is."""
        self._at.show(entry.shown, event)

    def moved_there(self, shown: str, event: Event) -> None:
        """Show how far an entry is that a cluster works on."""
        self._at.show(shown, event)

    def interrupted(self, summary: BatchSummary) -> None:
        """Keep what is known."""
        self.so_far = summary

    def _say(self, text: str) -> None:
        if not self._quiet:
            say(text)
