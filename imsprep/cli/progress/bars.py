"""How far a step is: a bar on a terminal, a line now and then elsewhere, JSON lines for programs.

How many bytes a disk comes to that is packed while it is sent is not known: there the share is that
of the disk. A bar's clock ticks while nothing else moves: a part of 32 MiB may be on its way for a
minute. A bar goes when its step ends; a line says what it came to.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from imsprep.cli import screen
from imsprep.cli.progress.board import BOARD
from imsprep.cli.progress.rates import Step, clock_time
from imsprep.progress import CONVERT, IMPORT, UPLOAD

if TYPE_CHECKING:
    from imsprep.progress import Event

_LOG = logging.getLogger(__name__)

LINE_S = 10.0  # between two lines where there is no terminal
_JSON_S = 0.5  # between two lines for programs
_WORTH_A_LINE_S = 1.0
_CHECK = "check"  # what an import begins with
_LOG_ROOM = 53  # of 80 columns, behind an image and its step


class ProgressBar:
    """Bytes done, shown on stderr; calling the object with a number of bytes advances it.

    `first` is the first event of the step; its bytes are counted by a call as all others are. Of an
    `image` among many there are no lines, and its `row` stands where `ImageBars` puts it; of a
    `file` there are.
    """

    def __init__(
        self, first: Event, *, quiet: bool, image: str | None = None, file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._clock = clock
        self.step = Step(first, clock())
        self._image, self._file = image, file
        named = image or file
        self._label = label_of(named, first.step) if named else first.step
        self._mode = screen.NONE if quiet else screen.progress_mode()
        self._last = clock()
        self._shown = self._lines = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.step.began = self._clock()
        if self._mode == screen.BAR:
            self._shown = True
            BOARD.add(self.row)
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away; nothing if there is none."""
        self._shown = False
        BOARD.remove(self.row)

    def __call__(self, count: int, note: str = "", *, sent: int = 0, copied: int = 0) -> None:
        """Note that `count` more bytes are done, so many of them sent and copied."""
        self._note(lambda now: self.step.add(count, now, sent=sent, copied=copied))

    def finish(self) -> None:
        """Take the bar away and say what it came to: of a step whose whole was not known."""
        self._end(self._clock())

    def pack(self, count: int, total: int) -> None:
        """Note that `count` more bytes of a disk of `total` were packed to be sent."""
        self._note(lambda now: self.step.pack(count, total, now))

    def _note(self, add: Callable[[float], None]) -> None:
        now = self._clock()
        with self._lock:
            add(now)
            ended = self.step.ended
        if ended and self._mode in (screen.BAR, screen.PLAIN):
            self._end(now)
        elif self._mode == screen.JSON and (ended or now >= self._last + _JSON_S):
            self._last = now
            named = self._image or self._file
            image = {"image": named} if named else {}
            screen.write_event({**self.step.as_dict(now), **image})
        elif self._mode == screen.PLAIN and self._image is None and now >= self._last + LINE_S:
            self._last, self._lines = now, True
            share = f"{self.step.share:.0%}; " if self.step.has_share else ""
            of = f" {self._file}" if self._file else ""
            screen.say(f"{self.step.what}{of}: {share}{self.step.words(now)}")

    def _end(self, now: float) -> None:
        """Say what it came to: where there was a bar, or lines that have to end."""
        shown, lines = self._shown, self._lines
        self.close()
        self._lines = False
        if self._image is not None or not (shown or lines):
            return
        if lines or self.step.sent.done or now - self.step.began >= _WORTH_A_LINE_S:
            screen.say(self.step.came_to(now, self._file))

    def words(self, room: int) -> str:
        """Return how far it is, in so many columns, for a line where there is no bar."""
        with self._lock:
            share = f"{self.step.share:4.0%}  " if self.step.has_share else ""
            return share + self.step.words(self._clock(), room - len(share))

    def row(self) -> str:
        """Return how far it is as a row of the board."""
        columns, now = _columns(), self._clock()
        with self._lock:
            said = self.step.words(now, room=max(12, columns - len(self._label) - 18))
            share = self.step.share if self.step.has_share else None
        return _drawn(self._label, share, said, columns)


def _drawn(label: str, share: float | None, said: str, columns: int) -> str:
    """Return a row: the label, a bar if the share is known, and words."""
    from tqdm import tqdm  # loading it takes as long as scanning a small image

    bar = "" if share is None else "{percentage:3.0f}%|{bar}| "
    words: dict[str, Any] = {"label": f"{label:8}", "said": said}  # of the format
    row: str = tqdm.format_meter(
        share or 0.0, 1.0, 0.0, ncols=columns, ascii=not _has_blocks(),
        bar_format=f"{{label}} {bar}{{said}}", **words,
    )  # fmt: skip
    return row


def _has_blocks() -> bool:
    """Return whether the terminal's encoding has the blocks that a bar is made of."""
    try:
        "█▏".encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _columns() -> int:
    """Return the columns for a bar: asked at each drawing, for a window is resized."""
    return (screen.columns(sys.stderr) or 80) - 1


