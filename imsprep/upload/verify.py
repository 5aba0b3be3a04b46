"""What a store holds of an upload, compared with what it should hold.

A part is right if its size and its ETag are. Where ETags cannot be MD5s the size remains: some
stores give a copied part a composite ETag (`hash-n`), and one that encrypts gives any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from imsprep.errors import ServiceError
from imsprep.store.contract import ObjectStore, Part

Held = Mapping[int, Sequence[Part]]  # by number; a store may list what was replaced, too


def list_held(store: ObjectStore, key: str, upload_id: str) -> Held:
    """Ask the store which parts it holds."""
    held = defaultdict(list)
    for part in store.list_parts(key, upload_id):
        held[part.number].append(part)
    return held


def is_held(
    store: ObjectStore, held: Held, number: int, length: int, md5: str, *, copied: bool
) -> bool:
    """Return whether a part is there and right."""
    return _right(store, held, number, length, md5, copied) is not None


def find(
    store: ObjectStore, held: Held, number: int, length: int, md5: str, *, copied: bool
) -> Part:
    """Return a part as the store lists it; ServiceError if it is not there or not right."""
    part = _right(store, held, number, length, md5, copied)
    if part is None:
        got = [f"{p.size} bytes with the MD5 {p.etag}" for p in held.get(number, ())]
        raise ServiceError(
            f"part {number} has {length} bytes with the MD5 {md5}, and the store holds"
            f" {', '.join(got) or 'nothing'} of it; nothing was completed"
        )
    return part


def check_etag(store: ObjectStore, what: str, got: str, md5: str, *, copied: bool = False) -> None:
    """Raise ServiceError if the etag that a part was answered with is not that of these bytes."""
    if not _fits(store, got, md5, copied):
        raise ServiceError(
            f"the store says that {what} has the MD5 {got}, expected {md5}; nothing was completed"
            + ("; if the store gives copies other ETags, send the zeros" if copied else ""),
            code="BadDigest",
            remedies=("copy_zeros",) if copied else None,
        )


def _right(
    store: ObjectStore, held: Held, number: int, length: int, md5: str, copied: bool
) -> Part | None:
    for part in held.get(number, ()):
        if part.size == length and _fits(store, part.etag, md5, copied):
            return part
    return None


def _fits(store: ObjectStore, etag: str, md5: str, copied: bool) -> bool:
    return not store.etags_are_md5 or etag == md5 or (copied and "-" in etag)
