"""The MD5 of so many zeros, without hashing gigabytes of them.

Zeros in a bucket are copied from others, and each copy's ETag is compared with what it must be. The
plan cuts long runs of zeros into few lengths, whose sums stand here; of what is left over, less
than 1 GiB, the MD5 is computed, each prefix once. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from imsprep.units import MIB

if TYPE_CHECKING:
    from _hashlib import HASH

# By length in MiB: what the plan cuts zeros into, and what the zero object grows by.
KNOWN = {
    5: "5f363e0e58a95f06cbe9bbc662c5dfb6",
    64: "7f614da9329cd3aebf59b91aadc30bf0",
    80: "c4cc92148739208fa3d6bef4a43d721c",
    128: "fde9e0818281836e4fc0edfede2b8762",
    256: "1f5039e50bd66b290c56684d8550c6c2",
    512: "aa559b4e3523a6c931f08f4df52d58f2",
    1024: "cd573cfaace07e7949bc0c46028904ff",
    1280: "9d490b5631637e0f169278ac1a32d718",
    2048: "a981130cf2b7e09f4686dc273cf7187e",
    4096: "c9a5a6878d97b48cc965c1e41859f034",
    5120: "ec4bcc8776ea04479b786e063a9ace45",
}
_STRIDE = 16 * MIB  # bytes between two states that are kept
_ZEROS = bytes(4 * MIB)


@lru_cache(maxsize=4096)
def zero_md5(length: int) -> str:
    """Return the MD5 in hex of `length` zero bytes."""
    whole, rest = divmod(length, MIB)
    if not rest and whole in KNOWN:
        return KNOWN[whole]
    return hash_of_zeros(length).hexdigest()


def zero_md5s(lengths: Iterable[int]) -> dict[int, str]:
    """Return the MD5 in hex of so many zero bytes for each length."""
    return {length: zero_md5(length) for length in sorted(set(lengths))}


def hash_of_zeros(length: int) -> HASH:
    """Return an MD5 that has taken `length` zero bytes, to be fed with what follows them."""
    return _prefix(length).copy()


@lru_cache(maxsize=512)
def _prefix(length: int) -> HASH:
    strides, rest = divmod(length, _STRIDE)
    for stride in range(strides):  # one after the other: each begins where the one before ended
        _state(stride)
    digest = _state(strides).copy()
    for position in range(0, rest, len(_ZEROS)):
        digest.update(memoryview(_ZEROS)[: rest - position])
    return digest


@cache
def _state(strides: int) -> HASH:
    """Return the MD5 of so many strides of zeros; the shorter ones have been asked for."""
    if strides == 0:
        return hashlib.md5(usedforsecurity=False)
    digest = _state(strides - 1).copy()
    for _ in range(_STRIDE // len(_ZEROS)):
        digest.update(_ZEROS)
    return digest
