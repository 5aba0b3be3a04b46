"""How far a step is: a bar on a terminal, a line now and then elsewhere, JSON lines for programs.

What travels over the network and what is copied inside the store go at rates of their own, and what
is left is the longer of both times. A bar's clock ticks while nothing else moves: a part of 32 MiB
may be on its way for a minute. A bar goes when its step ends; a line says what it came to.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from imsprep.cli import screen
from imsprep.progress import IMPORT
from imsprep.units import GIB, KIB, MIB, TIB, format_size

if TYPE_CHECKING:
    from tqdm import tqdm

    from imsprep.progress import Event

_TICK_S = 0.5
_WINDOW_S = 30.0  # over which a rate is taken: some parts long, for they end in bursts
_SETTLED_S = 2.0  # before that, no time left is said
_LINE_S = 10.0  # between two lines where there is no terminal
_JSON_S = 0.5  # between two lines for programs
_WORTH_A_LINE_S = 1.0


class Rate:
    """Bytes a second of one kind, over the last seconds."""

    def __init__(self, total: int, now: float) -> None:
        self.total, self.done = total, 0
        self._began = now
        self._samples: deque[tuple[float, int]] = deque([(now, 0)])

    def add(self, count: int, now: float) -> None:
        """Note that so many more bytes are done."""
        self.done += count
        self._samples.append((now, self.done))
        while len(self._samples) > 2 and self._samples[1][0] < now - _WINDOW_S:
            self._samples.popleft()

    def at(self, now: float) -> float:
        """Return bytes a second; 0 if nothing is known."""
        start, before = self._samples[0]
        if self.done == before:
            start, before = self._began, 0
        return (self.done - before) / (now - start) if now > start else 0.0

    def left_s(self, now: float) -> float | None:
        """Return the seconds that are left; None if that is not known."""
        left = self.total - self.done
        if left <= 0:
            return 0.0
        rate = self.at(now)
        return left / rate if rate > 0 else None


class Step:
    """What is done of one step, in numbers and in words."""

    def __init__(self, what: str, total: int, now: float, *, send: int = 0, copy: int = 0) -> None:
        self.what, self.began = what, now
        self.all = Rate(total, now)
        self.sent, self.copied = Rate(send, now), Rate(copy, now)

    def add(self, count: int, now: float, *, sent: int = 0, copied: int = 0) -> None:
        """Note what more is done; sent and copied are of `count`."""
        self.all.add(count, now)
        self.sent.add(sent, now)
        self.copied.add(copied, now)

    @property
    def ended(self) -> bool:
        """Whether all is done; unknown totals never are."""
        return 0 < self.all.total <= self.all.done

    @property
    def share(self) -> float:
        """How much is done, 0 to 1: of what travels, if anything does, for that takes the time."""
        kind = self.sent if self.sent.total else self.all
        return min(1.0, kind.done / kind.total) if kind.total else 0.0

    def words(self, now: float, room: int = 1000) -> str:
        """Return the numbers, as many as there is room for; the time that is left stays longest."""
        fits = (said for said in self._forms(now) if len(said) <= room)
        return next(fits, clock_time(now - self.began))

    def _forms(self, now: float) -> Iterator[str]:
        """Yield what can be said, the fullest first."""
        travels = self.sent.total or self.copied.total
        kind, verb = (self.sent, " sent") if travels else (self.all, "")
        amount, rate = _amount(kind, verb), _speed(kind, now)
        clock = clock_time(now - self.began)
        left_s = self._left_s(now)
        if self.copied.total:
            copied = _amount(self.copied, " copied") + _speed(self.copied, now)
            left = f", {clock_time(left_s)} left" if left_s is not None else ""
            yield f"{amount}{rate}; {copied}; {clock}{left}"
        if left_s is None:
            yield f"{amount}{rate}; {clock}"
            yield f"{amount}; {clock}"
            return
        left = f"{clock_time(left_s)} left"
        yield f"{amount}{rate}; {clock}, {left}"
        yield f"{amount}{rate}; {left}"
        yield f"{amount}; {left}"
        yield left

    def _left_s(self, now: float) -> float | None:
        if now - self.began < _SETTLED_S or not self.all.total:
            return None
        kinds = (self.sent, self.copied) if self.sent.total or self.copied.total else (self.all,)
        left = [kind.left_s(now) for kind in kinds if kind.total]
        known = [one for one in left if one is not None]
        return max(known) if known and len(known) == len(left) else None

    def came_to(self, now: float) -> str:
        """Return what the step came to, in a line."""
        took = now - self.began
        if self.sent.done or self.copied.done:
            said = f"{format_size(self.sent.done)} sent"
            if self.copied.done:
                said += f", {format_size(self.copied.done)} copied"
            rate = self.sent.done / took if took > 0 else 0
        else:
            said, rate = format_size(self.all.done), self.all.done / took if took > 0 else 0
        return f"{self.what:8} {said} in {clock_time(took)} ({_rate(rate)})"

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return plain values for a program."""
        values: dict[str, Any] = {
            "event": "progress", "step": self.what, "done": self.all.done, "total": self.all.total,
            "seconds": round(now - self.began, 1),
        }  # fmt: skip
        if self.sent.total or self.copied.total:
            values |= {"sent": self.sent.done, "to_send": self.sent.total}
            values |= {"copied": self.copied.done, "to_copy": self.copied.total}
        left = self._left_s(now)
        return values if left is None else {**values, "seconds_left": round(left, 1)}


