"""ETags: how an object store writes them, when two are the same, and that of many parts. Pure.

Where a store does not encrypt, an ETag is the MD5 of the bytes in hex, or the MD5 of the parts'
MD5s and `-n` (OBS API reference, "Uploading Parts" and "Completing Multipart Upload"). So two are
compared as numbers in hex: some stores write capitals. What a store wrote is given back to it as it
is, when an upload is completed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

_LONGEST = 256  # characters; an MD5 and a number of parts have 38


def etag_of(answer: Mapping[str, object]) -> str:
    """Return the ETag of an answer of botocore, "" if there is none.

    Without its quotes, and without the mark of a weak one (RFC 9110, 8.8.3). What cannot be shown,
    or is longer than any, is none.
    """
    etag = str(answer.get("ETag") or "").removeprefix("W/").strip('"')
    return etag if len(etag) <= _LONGEST and etag.isprintable() else ""


def same_etag(one: str, other: str) -> bool:
    """Return whether two ETags stand for the same bytes; none is the same as none."""
    return bool(one) and one.lower() == other.lower()


def multipart_etag(etags: Iterable[str]) -> str:
    """Return the ETag of an object made of parts with these ETags: the MD5 of their MD5s, and `-n`.

    Source: OBS API reference, "Completing Multipart Upload"; every S3-like store does the same.
    """
    digests = [bytes.fromhex(etag) for etag in etags]
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"
