"""Constants that only look constant: names, dates and times that both probes may have in common.

A header that holds the day, or the folder of the image, is the same in two files that were made one
after the other, and another in the next week. What looks like that is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from imsprep.bitmap.layout import BitmapLayout, Constant, Entries

_SHORTEST_NAME = 4  # bytes; shorter ones stand anywhere by chance
_NEAR_S = 3 * 86_400  # seconds from the files' own times
_DATE = re.compile(
    rb"(?:19|20)\d\d[-/. ]?(?:0[1-9]|1[0-2])[-/. ]?(?:0[1-9]|[12]\d|3[01])"
    rb"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:[A-Z][a-z]{2}|0[1-9]|1[0-2])[-/. ](?:19|20)\d\d"
)
_UNITS = (1, 10**3, 10**6, 10**9, 10**7)  # in a second; the last one as Windows counts
_EPOCHS = (0, 946_684_800, -11_644_473_600)  # 1970, 2000 and 1601, in seconds since 1970


def doubt(layout: BitmapLayout, names: Sequence[bytes], times_s: Sequence[float]) -> str | None:
    """Return why a constant of the layout may be another one for the next image, or None.

    `names` are of the files and their folders, `times_s` when they were made, since 1970.
    """
    for data in _constants(layout):
        for name in names:
            if len(name) >= _SHORTEST_NAME and name.lower() in data.lower():
                return f"{data[:40]!r} names {name.decode(errors='replace')!r}"
        if _DATE.search(data):
            return f"{data[:40]!r} looks like a date"
        if any(_is_time(data, time_s) for time_s in times_s):
            return "it holds a number that is the time at which the files were made"
    return None


def _constants(layout: BitmapLayout) -> Iterable[bytes]:
    fields = [*layout.header, *layout.trailer]
    if isinstance(layout.body, Entries):
        fields += layout.body.entry
    return (field.data for field in fields if isinstance(field, Constant))


def _is_time(data: bytes, time_s: float) -> bool:
    """Return whether a number of 4 or 8 bytes in it, or of digits, is near this time."""
    numbers = [int(text) for text in re.findall(rb"\d{9,20}", data)]
    for width in (4, 8):
        for at in range(len(data) - width + 1):
            piece = data[at : at + width]
            numbers += [int.from_bytes(piece, "little"), int.from_bytes(piece, "big")]
    return any(
        abs(number / unit + epoch - time_s) < _NEAR_S
        for number in numbers
        for unit in _UNITS
        for epoch in _EPOCHS
    )
