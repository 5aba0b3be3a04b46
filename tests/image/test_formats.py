"""What a file is by its bytes, at the places where a wrong answer would cost a disk."""

from __future__ import annotations

import pytest

from imsprep.image.formats import identify


def zip_end(comment: bytes) -> bytes:
    """Return the end of a ZIP's directory: 22 bytes (APPNOTE.TXT, 4.3.16), then its comment."""
    return b"PK\5\6" + bytes(16) + len(comment).to_bytes(2, "little") + comment


def names(tail: bytes, size: int = 1 << 20) -> list[str]:
    head = b"\xeb" + bytes(65535)
    return [match.format for match in identify(head, tail.rjust(65536, b"\1"), size)]


@pytest.mark.parametrize("comment", [b"", b"x", b"made by a tool " * 9])
def test_a_zip_directory_that_ends_with_the_file_is_one(comment: bytes) -> None:
    assert "zip" in names(zip_end(comment))


@pytest.mark.parametrize("behind", [b"\0", b"PK", bytes(512)])
@pytest.mark.parametrize("comment", [b"", b"x"])
def test_bytes_behind_the_comment_of_a_zip_make_it_none(comment: bytes, behind: bytes) -> None:
    assert "zip" not in names(zip_end(comment) + behind)


@pytest.mark.parametrize("cut", [1, 2, 18])
def test_the_end_of_a_zip_that_is_cut_is_none(cut: int) -> None:
    assert "zip" not in names(zip_end(b"abc")[:-cut])
