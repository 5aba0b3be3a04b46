"""Constants that are names, dates or times of the probes are doubted; those of a format are not."""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from dataclasses import replace

import pytest

from imsprep.bitmap.layout import DEFAULT_LAYOUT, Constant, Entries, Number
from imsprep.bitmap.learn.constants import doubt

TIME_S = 1_785_412_345.5  # 2026-07-30
DATE = time.gmtime(TIME_S)
DAY, HOUR = int(TIME_S) // 86400, int(TIME_S) // 3600
NAME = b"/data/Probes"


def doubted(data: bytes) -> str | None:
    layout = replace(DEFAULT_LAYOUT, trailer=(Constant(b"ok"), Constant(data)))
    return doubt(layout, [b"abc", NAME], [0, TIME_S])


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%b %d, %Y", "%d %b %y", "%B", "%Y-%j", "%G-W%V", "%Y-%m",
     "%y%m%d", "%m/%d/%y", "%d%m%y", "(c) %Y"],
)  # fmt: skip
def test_a_date_in_text_is_doubted(form: str) -> None:
    text = time.strftime(f"made {form}\n", DATE).encode()
    for data in (text, text.lower(), text.upper()):
        assert doubted(data), data
    assert "looks like a date" in str(doubted(text))


@pytest.mark.parametrize("epoch", [0, 946684800, -11644473600, -2082844800, 315532800, 978307200])
@pytest.mark.parametrize("unit", [1, 60, 3600, 86400, 1e-3, 1e-6, 1e-7])
def test_a_number_that_is_a_time_is_doubted(epoch: int, unit: float) -> None:
    number = int((TIME_S - epoch) / unit)
    for width in (4, 8):
        for order in "<>":
            if number >> 8 * width == 0:
                data = struct.pack(f"{order}{'I' if width == 4 else 'Q'}", number)
                assert doubted(b"MAP1" + data + b"\0"), (number, data)
    assert doubted(b"at %d\n" % number)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<d", DAY * 86400.0), struct.pack(">d", DAY + 25569.25),
        struct.pack("<f", TIME_S), struct.pack("<d", DAY + 2440587.5), struct.pack(">d", HOUR),
        struct.pack("<H", (2026 - 1980) << 9 | 7 << 5 | 30),
        bytes.fromhex("20260730"),
        struct.pack("<I", 20260730), struct.pack(">I", 20260731), b"%08x" % int(TIME_S),
        b"%016X" % (int(TIME_S) * 1000),
    ],
)  # fmt: skip
def test_other_forms_of_a_time_are_doubted(data: bytes) -> None:
    assert doubted(b"MAP1" + data)
    assert doubted(data + b"\0")


@pytest.mark.parametrize(
    "data",
    [
        NAME, b"from " + NAME.upper() + b"!", str(NAME, "ascii").encode("utf-16-le"),
        str(NAME, "ascii").encode("utf-16-be"), hashlib.md5(NAME).digest(),
        hashlib.sha1(NAME).digest(), hashlib.sha256(NAME).hexdigest().encode(),
        struct.pack("<I", zlib.crc32(NAME)), struct.pack(">I", zlib.crc32(NAME)),
        b"%08X" % zlib.crc32(NAME), struct.pack("<I", zlib.adler32(NAME)),
    ],
)  # fmt: skip
def test_a_name_and_a_checksum_of_it_are_doubted(data: bytes) -> None:
    assert "names" in str(doubted(data)) or "a checksum of" in str(doubted(data))


@pytest.mark.parametrize(
    "data",
    [
        b"HWBITMAP", b"z2bitmap\0\1\0\2", b"ok", b"abc", b"MFBM\1\0\0\0", bytes(16), b"\xff" * 16,
        struct.pack("<Q", 2 << 20), struct.pack(">I", 4096), struct.pack("<QQ", 512, 65536),
        b"offset,length\r\n", b'{"block": 2097152, "map": [', b"# version 1.0\n", b"XTNT",
        struct.pack("<I", 1 << 20), struct.pack("<I", 1 << 25), struct.pack(">Q", 1 << 30),
    ],
)  # fmt: skip
def test_what_a_format_has_is_no_time_and_no_name(data: bytes) -> None:
    assert doubted(data) is None


def test_constants_of_entries_are_looked_at_too() -> None:
    body = Entries((Constant(NAME), Number("start"), Number("length")))
    assert doubt(replace(DEFAULT_LAYOUT, body=body), [NAME], [])
    assert doubt(replace(DEFAULT_LAYOUT, header=(Constant(NAME),)), [NAME], [])
    assert doubt(DEFAULT_LAYOUT, [NAME], [TIME_S]) is None
