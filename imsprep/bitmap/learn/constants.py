"""Constants that only look constant: names, dates and times that both probes may have in common.

A header that holds the day, or the folder of the image, is the same in two files that were made one
after the other, and another in the next week. What looks like that is not believed: names as text,
in UTF-16 and as their checksum; times as text, as numbers of any unit and epoch that are in use, as
floating-point numbers, and as the calendar dates of DOS and of packed decimal digits.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from imsprep.bitmap.layout import BitmapLayout, Constant, Entries

_SHORTEST_NAME = 4  # bytes; shorter ones stand anywhere by chance
_DAY_S = 86_400
_NEAR_S = 3 * _DAY_S  # seconds from the files' own times
_OLDEST_S = 315_532_800  # 1980; a file's time before that says nothing
_DATE = re.compile(
    rb"(?:19|20)\d\d[-/. ]?(?:0[1-9]|1[0-2])[-/. ]?(?:0[1-9]|[12]\d|3[01])"
    rb"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:[A-Z][a-z]{2}|0[1-9]|1[0-2])[-/. ](?:19|20)\d\d"
)
# How many a second has, or how many seconds one has; 10^7 as Windows counts.
_UNITS_S = (1.0, 1e-3, 1e-6, 1e-9, 1e-7, 60.0, 3600.0, 86_400.0)
# 1970, 2000, 1601, 1904 (Macintosh), 1980 (DOS, GPS), 2001 (Cocoa), 1899-12-30 (OLE), of the
# Julian day 0 and of the modified one; in seconds since 1970.
_EPOCHS_S = (
    0, 946_684_800, -11_644_473_600, -2_082_844_800, 315_532_800, 978_307_200, -2_209_161_600,
    -210_866_760_000, -3_506_716_800,
)  # fmt: skip
_TEXTS = ("%Y-%j", "%Y%j", "%G-W%V", "%GW%V", "%Y-%m", "%m/%Y", "%y%m%d", "%d%m%y", "%m/%d/%y",
          "%m/%d/%Y", "%b %d", "%b %e", "%d %b", "%e %b", "%d. %b", "%B", "%Y")  # fmt: skip
_HASHES = ("md5", "sha1", "sha256")


def doubt(layout: BitmapLayout, names: Sequence[bytes], times_s: Sequence[float]) -> str | None:
    """Return why a constant of the layout may be another one for the next image, or None.

    `names` are of the files, their folders and the machine; `times_s` is when the files were made,
    since 1970.
    """
    times_s = [time_s for time_s in times_s if time_s >= _OLDEST_S]
    names = [name for name in names if len(name) >= _SHORTEST_NAME]
    for data in _constants(layout):
        for name in names:
            if any(form in data.lower() for form in _forms(name)):
                return f"{data[:40]!r} names {name.decode(errors='replace')!r}"
            if any(form in data for form in _checksums(name)):
                return f"{data[:40]!r} holds a checksum of {name.decode(errors='replace')!r}"
        if _DATE.search(data) or any(_is_date(data, time_s) for time_s in times_s):
            return f"{data[:40]!r} looks like a date"
        if any(_is_time(data, time_s) for time_s in times_s):
            return "it holds a number that is the time at which the files were made"
    return None


def _constants(layout: BitmapLayout) -> Iterable[bytes]:
    fields = [*layout.header, *layout.trailer]
    if isinstance(layout.body, Entries):
        fields += layout.body.entry
    return (field.data for field in fields if isinstance(field, Constant))


def _forms(name: bytes) -> tuple[bytes, ...]:
    """Return how a name may be written, in small letters."""
    text = name.decode(errors="replace").lower()
    return name.lower(), text.encode("utf-16-le"), text.encode("utf-16-be")


def _checksums(name: bytes) -> Iterator[bytes]:
    """Yield the checksums of a name, as bytes and as text."""
    raw = [hashlib.new(kind, name, usedforsecurity=False).digest() for kind in _HASHES]
    for number in (zlib.crc32(name), zlib.adler32(name)):
        raw += [number.to_bytes(4, "little"), number.to_bytes(4, "big")]
    for digest in raw:
        yield from (digest, digest.hex().encode(), digest.hex().upper().encode())


def _is_date(data: bytes, time_s: float) -> bool:
    """Return whether it has the calendar date of this time, or of the day before or behind it."""
    for day in (-1, 0, 1):
        date = datetime.fromtimestamp(time_s + day * _DAY_S, UTC)
        digits = f"{date:%Y%m%d}"
        dos = (date.year - 1980) << 9 | date.month << 5 | date.day
        packed = [
            bytes.fromhex(digits),
            struct.pack("<I", int(digits)),
            struct.pack(">I", int(digits)),
        ]
        packed += [struct.pack("<H", dos)]
        words = [date.strftime(form).encode() for form in _TEXTS]
        pattern = rb"(?<![0-9a-z])(?:%s)(?![0-9a-z])" % b"|".join(map(re.escape, words))
        if any(form in data for form in packed) or re.search(pattern, data, re.IGNORECASE):
            return True
    return False


def _is_time(data: bytes, time_s: float) -> bool:
    """Return whether a number in it, or one of its digits, is near this time."""
    numbers = [float(text) for text in re.findall(rb"\d{4,20}", data)]
    for pattern in (rb"(?i)(?=([0-9a-f]{8}))", rb"(?i)(?=([0-9a-f]{16}))"):
        numbers += [float(int(text, 16)) for text in re.findall(pattern, data)]
    for at in range(len(data)):
        for width, real in ((4, "f"), (8, "d")):
            piece = data[at : at + width]
            if len(piece) == width:
                numbers += [int.from_bytes(piece, "little"), int.from_bytes(piece, "big")]
                numbers += [*struct.unpack(f"<{real}", piece), *struct.unpack(f">{real}", piece)]
    return any(
        abs(number * unit + epoch - time_s) < _NEAR_S
        for number in numbers
        if math.isfinite(number)
        for unit in _UNITS_S
        for epoch in _EPOCHS_S
    )
