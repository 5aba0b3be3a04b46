"""Bench: how fast this machine scans each kind of region, on files that are made for it.

    hole      nothing is stored
    zeros     written zeros, which must be read
    random    data, of which one page in each block is read
    mixed     zeros and data in turn, in runs of 16 MiB

One file at a time is made in the folder to be measured, and has no name there while it is used, so
that nothing is left over, whatever ends the run. `estimate` does the same for an image that exists.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from imsprep.errors import ReadError, show_path
from imsprep.image.file import RawImage
from imsprep.options import BenchOptions
from imsprep.progress import BENCH, counting
from imsprep.scan.bench.figures import (
    CACHED,
    COLD,
    Clock,
    CountBytes,
    Spread,
    make_cached,
    rate,
    read_in_order,
)
from imsprep.scan.scan import scan
from imsprep.system.mounts import file_system
from imsprep.system.pagecache import make_cold
from imsprep.units import MIB, exact_size, format_size

HOLE, ZEROS, RANDOM, MIXED = "hole", "zeros", "random", "mixed"
DISK = "disk"  # no kind of region: random data read in order, as `cat` does
ANY = "any"  # no cache plays a part
KINDS = (HOLE, ZEROS, RANDOM, MIXED)

_RUN = 16 * MIB  # bytes written at once; of zeros or data in turn, where they are mixed
_SYNC = 64 * MIB  # bytes after which the disk is waited for, so that a signal is heard soon
_SPARE = 64 * MIB  # bytes left free besides the file


@dataclass(frozen=True)
class Rate:
    """How fast one kind was scanned, or read in order."""

    what: str  # one of KINDS, or DISK
    cache: str  # cold or cached, or ANY
    bytes_per_s: Spread

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {**vars(self), "bytes_per_s": self.bytes_per_s.as_dict()}


@dataclass(frozen=True)
class Bench:
    """What was measured in one folder."""

    folder: str
    file_system: str  # "" if unknown
    size: int  # bytes of each kind
    runs: int
    rates: tuple[Rate, ...]
    missing: tuple[str, ...]  # what could not be measured, and why

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {**vars(self), "rates": [rate.as_dict() for rate in self.rates]}

    def __str__(self) -> str:
        """Write it as a table."""
        on = f" ({self.file_system})" if self.file_system else ""
        lines = [
            f"{exact_size(self.size)} of each kind in {self.folder}{on}, {self.runs} runs",
            "",
            f"{'':26}{'min':>14}{'median':>14}{'max':>14}",
        ]
        for one in self.rates:
            what = "disk, read in order" if one.what == DISK else f"scan of {one.what}"
            what += "" if one.cache == ANY else f", {one.cache}"
            lines.append(f"{what:26}" + "".join(f"{rate(value):>14}" for value in one.bytes_per_s))
        return "\n".join([*lines, *(["", *self.missing] if self.missing else [])])


def bench(folder: Path, options: BenchOptions, clock: Clock = time.perf_counter) -> Bench:
    """Measure a folder's disk with `size` bytes of each kind; `clock` counts seconds.

    Raises ReadError if the folder cannot be written or has too little room.
    """
    _check_room(folder, options.size)
    progress = counting(options.progress, BENCH, 0)
    rates: list[Rate] = []
    missing: dict[str, None] = {}  # in order, each once
    named = ""
    for kind in KINDS:
        with scratch_file(folder) as path:
            fill(path, kind, options.size, progress)
            with RawImage.open(path) as image:
                named = file_system(image.fileno())
                one = _Measuring(image, kind, clock, progress, options)
                rates += one.rates()
                missing |= dict.fromkeys(one.missing)
    order = {what: place for place, what in enumerate((DISK, *KINDS))}
    rates.sort(key=lambda one: order[one.what])
    return Bench(show_path(folder), named, options.size, options.runs, tuple(rates), tuple(missing))


@dataclass
class _Measuring:
    """One file of one kind, measured."""

    image: RawImage
    kind: str
    clock: Clock
    progress: CountBytes
    options: BenchOptions

    def __post_init__(self) -> None:
        self.missing: list[str] = []
        self._all = [(0, self.image.size)]

    def rates(self) -> Iterator[Rate]:
        """Measure what can be measured; what cannot is noted in `missing`."""
        if self.kind == HOLE:
            yield Rate(HOLE, ANY, self._spread(self._scan, lambda: True))
            return
        if self._cold():
            if self.kind == RANDOM:
                yield Rate(DISK, COLD, self._spread(self._read, self._cold))
            yield Rate(self.kind, COLD, self._spread(self._scan, self._cold))
        else:
            self.missing.append(
                "cold: not measured; this file system keeps its files in memory, or does not"
                " report whether one was dropped from it"
            )
        if make_cached(self.image, self._all, lambda count: None):
            yield Rate(self.kind, CACHED, self._spread(self._scan, lambda: True))
        else:
            self.missing.append(
                f"{self.kind}, cached: not measured; a file of {format_size(self.image.size)} does"
                " not stay in memory here"
            )

    def _spread(self, work: Callable[[], object], before: Callable[[], object]) -> Spread:
        rates = []
        for _ in range(self.options.runs):
            before()
            start = self.clock()
            work()
            rates.append(self.image.size / max(self.clock() - start, 1e-9))
        return Spread.of(rates)

    def _cold(self) -> bool:
        return make_cold(self.image.fileno(), self._all)

    def _scan(self) -> None:
        # The file is ours, and open for writing here: that is how it is removed at any end.
        options = replace(self.options, force_share=True)
        scan(self.image, options.scanning(jobs=options.jobs), self.progress)

    def _read(self) -> None:
        read_in_order(self.image, 0, self.image.size, self.progress)


def _check_room(folder: Path, size: int) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ReadError.from_os(error, "cannot measure in", folder) from error
    if free < size + _SPARE:
        raise ReadError(
            f"too little room in {show_path(folder)}: {format_size(size + _SPARE)} are needed,"
            f" {format_size(free)} are free; use smaller files, or another folder",
            remedies=("size", "folder"),
        )


@contextlib.contextmanager
def scratch_file(folder: Path) -> Iterator[Path]:
    """Make a file in a folder and yield a path to it, which need not be its name."""
    # Named before it is made: a signal may arrive between the two.
    name = folder / f".imsprep-bench.{secrets.token_hex(8)}.part"
    try:
        try:
            file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ReadError.from_os(error, "cannot write in", folder) from error
        with os.fdopen(file, "rb"):
            opened = Path(f"/proc/self/fd/{file}")
            if opened.exists():
                name.unlink()  # it lasts as long as it is open, even if this process is killed
                yield opened
            else:
                yield name
    finally:
        name.unlink(missing_ok=True)


def fill(path: Path, kind: str, size: int, progress: CountBytes) -> None:
    """Write a file of one kind and see it on the disk."""
    try:
        with open(path, "r+b", buffering=0) as file:
            os.truncate(file.fileno(), size)
            for place in range(0, size if kind != HOLE else 0, _RUN):
                data = kind == RANDOM or (kind == MIXED and place // _RUN % 2)
                length = min(_RUN, size - place)
                view = memoryview(os.urandom(length) if data else bytes(length))
                while view:
                    view = view[file.write(view) :]
                if place % _SYNC == 0:
                    os.fsync(file.fileno())
                progress(length)
            os.fsync(file.fileno())
    except OSError as error:
        raise ReadError.from_os(error, "cannot write", path) from error
