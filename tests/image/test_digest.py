"""The digest of a disk: what docs/digest.md says, whatever the order, the pieces and the format."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.image.digest import LEAF, UNIT, DigestTree, digest_of_zeros
from tests.support.image.treedigest import tree_digest
from tests.support.paths import ROOT

SIZES = [
    0,
    1,
    511,
    512,
    LEAF - 1,
    LEAF,
    LEAF + 1,
    UNIT,
    UNIT + 512,
    17 * UNIT,
    33 * UNIT + LEAF + 5,
]


def disk_of(size: int, places: list[int]) -> bytes:
    disk = bytearray(size)
    for place in places:
        disk[place % size : place % size + 7] = b"content"[: size - place % size]
    return bytes(disk)


def digest_in_pieces(disk: bytes, order: list[int], step: int) -> str:
    tree = DigestTree(len(disk))
    starts = list(range(0, len(disk), step))
    for place in order:
        if starts:
            start = starts.pop(place % len(starts))
            tree.add(start, disk[start : start + step])
    for start in starts:
        tree.add(start, disk[start : start + step])
    return tree.digest()


@pytest.mark.parametrize("size", SIZES)
def test_every_size_has_the_digest_of_the_definition(size: int) -> None:
    disk = disk_of(size, [0, size // 2, size - 1]) if size else b""
    for step in (UNIT, 3 * LEAF, LEAF):  # the last unit, too, in pieces that each hold data
        assert digest_in_pieces(disk, [], step) == tree_digest(disk)
    assert DigestTree(size).digest() == tree_digest(bytes(size))


@given(
    st.sampled_from(SIZES[1:]),
    st.lists(st.integers(0, 1 << 30), max_size=4),
    st.lists(st.integers(0, 1 << 30), max_size=8),
    st.sampled_from([LEAF, 3 * LEAF, UNIT, 5 * UNIT]),
)
def test_neither_order_nor_pieces_change_it(
    size: int, places: list[int], order: list[int], step: int
) -> None:
    disk = disk_of(size, places)
    assert digest_in_pieces(disk, order, step) == tree_digest(disk)


def test_a_size_is_rounded_up_to_sectors_and_counts() -> None:
    assert DigestTree(1000).digest() == DigestTree(1024).digest() != DigestTree(1025).digest()
    tree = DigestTree(4096)
    tree.add(0, b"content".ljust(4096, b"\0"))
    for size in (7, 512, 1000, 4095):  # of the disk's beginning alone
        assert tree.digest(size) == tree_digest(b"content".ljust(size, b"\0"))


def test_the_largest_size_has_a_digest() -> None:
    """Of levels that no disk fills; its bytes are counted in 64 bits."""
    digest, level = sha256(bytes(LEAF)).digest(), 0
    while LEAF << 4 * level < 2**64 - 512:
        digest, level = sha256(digest * 16).digest(), level + 1
    whole = sha256(b"imsprep tree1\0" + (2**64 - 512).to_bytes(8, "little") + digest)
    assert DigestTree(2**64 - 512).digest() == f"tree1:{whole.hexdigest()}"


def test_a_piece_may_begin_within_a_unit_and_end_in_another() -> None:
    disk = disk_of(4 * UNIT, [0, 9 * LEAF, UNIT, 2 * UNIT - 9, 3 * UNIT + LEAF])
    tree = DigestTree(len(disk))
    for start, stop in ((0, 8), (8, 40), (40, 41), (41, 64)):
        tree.add(start * LEAF, disk[start * LEAF : stop * LEAF])
    assert tree.digest() == tree_digest(disk)


def test_adding_returns_the_digests_of_whole_units() -> None:
    """The last one of the disk is whole where the disk ends; zeros behind it may be given too."""
    data = disk_of(2 * UNIT + LEAF + 5, [0, UNIT + 5, 2 * UNIT + LEAF])
    leaves = [
        sha256(data[at : at + LEAF].ljust(LEAF, b"\0")).digest() for at in range(0, 3 * UNIT, LEAF)
    ]
    units = [sha256(b"".join(leaves[n : n + 16])).digest() for n in (0, 16, 32)]
    assert DigestTree(len(data)).add(0, data) == b"".join(units)
    tree = DigestTree(len(data))
    assert tree.add(UNIT, data[UNIT : 2 * UNIT]) == units[1]
    assert tree.add(2 * UNIT, data[2 * UNIT :].ljust(UNIT, b"\0")) == units[2]
    assert tree.add(0, data[:LEAF]) == b""
    assert tree.add(LEAF, data[LEAF : UNIT - LEAF]) == b""  # nor is it whole
    assert tree.digest() == tree_digest(data)
    assert DigestTree(UNIT).add(0, bytes(UNIT)) == digest_of_zeros(1)


def test_a_piece_that_cuts_a_leaf_is_refused() -> None:
    for offset, length in [(1, LEAF), (0, LEAF - 1)]:
        with pytest.raises(ValueError, match="leaf"):
            DigestTree(UNIT).add(offset, bytes(length))


def test_the_page_has_the_numbers_of_the_code() -> None:
    page = (ROOT / "docs/digest.md").read_text()
    assert all(digest_of_zeros(level).hex() in page for level in (0, 1))
    vectors = re.findall(r"^\| (\d+) \| (.*?) \| `(tree1:[0-9a-f]{64})` \|$", page, re.MULTILINE)
    assert len(vectors) >= 5
    for size, content, digest in vectors:
        disk = bytearray(int(size))
        for value, place in re.findall(r"`([0-9a-f]{2})` at (\d+)", content):
            disk[int(place)] = int(value, 16)
        assert tree_digest(bytes(disk)) == digest
        tree = DigestTree(len(disk))
        tree.add(0, disk)
        assert tree.digest() == digest