def _amount(rate: Rate, verb: str) -> str:
    return f"{_pair(rate.done, rate.total) if rate.total else format_size(rate.done)}{verb}"


def _speed(rate: Rate, now: float) -> str:
    speed = rate.at(now)
    return f", {_rate(speed)}" if speed else ""


def _pair(done: int, total: int) -> str:
    """Write `1.1/1.8 GiB`: both in the unit of the whole."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if total >= unit:
            return f"{_short(done / unit)}/{_short(total / unit)} {name}"
    return f"{done}/{total} bytes"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _rate(bytes_per_s: float) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if bytes_per_s >= unit:
            return f"{_short(bytes_per_s / unit)} {name}/s"
    return f"{round(bytes_per_s)} B/s"


def clock_time(seconds: float) -> str:
    """Write a time as `0:06` or `1:02:03`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class Progress:
    """Bytes done, shown on stderr; calling the object with a number of bytes advances it."""

    def __init__(
        self, what: str, total: int, *, quiet: bool, send: int = 0, copy: int = 0,
        label: str | None = None, image: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._clock = clock
        self.step = Step(what, total, clock(), send=send, copy=copy)
        self._label, self._image = label or what, image
        self._mode = screen.NONE if quiet else screen.progress_mode()
        self._last = clock()
        self._bar: tqdm[Any] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.step.began = self._clock()
        if self._mode == screen.BAR:
            self._bar = _bar(self._label, self.step, self._clock)
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away; nothing if there is none."""
        with self._lock:
            bar, self._bar = self._bar, None
        if bar is not None:
            _leave(bar)

    def __call__(self, count: int, note: str = "", *, sent: int = 0, copied: int = 0) -> None:
        """Note that `count` more bytes are done, so many of them sent and copied."""
        now = self._clock()
        with self._lock:
            self.step.add(count, now, sent=sent, copied=copied)
            ended = self.step.ended
        if self._bar is not None:
            if ended:
                self._end(now)
        elif self._mode == screen.JSON and (ended or now >= self._last + _JSON_S):
            self._last = now
            image = {"image": self._image} if self._image else {}
            screen.write_event({**self.step.as_dict(now), **image})
        elif self._mode == screen.PLAIN and self._image is None and now >= self._last + _LINE_S:
            self._last = now
            screen.say(f"{self.step.what}: {self._share()}{self.step.words(now)}")

    def _share(self) -> str:
        return f"{self.step.share:.0%}; " if self.step.all.total else ""

    def _end(self, now: float) -> None:
        self.close()
        if self._image is not None:
            return
        if self.step.sent.total or now - self.step.began >= _WORTH_A_LINE_S:
            screen.say(self.step.came_to(now))


def _bar(label: str, step: Step, clock: Callable[[], float]) -> tqdm[Any]:
    """Return a bar whose words are the step's, and keep its clock ticking."""
    from tqdm import tqdm  # loading it takes as long as scanning a small image

    class Bar(tqdm):  # type: ignore[type-arg]
        """tqdm, with our words behind the bar."""

        @property
        def format_dict(self) -> dict[str, Any]:
            values = dict(super().format_dict)
            columns = values["ncols"] = _columns()
            values["n"] = step.share * (step.all.total or 0)
            values["said"] = step.words(clock(), room=max(12, columns - len(label) - 18))
            return values

    share = "{percentage:3.0f}%|{bar}| " if step.all.total else ""
    bar = Bar(
        total=step.all.total or None, desc=f"{label:8}", file=sys.stderr, dynamic_ncols=True,
        leave=False, bar_format=f"{{desc}} {share}{{said}}", mininterval=0,
    )  # fmt: skip
    _TICKER.add(bar)
    return bar


def _columns() -> int:
    """Return the columns for a bar: asked at each drawing, for a window is resized."""
    return (screen.columns(sys.stderr) or 80) - 1


class JobBar:
    """How far an import job is, in percent, with a clock."""

    def __init__(
        self, *, quiet: bool, label: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._began, self._label = clock, clock(), label
        self._mode = screen.NONE if quiet else screen.progress_mode()
        self._bar: tqdm[Any] | None = None
        self._status, self._share = "", 0.0

    @property
    def shows(self) -> bool:
        """Whether there is a terminal for a bar."""
        return self._mode == screen.BAR

    def status(self, job_id: str, status: str, share: float | None, *, ended: bool) -> None:
        """Show what the service says of a job."""
        self._status, self._share = status.lower(), share or 0.0
        if self._mode == screen.JSON:
            event = {"event": "job", "job_id": job_id, "status": status, "progress": share}
            screen.write_event(event)
        elif self.shows and ended:
            self.close()
        elif self.shows and self._bar is None:
            if not self._label:
                screen.say(f"job      {job_id}")
            self._began = self._clock()
            self._bar = self._made()

    def close(self) -> None:
        """Take the bar away."""
        bar, self._bar = self._bar, None
        if bar is not None:
            _leave(bar)

    def _made(self) -> tqdm[Any]:
        from tqdm import tqdm

        job = self

        class Bar(tqdm):  # type: ignore[type-arg]
            """tqdm, with the job's status behind the bar."""

            @property
            def format_dict(self) -> dict[str, Any]:
                values = dict(super().format_dict)
                values["ncols"] = _columns()
                values["n"] = round(job._share * 100)
                values["said"] = f"{job._status}, {clock_time(job._clock() - job._began)}"
                return values

        bar: tqdm[Any] = Bar(
            total=100, desc=self._label or "import  ", file=sys.stderr, dynamic_ncols=True,
            leave=False,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {said}", mininterval=0,
        )  # fmt: skip
        _TICKER.add(bar)
        return bar


class ImageBars:
    """One bar an image, for a batch: the step that it is at."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._at: dict[str, tuple[str, Progress | JobBar]] = {}
        self.shown = not quiet and screen.progress_mode() == screen.BAR

    def show(self, image: str, event: Event) -> None:
        """Show an event of an image, which may come from any thread."""
        with self._lock:
            step, bar = self._at.get(image, ("", None))
            if bar is None or step != event.step:
                if bar is not None:
                    bar.close()
                bar = self._made(image, event)
                self._at[image] = (event.step, bar)
        if isinstance(bar, JobBar):
            bar.status(event.job_id or "", event.text, event.count / 100, ended=False)
        elif event.count:
            bar(event.count, sent=event.sent, copied=event.copied)

    def _made(self, image: str, event: Event) -> Progress | JobBar:
        label = _label(image, event.step)
        if event.step == IMPORT:
            return JobBar(quiet=self._quiet, label=label)
        first = event.count == 0  # says what is to come
        send, copy = (event.sent, event.copied) if first else (0, 0)
        bar = Progress(
            event.step, event.total, quiet=self._quiet, send=send, copy=copy, label=label,
            image=image,
        )  # fmt: skip
        return bar.__enter__()

    def end(self, image: str) -> None:
        """Take an image's bar away."""
        with self._lock:
            _, bar = self._at.pop(image, ("", None))
        if bar is not None:
            bar.close()

    def lines(self) -> list[str]:
        """Return how far each image is, where there are no bars."""
        if self.shown or screen.progress_mode() != screen.PLAIN:
            return []
        with self._lock:
            at = list(self._at.items())
        now = time.monotonic()
        return [
            f"{image}: {step} {bar.step.words(now)}"
            for image, (step, bar) in at
            if isinstance(bar, Progress)
        ]


def _label(image: str, step: str) -> str:
    """Return an image's name and its step in 24 columns: the end of a long name tells more."""
    room = 15
    if len(image) > room:
        image = image.rpartition("/")[2]
    name = image if len(image) <= room else "…" + image[1 - room :]
    return f"{name:{room}} {step:8}"


class _Ticker:
    """A thread that draws the bars again, so that clocks go on while nothing moves."""

    def __init__(self) -> None:
        self._bars: list[Any] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, bar: Any) -> None:
        with self._lock:
            self._bars.append(bar)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)
                self._thread.start()

    def remove(self, bar: Any) -> None:
        with self._lock:
            if bar in self._bars:
                self._bars.remove(bar)

    def all(self) -> list[Any]:
        with self._lock:
            return list(self._bars)

    def _run(self) -> None:
        while True:
            time.sleep(_TICK_S)
            with self._lock:
                if not self._bars:
                    self._thread = None
                    return
                for bar in self._bars:
                    with contextlib.suppress(OSError, ValueError):
                        bar.refresh()


_TICKER = _Ticker()


def _leave(bar: Any) -> None:
    _TICKER.remove(bar)
    bar.close()


def close_all() -> None:
    """Take every bar away, before the last word is said."""
    for bar in _TICKER.all():
        _leave(bar)
