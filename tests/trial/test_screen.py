"""Letters and pictures of a screen."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.trial.screen import Picture, read_ppm, text_of, write_png


def test_text_mode_is_read_row_by_row() -> None:
    rows = ["No bootable device.", "", "  grub rescue> \xb0"]
    memory = b"".join(b"".join(bytes([ord(c), 7]) for c in row.ljust(80)) for row in rows) + bytes(
        320
    )
    assert text_of(memory) == "No bootable device.\n  grub rescue>"


def test_a_picture_becomes_a_png() -> None:
    picture = read_ppm(b"P6\n2 1\n255\n" + bytes([1, 2, 3, 4, 5, 6]))
    assert picture == Picture(2, 1, bytes([1, 2, 3, 4, 5, 6]))
    png = write_png(picture)
    assert png[:24] == b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\2\0\0\0\1"
    at = png.index(b"IDAT")
    length = int.from_bytes(png[at - 4 : at], "big")
    assert zlib.decompress(png[at + 4 : at + 4 + length]) == bytes([0, 1, 2, 3, 4, 5, 6])
    assert png.endswith(b"\0\0\0\0IEND\xae\x42\x60\x82")


@pytest.mark.parametrize("data", [b"", b"P6\n2 2\n255\n\0", b"P5\n1 1\n255\n\0", b"P6\n0 0\n255\n"])
def test_what_is_no_picture_is_none(data: bytes) -> None:
    assert read_ppm(data) is None


@given(st.binary(max_size=400))
def test_no_bytes_raise(data: bytes) -> None:
    read_ppm(data)
    text_of(data)
