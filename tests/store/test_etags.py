"""ETags as stores write them."""

from __future__ import annotations

import pytest

from imsprep.store.etags import etag_of, multipart_etag, same_etag


def test_an_etag_may_be_weak_or_without_quotes_or_missing() -> None:
    assert [etag_of({"ETag": e}) for e in ('"a-1"', 'W/"a-1"', "a-1")] == ["a-1"] * 3
    assert [etag_of(a) for a in ({}, {"ETag": ""}, {"ETag": None})] == [""] * 3
    for length, taken in ((256, True), (257, False)):
        assert (etag_of({"ETag": "e" * length}) != "") == taken
    # What could command a terminal, or fill one, is none.
    assert [etag_of({"ETag": e}) for e in ('"a\x1b[31m"', "e" * 60_000)] == [""] * 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("ab1", "AB1", True), ("AB1-2", "ab1-2", True), ("ab1", "ab2", False), ("ab1", "ab1-1", False), ("", "", False), ("", "ab1", False), ("ab1", "", False)],
)  # fmt: skip
def test_etags_are_compared_as_hex_and_none_proves_nothing(
    one: str, other: str, same: bool
) -> None:
    assert same_etag(one, other) is same


def test_the_etag_of_parts_is_that_of_their_md5s() -> None:
    # By `printf '' | md5sum` and `printf a | md5sum`, their bytes joined, and md5sum of that.
    parts = ["d41d8cd98f00b204e9800998ecf8427e", "0CC175B9C0F1B6A831C399E269772661"]
    assert multipart_etag(parts) == "68083ea43d0307eecfa2b4749f19df15-2"
