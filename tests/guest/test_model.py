"""What an inspection found: paths, what could not be looked at, and the way through JSON."""

from __future__ import annotations

import json

import pytest

from imsprep.guest.model import FILE, Entry, Guest, matches, overlap
from imsprep.report import UnknownError
from tests.support.guest.trees import debian, linux_guest

GUEST = Guest(
    files={"/etc/a.conf": Entry(FILE, text="a"), "/etc/d/b.conf": Entry(FILE, text="b")},
    gaps={"/home/**": "it is encrypted", "/etc/x*.conf": "it is damaged"},
)


@pytest.mark.parametrize(("path", "pattern", "fits"), [
    ("/etc/a.conf", "/etc/*.conf", True), ("/etc/d/b.conf", "/etc/*.conf", False),
    ("/etc/d/b.conf", "/etc/*/b.conf", True), ("/etc/a.conf", "/ETC/a.conf", False),
])  # fmt: skip
def test_a_star_stops_at_a_folder(path: str, pattern: str, fits: bool) -> None:
    assert matches(path, pattern) is fits


@pytest.mark.parametrize(("gap", "pattern", "meet"), [
    ("/home/**", "/home/x/.ssh", True), ("/home/**", "/home", False), ("/home/**", "/etc", False),
    ("/etc/x*.conf", "/etc/*", True), ("/etc/x*.conf", "/etc/x1.conf", True),
    ("/etc/x*.conf", "/etc/a.conf", False), ("/etc/x*.conf", "/etc/*/a", False),
])  # fmt: skip
def test_a_gap_meets_what_could_lie_in_it(gap: str, pattern: str, meet: bool) -> None:
    assert overlap(gap, pattern) is meet


def test_what_was_not_looked_at_is_unknown_and_not_absent() -> None:
    assert GUEST.text("/etc/a.conf") == "a"
    assert GUEST.text("/etc/none") is None
    assert GUEST.exists("/etc/a.conf")
    assert not GUEST.exists("/etc/none")
    for ask in (GUEST.text, GUEST.exists):
        with pytest.raises(UnknownError, match="it is encrypted"):
            ask("/home/root/.ssh/id")


def test_what_was_found_stands_before_what_was_not_looked_at() -> None:
    assert [path for path, _ in GUEST.matching("/etc/d/*", "/etc/a*")] == [
        "/etc/a.conf",
        "/etc/d/b.conf",
    ]
    found = GUEST.matching("/etc/*.conf")
    assert next(found)[0] == "/etc/a.conf"
    with pytest.raises(UnknownError, match="it is damaged"):
        next(found)


def test_it_goes_through_json_unchanged() -> None:
    guest = linux_guest(debian())
    assert Guest.from_dict(json.loads(json.dumps(guest.as_dict()))) == guest
    with pytest.raises(KeyError):
        Guest.from_dict({})
