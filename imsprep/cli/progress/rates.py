"""What a step comes to in words: bytes done, rates over the last seconds, the time that is left.

What travels over the network and what is copied inside the store go at rates of their own, and what
is left is the longer of both times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from imsprep.progress import UPLOAD, Event
from imsprep.units import GIB, KIB, MIB, TIB, format_size

_WINDOW_S = 30.0  # over which a rate is taken: some parts long, for they end in bursts
_SETTLED_S = 2.0  # before that, no time left is said
_NEARLY = 0.99  # of a step that has not ended, though all of it was read


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
    """What is done of one step, in numbers and in words.

    The first event of a step says what there is to do.
    """

    def __init__(self, first: Event, now: float) -> None:
        self.what, self.began, self.estimated = first.step, now, first.estimated
        self.all = Rate(first.total, now)
        send, copy = (0, 0) if first.count else (first.sent, first.copied)
        self.sent, self.copied = Rate(send, now), Rate(copy, now)
        self.packed = Rate(0, now)  # of the disk that is packed while it is sent
        self.reused = 0  # bytes that an earlier run had sent

    def pack(self, count: int, total: int, now: float) -> None:
        """Note that `count` more bytes of a disk of `total` were packed."""
        self.packed.total = total
        self.packed.add(count, now)

    def add(self, count: int, now: float, *, sent: int = 0, copied: int = 0) -> None:
        """Note what more is done; sent and copied are of `count`, the rest was there before."""
        travels = self.sent.total or self.copied.total
        self.reused += count - sent - copied if travels else 0
        self.all.add(count, now)
        self.sent.add(sent, now)
        self.copied.add(copied, now)

    @property
    def ended(self) -> bool:
        """Whether all is done; totals that are not known, or estimated, never are."""
        return not self.estimated and 0 < self.all.total <= self.all.done

    @property
    def has_share(self) -> bool:
        """Whether it is known how much there is to do."""
        return bool(self.all.total or self.packed.total)

    @property
    def share(self) -> float:
        """How much is done, 0 to 1: of what travels, if anything does, for that takes the time."""
        if not self.all.total and self.packed.total:
            return min(_NEARLY, self.packed.done / self.packed.total)
        kind = self.sent if self.sent.total and not self.reused else self.all
        most = _NEARLY if self.estimated else 1.0
        return min(most, kind.done / kind.total) if kind.total else 0.0

    def words(self, now: float, room: int = 1000) -> str:
        """Return the numbers, as many as there is room for; the time that is left stays longest."""
        fits = (said for said in self._forms(now) if len(said) <= room)
        return next(fits, clock_time(now - self.began))

    def _forms(self, now: float) -> Iterator[str]:
        """Yield what can be said, the fullest first."""
        travels = self.sent.total or self.copied.total or self.packed.total
        kind, verb = (self.sent, " sent") if travels else (self.all, "")
        if self.reused:
            kind, verb = self.all, " there"
        amount, rate = _amount(kind, verb, estimated=self.estimated), _speed(kind, now)
        clock = f"{clock_time(now - self.began)} elapsed"
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
        if now - self.began < _SETTLED_S or not self.has_share:
            return None
        kinds = (self.sent, self.copied) if self.sent.total or self.copied.total else (self.all,)
        if not self.all.total:
            kinds = (self.packed,)
        if (self.estimated or not self.all.total) and any(0 < k.total <= k.done for k in kinds):
            return None  # the last parts are on their way, and nothing says how many
        left = [kind.left_s(now) for kind in kinds if kind.total]
        known = [one for one in left if one is not None]
        return max(known) if known and len(known) == len(left) else None

    def came_to(self, now: float, file: str | None = None) -> str:
        """Return what the step came to, in a line that may name the file."""
        took = now - self.began
        if self.what == UPLOAD and not (self.sent.done or self.copied.done):
            return f"{self.what:8} 0 bytes: {format_size(self.all.done)} were in the bucket already"
        if self.sent.done or self.copied.done:
            said = f"{format_size(self.sent.done)} sent"
            if self.copied.done:
                said += f", {format_size(self.copied.done)} copied"
            if self.reused:
                said += f", {format_size(self.reused)} were there"
            rate = self.sent.done / took if took > 0 else 0
        else:
            said, rate = format_size(self.all.done), self.all.done / took if took > 0 else 0
        of = f"{file}: " if file else ""
        return f"{self.what:8} {of}{said} in {clock_time(took)} ({_rate(rate)})"

    def as_dict(self, now: float) -> dict[str, object]:
        """Return plain values for a program."""
        values: dict[str, object] = {
            "event": "progress", "step": self.what, "done": self.all.done, "total": self.all.total,
            "seconds": round(now - self.began, 1),
        }  # fmt: skip
        if self.sent.total or self.copied.total:
            values |= {"sent": self.sent.done, "to_send": self.sent.total}
            values |= {"copied": self.copied.done, "to_copy": self.copied.total}
        if self.packed.total:
            values |= {"sent": self.sent.done, "packed": self.packed.done}
            values["to_pack"] = self.packed.total
        left = self._left_s(now)
        return values if left is None else {**values, "seconds_left": round(left, 1)}


def _amount(rate: Rate, verb: str, *, estimated: bool = False) -> str:
    if not rate.total or (estimated and rate.done >= rate.total):
        return f"{format_size(rate.done)}{verb}"
    pair = amount_of(rate.done, rate.total)
    return f"{pair.replace('/', '/~') if estimated else pair}{verb}"


def _speed(rate: Rate, now: float) -> str:
    speed = rate.at(now)
    return f", {_rate(speed)}" if speed else ""


def amount_of(done: int, total: int) -> str:
    """Write `1.1/1.8 GiB`: both in the unit of the whole, but `60 MiB/1.8 GiB` near the start."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if total >= unit:
            if 0 < done < unit / 10:
                return f"{format_size(done)}/{_short(total / unit)} {name}"
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
