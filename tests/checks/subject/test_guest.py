"""The guest that rules speak of, and how advice to it is written."""

from __future__ import annotations

import dataclasses

import pytest

from imsprep.checks.facts import Facts
from imsprep.checks.rule import NOT_INSPECTED, UnknownError
from imsprep.checks.subject.guest import advice, linux, listed, windows
from imsprep.guest.model import Guest
from tests.support.guest.trees import debian, linux_guest

GUEST = linux_guest(debian())


def facts(guest: Guest | None) -> Facts:
    return Facts("disk.raw", 1 << 30, guest=guest)


def test_a_linux_is_no_windows() -> None:
    assert linux(facts(GUEST)) is GUEST
    with pytest.raises(UnknownError, match="the image holds Linux, not Windows"):
        windows(facts(GUEST))


def test_nobody_looked_and_nothing_was_found_are_different() -> None:
    with pytest.raises(UnknownError) as not_inspected:
        linux(facts(None))
    assert str(not_inspected.value) == NOT_INSPECTED
    bare = dataclasses.replace(GUEST, system=None, unread=())
    with pytest.raises(UnknownError, match="no operating system was found in the image"):
        linux(facts(bare))
    closed = dataclasses.replace(bare, unread=("partition 3: LUKS",))
    with pytest.raises(UnknownError, match="no operating system could be read: partition 3: LUKS"):
        linux(facts(closed))


def test_advice_is_for_the_guest_and_for_virt_customize_if_that_can_do_it() -> None:
    assert advice("remove it") == "In the guest: remove it"
    assert advice("remove it", "--delete /x") == (
        "In the guest: remove it; or: virt-customize -a IMAGE --delete /x"
    )


def test_many_paths_are_counted_behind_the_first_ones() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
