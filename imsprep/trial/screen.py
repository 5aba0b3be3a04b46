"""What is on the screen: the text of VGA's text mode, or a picture.

In text mode the card's memory at 0xB8000 holds two bytes for a character, the letter (code page
437) and its colours. A driver scrolls by moving the start, so that all 32 KiB may hold lines.
A picture comes from QEMU as a PPM file (binary, "P6"). What either says of the boot is for
`verdict`.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

from imsprep.units import KIB

TEXT_MEMORY, TEXT_SIZE = 0xB8000, 32 * KIB  # address and bytes
_COLUMNS = 80
_ROW = 2 * _COLUMNS
_MOST_GONE = 2000  # lines that are kept of earlier screens
# QEMU draws 80 columns and 25 rows of text as a picture of this size, and nothing else.
_TEXT_PICTURES = ((720, 400), (640, 400))

_STAMP = re.compile(r"\[ *\d+\.\d{6}\] ")  # of a kernel's line
_PPM = re.compile(rb"P6\s(\d{1,5})\s(\d{1,5})\s255\s")


class Picture(NamedTuple):
    """A picture: three bytes (red, green, blue) a dot, row by row."""

    width: int
    height: int
    dots: bytes

    @property
    def is_text(self) -> bool:
        """Return whether it is the picture of a text mode."""
        return (self.width, self.height) in _TEXT_PICTURES


class Screens:
    """What a screen in text mode showed, in its order: lines that went, then those that are there.

    A loader clears the screen behind its error and draws its menu again.
    """

    def __init__(self) -> None:
        self._gone: list[str] = []
        self._there: list[str] = []

    def show(self, letters: str) -> None:
        """Take what is on the screen now."""
        there = letters.splitlines()
        for kind, start, stop, _, _ in SequenceMatcher(
            None, self._there, there, autojunk=False
        ).get_opcodes():
            if kind in ("delete", "replace"):
                self._gone += self._there[start:stop]
        del self._gone[:-_MOST_GONE]
        self._there = there

    @property
    def text(self) -> str:
        """All lines; of those that went, the last 2,000."""
        return "\n".join([*self._gone, *self._there])


def text_of(memory: bytes) -> str:
    """Return the lines of text in the card's memory, without those that are empty.

    A kernel's line that goes on in the next row is one line.
    """
    return "\n".join(_lines(memory))


def _lines(memory: bytes) -> Iterator[str]:
    line = ""
    for start in range(0, len(memory) - _ROW + 1, _ROW):
        letters = memory[start : start + _ROW : 2]
        row = "".join(chr(c) if 32 <= c < 127 else " " for c in letters)
        if _STAMP.match(line) and line[-1] != " " and not _STAMP.match(row):
            line += row
            continue
        if line.strip():
            yield line.rstrip()
        line = row
    if line.strip():
        yield line.rstrip()


def read_ppm(data: bytes) -> Picture | None:
    """Read a binary PPM as QEMU writes it; None if it is something else or not whole."""
    head = _PPM.match(data)
    if head is None:
        return None
    width, height, dots = int(head[1]), int(head[2]), data[head.end() :]
    return Picture(width, height, dots) if dots and len(dots) == 3 * width * height else None


def write_png(picture: Picture) -> bytes:
    """Return a picture as a PNG; PNG specification, chapter 11: header, data, end."""
    row = 3 * picture.width
    rows = (picture.dots[at : at + row] for at in range(0, len(picture.dots), row))
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in rows), 6)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
