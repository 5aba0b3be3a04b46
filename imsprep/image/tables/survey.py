"""What a survey of an image's tables returns: a ledger of the parts of the file that they name.

Each part is named once. What is named behind the end of the file is missing; what is named twice is
damaged. A *gap* is a part that no table names: in most formats there is nothing in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from imsprep.errors import FormatError
from imsprep.units import MIB, TIB

Read: TypeAlias = Callable[[int, int], bytes]  # offset, length -> bytes; fewer at the end
Offsets: TypeAlias = NDArray[np.int64]

TABLE_LIMIT = 512 * MIB  # bytes of one table; that of a TiB in the smallest units has fewer
LARGEST_DISK = 64 * TIB  # of VHDX and VMDK; of the others it is not reached
_FAR = 1 << 62  # no file reaches there, and a length may be added without an overflow

# What helps; {driver} is QEMU's name of the format, {image} the file as a shell takes it.
DOWNLOAD = "download or copy it again, and compare its checksum with that of the source"
FLATTEN = (
    "make a whole one of it first, where all its files are: qemu-img convert -f {driver} -O qcow2"
    " {image} whole.qcow2"
)
DECRYPT = (
    "write it without encryption where its key is: qemu-img convert --object secret,id=k,file=KEY"
    " --image-opts driver={driver},file.filename={image},encrypt.key-secret=k -O qcow2 plain.qcow2"
)
CLOSE = "shut down what uses it; if nothing does, repair a copy: qemu-img check -r all {image}"


class SurveyError(FormatError):
    """An image that is not whole, or not by itself; `advice` says what helps."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


def cut_short(end: int, size: int, what: str = "its tables point") -> SurveyError:
    """Return the error of a file of `size` bytes that must reach to byte `end`."""
    where = f"byte {end}" if end < _FAR else "far beyond the end of any file"
    return SurveyError(
        f"it is cut short or damaged, as {what} to {where}, and the file ends at byte {size}",
        DOWNLOAD,
    )


def damaged(what: str, offset: int) -> SurveyError:
    """Return the error of a record that cannot be right."""
    return SurveyError(f"it is damaged: {what} (at byte {offset})", DOWNLOAD)


class Ledger:
    """Which bytes of a file of `size` bytes are named, and by what."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._starts: list[Offsets] = []
        self._stops: list[Offsets] = []
        self._names: list[str] = []

    def add(self, offset: int, length: int, name: str) -> None:
        """Note one part; raises FormatError if it lies behind the end of the file."""
        start = min(offset, _FAR)
        self.add_all(np.array([start], np.int64), length, name)

    def add_all(self, offsets: Offsets, lengths: int | Offsets, name: str) -> None:
        """Note many parts of one kind; raises FormatError if one is behind the file's end."""
        if not len(offsets):
            return
        starts = np.minimum(offsets.astype(np.uint64), np.uint64(_FAR)).astype(np.int64)
        stops = starts + lengths
        end = int(stops.max())
        if end > self.size:
            raise cut_short(end, self.size)
        self._starts.append(starts)
        self._stops.append(stops)
        self._names.append(name)

    def check_apart(self) -> None:
        """Raise FormatError if two parts overlap."""
        starts, stops, kinds = self._sorted()
        wrong = np.flatnonzero(starts[1:] < stops[:-1])
        if len(wrong):
            at = int(wrong[0])
            first, second = self._names[kinds[at]], self._names[kinds[at + 1]]
            raise damaged(f"{first} and {second} lie over each other", int(starts[at + 1]))

    def gaps(self, least: int) -> list[tuple[int, int]]:
        """Return offset and length of each gap of at least `least` bytes, in order."""
        starts, stops, _ = self._sorted()
        begin = np.concatenate(([0], np.maximum.accumulate(stops)))
        length = np.concatenate((starts, [self.size])) - begin
        return [(int(begin[i]), int(length[i])) for i in np.flatnonzero(length >= max(1, least))]

    def _sorted(self) -> tuple[Offsets, Offsets, Offsets]:
        if not self._starts:
            empty = np.zeros(0, np.int64)
            return empty, empty, empty
        starts, stops = np.concatenate(self._starts), np.concatenate(self._stops)
        kinds = np.repeat(np.arange(len(self._starts)), [len(s) for s in self._starts])
        kept = np.flatnonzero(stops > starts)
        order = kept[np.argsort(starts[kept], kind="stable")]
        return starts[order], stops[order], kinds[order]


@dataclass(frozen=True)
class Survey:
    """What an image's tables say, where they hold together. Sizes in bytes."""

    virtual_size: int
    ledger: Ledger
    # A gap of so many bytes that holds data is what a lost entry leaves; None: gaps are usual.
    least_gap: int | None = None
    freed: int = 0  # bytes of gaps that the tables themselves explain
    notes: tuple[str, ...] = ()  # what the user should know of an image that is read all the same
    options: Mapping[str, object] = field(default_factory=dict)  # for QEMU's driver
    hint: str = ""  # what may be the reason if QEMU cannot read it, other than damage
    has_check: bool = False  # `qemu-img check` knows the format


def table(read: Read, size: int, offset: int, length: int) -> bytes:
    """Return a table whole; FormatError if the file ends before it does."""
    if offset + length > size:
        raise cut_short(offset + length, size)
    if length > TABLE_LIMIT:
        raise damaged(f"a table of {length} bytes, more than any program writes", offset)
    return read(offset, length)


def entries(data: bytes, kind: str) -> Offsets:
    """Return a table's numbers; what no file reaches counts as the farthest byte."""
    values = np.frombuffer(data, kind).astype(np.uint64)
    return np.minimum(values, np.uint64(_FAR)).astype(np.int64)


def needed(units: Offsets, unit: int, virtual_size: int) -> Offsets:
    """Return how many bytes of each unit of the disk there must be: the last may be short."""
    return np.clip(virtual_size - units * unit, 0, unit)


def check_size(virtual_size: int, offset: int) -> None:
    """Raise SurveyError for a disk of a size that no program makes; `offset` is of the field."""
    if not 0 < virtual_size <= LARGEST_DISK:
        raise damaged(f"a disk of {virtual_size} bytes", offset)


def is_power_of_two(value: int, least: int, most: int) -> bool:
    """Return whether `value` is a power of two in a range."""
    return least <= value <= most and value & (value - 1) == 0
