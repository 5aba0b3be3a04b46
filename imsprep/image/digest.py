"""The digest of a disk: a tree of SHA-256 in which zeros and holes cost nothing.

Leaves are 64 KiB of the disk, a node has 16 children, and what lies behind the disk's end counts as
zeros. The digest of zeros is known for each level, so that only what is not zeros is hashed, in any
order and by any number of threads. It is the same for a disk in whatever format it lies, since the
disk is what is hashed and not the file. docs/digest.md defines it to the byte. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from itertools import groupby

import numpy as np

from imsprep.units import KIB, SECTOR, round_up

LEAF = 64 * KIB  # bytes
ARITY = 16
UNIT = ARITY * LEAF  # bytes under a node of the first level: what is best given at once
SCHEME = "tree1"  # what stands before the digest; another construction would have another name
_SEED = b"imsprep tree1\0"
_FIRST_WORDS = 16  # of 8 bytes, by which a leaf is taken for data

Buffer = bytes | bytearray | memoryview


def _sha256(data: Buffer) -> bytes:
    return hashlib.sha256(data).digest()


@cache
def digest_of_zeros(level: int) -> bytes:
    """Return the digest of zeros: of a leaf at level 0, of a node at each level above."""
    return _sha256(digest_of_zeros(level - 1) * ARITY) if level else _sha256(bytes(LEAF))


class DigestTree:
    """The digest of one disk, fed with its data; what is never given is zeros.

    `add` may be called by several threads, for every part of the disk once, in any order.
    """

    def __init__(self, size: int) -> None:
        self.size = round_up(size, SECTOR)  # bytes; formats keep disks of whole sectors
        self._end = size
        self._nodes: dict[int, bytearray] = {}  # by number, of level 2: its children's digests
        self._shared: dict[int, bytearray] = {}  # of level 1 that is given in pieces, the same

    def add(self, offset: int, data: Buffer) -> bytes:
        """Take what lies at `offset`, a multiple of LEAF; return the digests of its whole units.

        The length is a multiple of LEAF too, except at the disk's end; behind that may be zeros.
        """
        if offset % LEAF:
            raise ValueError(f"byte {offset} is not at the beginning of a leaf")
        if (offset + len(data)) % LEAF and offset + len(data) < self._end:
            raise ValueError(f"byte {offset + len(data)} is not at the end of a leaf")
        units = []
        with memoryview(data) as view:
            at = 0
            while at < len(view):
                unit, inside = divmod(offset + at, UNIT)
                with view[at : at + UNIT - inside] as piece:
                    units.append(self._add_piece(unit, inside // LEAF, piece))
                    at += len(piece)
        return b"".join(units)

    def _add_piece(self, unit: int, first: int, piece: memoryview) -> bytes:
        """Take leaves of one unit, from the leaf `first` on; return its digest, if it is whole."""
        whole = first == 0 and (len(piece) == UNIT or unit * UNIT + len(piece) >= self._end)
        leaves = leaf_digests(piece)
        if not leaves:
            return digest_of_zeros(1) if whole else b""
        children = bytearray(digest_of_zeros(0) * ARITY)
        if not whole:
            children = self._shared.setdefault(unit, children)
        for number, digest in leaves.items():
            at = 32 * (first + number)
            children[at : at + 32] = digest
        if not whole:
            return b""
        digest = _sha256(children)
        self._set(unit, digest)
        return digest

    def _set(self, unit: int, digest: bytes) -> None:
        node, child = divmod(unit, ARITY)
        children = self._nodes.setdefault(node, bytearray(digest_of_zeros(1) * ARITY))
        children[32 * child : 32 * child + 32] = digest

    def digest(self, size: int | None = None) -> str:
        """Return the digest, its scheme in front: `tree1:` and 64 hexadecimal digits.

        With a size it is that of the disk's first so many bytes, behind which there are only zeros,
        or of the disk with zeros behind it up to there.
        """
        size = self.size if size is None else round_up(size, SECTOR)
        for unit, children in self._shared.items():
            self._set(unit, _sha256(children))
        nodes = {number: _sha256(children) for number, children in self._nodes.items()}
        level, top = 2, max(2, _height(size))
        while level < top:
            nodes, level = _level_above(nodes, digest_of_zeros(level)), level + 1
        root = nodes.get(0, digest_of_zeros(top))
        whole = _sha256(_SEED + size.to_bytes(8, "little") + root)
        return f"{SCHEME}:{whole.hex()}"


def leaf_digests(data: memoryview) -> dict[int, bytes]:
    """Return the digest of each leaf in `data` that is not zeros, by its number from 0.

    The last leaf may be short: it is filled up with zeros.
    """
    whole = len(data) // LEAF
    words = np.frombuffer(data, np.uint64, whole * (LEAF // 8)).reshape(whole, LEAF // 8)
    # Data shows in its first bytes as a rule; only a leaf that begins with zeros is looked through.
    has_data = np.asarray(words[:, :_FIRST_WORDS].any(axis=1))
    for number in np.flatnonzero(~has_data):
        has_data[number] = words[number].any()
    found = {
        number: _sha256(data[number * LEAF : (number + 1) * LEAF])
        for number in np.flatnonzero(has_data).tolist()
    }
    rest = bytes(data[whole * LEAF :])
    if rest.strip(b"\0"):
        found[whole] = _sha256(rest.ljust(LEAF, b"\0"))
    return found


def _height(size: int) -> int:
    """Return the level of the node that has the whole disk under it."""
    level, covered = 0, LEAF
    while covered < size:
        level, covered = level + 1, covered * ARITY
    return level


def _level_above(nodes: Mapping[int, bytes], zeros: bytes) -> dict[int, bytes]:
    """Return the nodes one level up; `zeros` is the digest of a child that is not there."""
    above = {}
    for parent, numbers in groupby(sorted(nodes), key=lambda number: number // ARITY):
        there = set(numbers)
        first = parent * ARITY
        children = (nodes[n] if n in there else zeros for n in range(first, first + ARITY))
        above[parent] = _sha256(b"".join(children))
    return above
