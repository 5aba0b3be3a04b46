"""What a person sees of one call of the library: its events as bars, lines and news."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from imsprep.cli.progress.bars import ClockRow, JobBar, ProgressBar, share_of
from imsprep.cli.progress.upload import AGAIN, if_interrupted
from imsprep.cli.screen import say
from imsprep.errors import WaitTimeoutError
from imsprep.progress import CONVERT, IMPORT, UPLOAD
from imsprep.units import format_size

if TYPE_CHECKING:
    from imsprep.options import ImportOptions, WaitOptions
    from imsprep.progress import Event

_ENDED = ("SUCCESS", "FAIL")  # statuses after which a job says nothing more
_WHERE = ("site", "region", "endpoint", "api", "ca_bundle")


class Watcher:
    """Takes the events of a call; the bar of a step is there from its first event to its end.

    Of one of several files the name is shown too.
    """

    def __init__(self, *, quiet: bool, file: str | None = None) -> None:
        self._quiet, self._file = quiet, file
        self._steps: dict[str, ProgressBar] = {}
        self._check: ClockRow | None = None
        self._job, self._last = JobBar(quiet=quiet), ""
        self.jobs: list[str] = []  # ids of jobs that were started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end_steps()
        self._job.close()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.job_id is not None and event.job_id not in self.jobs:
            self.jobs.append(event.job_id)
        if event.step == IMPORT and event.job_id is not None:
            self._show_job(event)
        elif event.text:
            self.say(event.text)
        else:
            self._show_step(event)

    def say(self, text: str) -> None:
        """Print news, unless they were said just now."""
        if text != self._last and not self._quiet:
            say(text)
        self._last = text

    def begin_check(self) -> None:
        """Show that an image is looked at, until another step begins or all end."""
        self._check = ClockRow("check", quiet=self._quiet)

    def _end_check(self) -> None:
        if self._check is not None:
            self._check.close()
            self._check = None

    def end_steps(self) -> None:
        """Take the bars of steps away."""
        self._end_check()
        for bar in self._steps.values():
            bar.close()
        self._steps.clear()

    @contextmanager
    def going_on(self, options: ImportOptions | WaitOptions) -> Iterator[None]:
        """Add how to go on where an interruption or the limit ends the block."""
        again = _waiting(options)

        def lines() -> list[str]:
            sent = self._steps[UPLOAD].step.sent.done if UPLOAD in self._steps else 0
            so_far = [f"upload   {format_size(sent)} sent so far"] if sent else []
            waits = [
                f"job {job} goes on; to wait for it: imsprep wait {shlex.quote(job)}{again}"
                for job in self.jobs
            ]
            return [*so_far, *waits, AGAIN]

        try:
            with if_interrupted(lines):
                yield
        except WaitTimeoutError as error:
            if error.job_id is None:
                raise
            job_id = shlex.quote(error.job_id)
            raise WaitTimeoutError(f"{error}: imsprep wait {job_id}{again}") from error

    def _show_step(self, event: Event) -> None:
        self._end_check()
        # One bar at a time: what is packed while it is sent is seen in how much is sent.
        if event.step == UPLOAD and CONVERT in self._steps:
            self._steps.pop(CONVERT).close()
        elif event.step == CONVERT and UPLOAD in self._steps:
            self._steps[UPLOAD].pack(event.count, event.total)
            return
        bar = self._steps.get(event.step)
        if bar is None:
            bar = ProgressBar(event, quiet=self._quiet, file=self._file)
            self._steps[event.step] = bar.__enter__()
        if event.count:
            bar(event.count, sent=event.sent, copied=event.copied)

    def _show_job(self, event: Event) -> None:
        if not event.text:
            return
        if UPLOAD in self._steps:
            self._steps.pop(UPLOAD).finish()
        job_id, share = event.job_id or "", share_of(event)
        self._job.status(job_id, event.text, share, ended=event.text in _ENDED)
        if not self._job.shows:
            known = f" {share:.0%}" if share is not None and event.text not in _ENDED else ""
            self.say(f"job {job_id}: {event.text}{known}")


def _waiting(options: ImportOptions | WaitOptions) -> str:
    """Return the options with which `imsprep wait` finds the service again."""
    local = options.to is not None and options.to.startswith("local:")
    again = {"to": options.to if local else None}
    again |= {name: getattr(options, name) for name in _WHERE}
    words = [
        word
        for name, value in again.items()
        if value
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    return f" {shlex.join(words)}" if words else ""
