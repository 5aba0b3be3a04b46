"""The disk that rules speak of."""

from __future__ import annotations

import pytest

from imsprep.checks.rule import UnknownError
from imsprep.checks.subject.disk import disk_of, gpt_of
from imsprep.image.formats import Match
from imsprep.image.not_a_disk import Kind
from tests.support.checks.rules import disk, image


def test_the_disk_is_what_is_known_of_it() -> None:
    known = disk()
    assert disk_of(image(disk=known)) is known


@pytest.mark.parametrize(("table", "found"), [("gpt", True), ("mbr", False), (None, False)])
def test_a_gpt_is_the_disk_only_if_its_table_is_one(table: str | None, found: bool) -> None:
    known = disk(table=table)
    assert gpt_of(image(disk=known)) is (known if found else None)


def test_a_disk_that_was_not_read_says_why() -> None:
    facts = image(disk=None, matches=(Match("qcow2", Kind.DISK, 0, 8),))
    with pytest.raises(UnknownError, match="the disk inside this qcow2 file is not read"):
        disk_of(facts)
    unread = image(disk=None, unread="qemu-nbd is missing", matches=facts.matches)
    with pytest.raises(UnknownError, match="cannot be read: qemu-nbd is missing"):
        disk_of(unread)