class ClockRow:
    """A step of which nothing is known but that it goes on: a row with a clock, after a second."""

    def __init__(
        self, label: str, *, quiet: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._clock, self._began = label, clock, clock()
        self.words = ""  # what there is to say of it, before the clock
        if not quiet and screen.progress_mode() == screen.BAR:
            BOARD.add(self._row)

    def close(self) -> None:
        """Take the row away."""
        BOARD.remove(self._row)

    def _row(self) -> str:
        passed_s = self._clock() - self._began
        if passed_s < _WORTH_A_LINE_S:
            return ""
        return _drawn(self._label, None, f"{self.words}{clock_time(passed_s)}", _columns())


class JobBar:
    """How far an import job is, with a clock; in percent where the service tells.

    Of an `image` among many the `row` stands where `ImageBars` puts it.
    """

    def __init__(
        self, *, quiet: bool, image: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._began, self._image = clock, clock(), image
        self._mode = screen.NONE if quiet else screen.progress_mode()
        self._shown = False
        self._status = ""
        self._share: float | None = None

    @property
    def shows(self) -> bool:
        """Whether there is a terminal for a bar."""
        return self._mode == screen.BAR

    def status(self, job_id: str, status: str, share: float | None, *, ended: bool) -> None:
        """Show what the service says of a job."""
        self._status, self._share = status.lower(), share
        if self._mode == screen.JSON:
            event = {"event": "job", "job_id": job_id, "status": status, "progress": share}
            screen.write_event(event)
        elif self.shows and ended:
            self.close()
        elif self.shows and not self._shown:
            _LOG.info("job %s", job_id)  # -v shows it; the command's result has it anyway
            self._began, self._shown = self._clock(), True
            if self._image is None:
                BOARD.add(self.row)

    def close(self) -> None:
        """Take the bar away."""
        self._shown = False
        BOARD.remove(self.row)

    def words(self, room: int) -> str:
        """Return how far it is for a line where there is no bar; a status fits in any `room`."""
        share = f"{self._share:4.0%}  " if self._share is not None else ""
        return f"{share}{self._status}, {clock_time(self._clock() - self._began)}"

    def row(self) -> str:
        """Return how far it is as a row of the board."""
        said = f"{self._status}, {clock_time(self._clock() - self._began)}"
        label = IMPORT if self._image is None else label_of(self._image, IMPORT)
        return _drawn(label, self._share, said, _columns())


class _AtWork:
    """An image that is worked on: one row from its start to its end, whatever step it is at.

    Before there is anything to count it is checked, and the row has a clock.
    """

    def __init__(self, image: str, *, quiet: bool, clock: Callable[[], float]) -> None:
        self._image, self._quiet, self._clock, self._began = image, quiet, clock, clock()
        self._step = _CHECK
        self._bar: ProgressBar | JobBar | None = None

    def show(self, event: Event) -> ProgressBar | JobBar | None:
        """Take an event; return the bar of its step, None if that needs no more."""
        if self._step == UPLOAD and event.step == CONVERT and isinstance(self._bar, ProgressBar):
            self._bar.pack(event.count, event.total)
            return None
        if self._bar is None or self._step != event.step:
            quiet = self._quiet
            made: ProgressBar | JobBar = (
                JobBar(quiet=quiet, image=self._image, clock=self._clock)
                if event.step == IMPORT
                else ProgressBar(event, quiet=quiet, image=self._image, clock=self._clock)
            )
            self._step, self._bar = event.step, made
        return self._bar

    def row(self) -> str:
        """Return how far it is as a row of the board."""
        if self._bar is not None:
            return self._bar.row()
        return _drawn(label_of(self._image, self._step), None, self._passed(), _columns())

    def line(self) -> str:
        """Return how far it is for a log."""
        said = self._passed() if self._bar is None else self._bar.words(_LOG_ROOM)
        return f"  {label_of(self._image, self._step)} {said}"

    def _passed(self) -> str:
        return clock_time(self._clock() - self._began)


class ImageBars:
    """One row an image, for a batch: the step that it is at."""

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._clock = quiet, clock
        self._lock = threading.Lock()
        self._at: dict[str, _AtWork] = {}
        self.shown = not quiet and screen.progress_mode() == screen.BAR

    def begin(self, image: str) -> None:
        """Show that an image is worked on from now on."""
        with self._lock:
            self._begun(image)

    def _begun(self, image: str) -> _AtWork:
        if image not in self._at:
            self._at[image] = _AtWork(image, quiet=self._quiet, clock=self._clock)
            if self.shown:
                BOARD.add(self._at[image].row)
        return self._at[image]

    def show(self, image: str, event: Event) -> None:
        """Show an event of an image, which may come from any thread."""
        with self._lock:
            bar = self._begun(image).show(event)
        if isinstance(bar, JobBar):
            bar.status(event.job_id or "", event.text, share_of(event), ended=False)
        elif bar is not None and event.count:
            bar(event.count, sent=event.sent, copied=event.copied)

    def end(self, image: str) -> None:
        """Take an image's row away."""
        with self._lock:
            ended = self._at.pop(image, None)
        if ended is not None:
            BOARD.remove(ended.row)

    def lines(self) -> list[str]:
        """Return how far each image is, a line for each, where there are no bars."""
        if self._quiet or self.shown or screen.progress_mode() != screen.PLAIN:
            return []
        with self._lock:
            at = list(self._at.values())
        return [one.line() for one in at]


def share_of(event: Event) -> float | None:
    """Return how far a job is, 0 to 1; None if the service does not tell."""
    return event.count / event.total if event.total else None


def label_of(image: str, step: str) -> str:
    """Return an image's name and its step in 24 columns; of a long name the end of its stem."""
    room = 15
    if len(image) > room:
        image = image.rpartition("/")[2]
    if len(image) > room:
        image = image.rpartition(".")[0] or image
    name = image if len(image) <= room else "…" + image[1 - room :]
    return f"{name:{room}} {step:8}"
