"""Letters and pictures of a screen."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.trial.screen import Picture, Screens, read_ppm, text_of, write_png
from imsprep.trial.verdict import GRUB, back_at_the_menu, judge


def test_text_mode_is_read_row_by_row() -> None:
    rows = ["No bootable device.", "", "  grub rescue> \xb0"]
    memory = b"".join(b"".join(bytes([ord(c), 7]) for c in row.ljust(80)) for row in rows) + bytes(
        320
    )
    assert text_of(memory) == "No bootable device.\n  grub rescue>"


def test_a_kernels_line_that_goes_on_in_the_next_row_is_one() -> None:
    panic = "[   38.803274] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00"
    after = "[   38.804453] CPU: 0 PID: 1 Comm: init"
    full = "x" * 80
    rows = [panic[:80], panic[80:], after, full, "next"]
    memory = b"".join(b"".join(bytes([ord(c), 7]) for c in row.ljust(80)) for row in rows)
    assert text_of(memory).splitlines() == [panic, after, full, "next"]


MENU = (
    "GNU GRUB  version 2.06\n *Debian\n   Press enter to boot the selected OS, `e' to edit\n"
    "   before booting or `c' for a command-line.\n"
)
COUNTS = MENU + "   The highlighted entry will be executed automatically in {}s.\n"
FAILED = "error: can't find command `search'.\nerror: file `/boot/vmlinuz-6.1' not found.\nerror: you need to load the kernel first.\n"


def test_what_grub_said_before_it_drew_its_menu_again_is_kept() -> None:
    screens = Screens()
    for shown in (COUNTS.format(2), COUNTS.format(1), FAILED + "Press any key to continue...\n"):
        screens.show(shown)
        assert back_at_the_menu(screens.text) is None
    screens.show(MENU)
    found = back_at_the_menu(screens.text)
    assert found is not None
    assert (found.key, found.line) == (GRUB, "error: file `/boot/vmlinuz-6.1' not found.")
    assert FAILED in screens.text
    assert screens.text.endswith(MENU.rstrip("\n"))


def test_where_grub_reported_no_error_its_prompt_is_quoted() -> None:
    found = judge(
        "   Minimal BASH-like line editing is supported. For the first word, TAB\n"
        "   lists possible command completions.\ngrub> \n"
    )
    assert found is not None
    assert (found.key, found.line) == (GRUB, "grub>")


def test_of_earlier_screens_the_last_lines_are_kept() -> None:
    screens = Screens()
    for number in range(3000):
        screens.show(f"line {number}")
    assert screens.text.splitlines() == [f"line {number}" for number in range(999, 3000)]


def test_a_line_that_comes_again_is_kept_as_often_as_it_came() -> None:
    screens, error = Screens(), "error: file not found."
    for shown in (f"{error}\n{error}\n", f"{error}\nPress any key\n", MENU, f"{error}\n"):
        screens.show(shown)
    assert screens.text.splitlines().count(error) == 3
    screens.show(f"{error}\n{MENU}")  # what stays is no line again
    assert screens.text.splitlines().count(error) == 3


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
