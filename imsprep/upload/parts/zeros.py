"""The zero object: an object of zeros in the bucket, from which parts are copied unsent.

It is grown on the store's side from a seed of 5 MiB, under a name of its own below
`imsprep-zeros/`, and removed when the upload is done. Every copy's etag must be the MD5 of that
many zeros.

A part of zeros and a little data is *assembled*: only the data is sent. A part has 5 MiB at least,
but the last one of an object may be shorter; so an object of its own is made, of a copy of zeros
and the data as its last part, and that object is copied as the part. It is removed with the zero
object, by whose name it is known.
"""

from __future__ import annotations

import re
from functools import partial

from imsprep.errors import ServiceError
from imsprep.store.contract import Body, ObjectFacts, ObjectRange, ObjectStore, Part
from imsprep.store.md5_of_zeros import zero_md5s
from imsprep.store.retry import RetryingStore
from imsprep.upload.complete import complete
from imsprep.upload.journal import UploadEntry
from imsprep.upload.parts.verify import Wanted, check_etag, find, list_uploaded
from imsprep.upload.plan import PlannedPart, plan_growth


def make_zero_object(store: RetryingStore, key: str, size: int) -> None:
    """Make sure that `key` is an object of `size` zero bytes; one that is there already will do."""
    found = store.head(key)
    if found is not None and found.size == size:
        return
    seed, steps = plan_growth(size)
    md5s = zero_md5s([seed, *(length for step in steps for length in step.copies)])
    check_etag(store, "the seed of zeros", store.put(key, bytes(seed)), md5s[seed])
    for step in steps:
        upload_id = store.create(key, {})
        for number, length in enumerate(step.copies, 1):
            etag = store.copy_part(key, upload_id, number, ObjectRange(key, 0, length))
            check_etag(store, "a copy of zeros", etag, md5s[length], copied=True)
        uploaded = list_uploaded(store, key, upload_id)
        parts = [
            find(store, uploaded, Wanted(number, length, md5s[length], copied=True))
            for number, length in enumerate(step.copies, 1)
        ]
        is_ours = partial(_has_size, step.size)
        complete(store, key, upload_id, parts, is_ours=is_ours)


def _has_size(size: int, found: ObjectFacts) -> bool:
    return found.size == size


def remove_zero_object(store: ObjectStore, key: str) -> None:
    """Remove the zero object, and what an interruption may have left of it and its parts.

    It was grown by replacing it, so that a bucket with versioning keeps each smaller one. Another
    object whose name only begins like that is not ours.
    """
    assembled = re.compile(re.escape(key) + r"-\d+")  # see `assemble`
    for unfinished in store.list_uploads(key):
        if unfinished.key == key or assembled.fullmatch(unfinished.key):
            store.abort(unfinished.key, unfinished.upload_id)
    store.delete(key, versions=True)
    for found in store.list_objects(f"{key}-"):
        if assembled.fullmatch(found.key):
            store.delete(found.key, versions=True)


def assemble(store: RetryingStore, entry: UploadEntry, part: PlannedPart, data: Body) -> str | None:
    """Make a part of zeros and `data`; return its etag, or None if the store refuses.

    The etag is the MD5 of the whole part, or the part is to be sent as it is: nothing else proves
    data that was copied.
    """
    assembled = f"{entry.zero_key}-{part.number}"
    try:
        made_by = store.create(assembled, {})
        zeros = store.copy_part(assembled, made_by, 1, ObjectRange(entry.zero_key, 0, part.zeros))
        rest = store.upload_part(assembled, made_by, 2, data)
        parts = [Part(1, part.zeros, zeros), Part(2, part.sent, rest)]
        complete(store, assembled, made_by, parts, is_ours=lambda found: found.size == part.length)
        return store.copy_part(
            entry.key, entry.upload_id, part.number, ObjectRange(assembled, 0, part.length)
        )
    except ServiceError:
        return None
