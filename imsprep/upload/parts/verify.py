"""What a store holds of an upload, compared with what it should hold.

A part is right if its size and its ETag are. Where ETags cannot be MD5s the size remains: some
stores give a copied part a composite ETag (`hash-n`), and one that encrypts gives any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imsprep.errors import ServiceError
from imsprep.store.contract import ObjectStore, Part
from imsprep.store.etags import same_etag

UploadedParts = Mapping[int, Sequence[Part]]  # by number; a store may list what was replaced, too


def list_uploaded(store: ObjectStore, key: str, upload_id: str) -> UploadedParts:
    """Ask the store which parts it holds."""
    uploaded = defaultdict(list)
    for part in store.list_parts(key, upload_id):
        uploaded[part.number].append(part)
    return uploaded


class Wanted(NamedTuple):
    """A part as it has to be."""

    number: int
    length: int  # bytes
    md5: str
    copied: bool = False  # inside the store, which may give such parts other ETags


def is_uploaded(store: ObjectStore, uploaded: UploadedParts, part: Wanted) -> bool:
    """Return whether a part is there and right."""
    return _right(store, uploaded, part) is not None


def find(store: ObjectStore, uploaded: UploadedParts, wanted: Wanted) -> Part:
    """Return a part as the store lists it; ServiceError if it is not there or not right."""
    part = _right(store, uploaded, wanted)
    if part is None:
        got = [f"{p.size} bytes with the MD5 {p.etag}" for p in uploaded.get(wanted.number, ())]
        raise ServiceError(
            f"part {wanted.number} has {wanted.length} bytes with the MD5 {wanted.md5}, and the"
            f" store holds {', '.join(got) or 'nothing'} of it; nothing was completed"
        )
    return part


# "When server-side encryption is used, the returned ETag value is not the object's MD5 value" (OBS
# API reference, "Server-Side Encryption Overview"); an answer that says so is recognised.
_ENCRYPTS = "; if the bucket encrypts by itself and does not say so, ask for that encryption"


def check_etag(store: ObjectStore, what: str, got: str, md5: str, *, copied: bool = False) -> None:
    """Raise ServiceError if the etag that a part was answered with is not that of these bytes."""
    if not _fits(store, got, md5, copied):
        raise ServiceError(
            f"the store says that {what} has the MD5 {got}, expected {md5}; nothing was completed"
            + ("; if the store gives copies other ETags, send the zeros" if copied else _ENCRYPTS),
            code="BadDigest",
            remedies=("copy_zeros",) if copied else ("kms_key",),
        )


def _right(store: ObjectStore, uploaded: UploadedParts, wanted: Wanted) -> Part | None:
    for part in uploaded.get(wanted.number, ()):
        if part.size == wanted.length and _fits(store, part.etag, wanted.md5, wanted.copied):
            return part
    return None


def _fits(store: ObjectStore, etag: str, md5: str, copied: bool) -> bool:
    return not store.etags_are_md5 or same_etag(etag, md5) or (copied and "-" in etag)
