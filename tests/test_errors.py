"""Errors: their exit codes as the module draws them, and texts that fit on one line."""

from __future__ import annotations

import errno
import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep import errors
from imsprep.errors import (
    FormatError,
    ImsprepError,
    MissingExtraError,
    ReadError,
    retry_after,
    show_path,
    show_words,
)

CLASSES = {
    name: value for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, ImsprepError)
}  # fmt: skip


def test_the_tree_of_the_module_is_that_of_the_classes() -> None:
    drawn = re.findall(r"^( *[│ ├└─]*)(\w+Error) +(\d)  ", errors.__doc__ or "", re.MULTILINE)
    assert {name: int(code) for _, name, code in drawn} == {
        name: cls.exit_code for name, cls in CLASSES.items() if cls is not ImsprepError
    }
    outer = ImsprepError
    for lead, name, _ in drawn:
        outer = CLASSES[name] if lead.count("─") and "│   " not in lead else outer
        base = ImsprepError if len(lead.strip()) == 3 and lead.startswith("    ├") else outer
        assert issubclass(CLASSES[name], base)


def test_a_format_error_says_where_and_keeps_its_reason() -> None:
    found = FormatError("no footer", offset=512)
    assert (str(found), found.reason, found.offset) == ("no footer (at byte 512)", "no footer", 512)
    assert str(FormatError("no footer")) == "no footer"


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "free some space"), (errno.EACCES, "permissions"), (errno.EIO, "system log")],
)
def test_an_error_of_the_system_says_what_to_do(number: int, hint: str) -> None:
    error = ReadError.from_os(OSError(number, "broken"), "cannot write", "a\nb")
    assert str(error).startswith("cannot write a\\nb: broken; ")
    assert hint in str(error)
    other = ReadError.from_os(OSError(errno.EISDIR, "Is a directory"), "cannot read", "x")
    assert str(other) == "cannot read x: Is a directory"


def test_a_missing_part_is_named_once_with_its_command() -> None:
    said = str(MissingExtraError("it needs pyfsext", extra="guest"))
    assert said.startswith("it needs pyfsext: imsprep[guest] is not installed; install with: ")
    named = str(MissingExtraError("imsprep[guest] is missing", extra="guest"))
    assert named.count("imsprep[guest]") == 2, "in the message, and in the command"
    assert str(MissingExtraError("apt install e2fsprogs")) == "apt install e2fsprogs"


@pytest.mark.parametrize(
    ("header", "sent", "seconds"),
    [
        ("120", None, 120.0),
        (" 7 ", None, 7.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", None, 20.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", "Thu, 01 Jan 1970 00:01:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", None, 0.0),
        ("soon", None, None),
        ("-1", None, None),
        ("\u00b2", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_a_wished_wait_is_seconds_or_a_date(
    header: str | None, sent: str | None, seconds: float | None
) -> None:
    assert retry_after(header, sent, 100.0) == seconds


@given(st.text())
def test_what_others_said_is_one_line_of_bounded_length(text: str) -> None:
    shown = show_words(text, 50)
    assert shown.isprintable()
    assert len(shown) < 100


@given(st.binary().filter(lambda name: b"\0" not in name))
def test_any_name_is_shown_on_one_line(name: bytes) -> None:
    assert show_path(name).isprintable()
    show_path(name).encode()


def test_a_readable_name_is_shown_as_it_is() -> None:
    assert show_path("Bücher/disk 1.raw") == "Bücher/disk 1.raw"
    assert show_path(b"a\xff\x1b") == "a\\udcff\\x1b"
