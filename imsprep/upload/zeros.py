"""The zero object: an object of zeros in the bucket, from which parts are copied unsent.

It is grown on the store's side from a seed of 5 MiB, under a name of its own below
`imsprep-zeros/`, and removed when the upload is done. Every copy's etag must be the MD5 of that
many zeros.
"""

from __future__ import annotations

from functools import partial

from imsprep.store.contract import ObjectFacts, ObjectStore
from imsprep.store.retry import RetryingStore
from imsprep.store.zeros import zero_md5s
from imsprep.upload.complete import complete
from imsprep.upload.plan import plan_growth
from imsprep.upload.verify import check_etag, find, list_held


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
            etag = store.copy_part(key, upload_id, number, key, 0, length)
            check_etag(store, "a copy of zeros", etag, md5s[length], copied=True)
        held = list_held(store, key, upload_id)
        parts = [
            find(store, held, number, length, md5s[length], copied=True)
            for number, length in enumerate(step.copies, 1)
        ]
        is_ours = partial(_has_size, step.size)
        complete(store, key, upload_id, parts, is_ours=is_ours)


def _has_size(size: int, found: ObjectFacts) -> bool:
    return found.size == size


def remove_zero_object(store: ObjectStore, key: str) -> None:
    """Remove the zero object, and what an interruption may have left of it and its parts."""
    for unfinished in store.list_uploads(key):
        store.abort(unfinished.key, unfinished.upload_id)
    store.delete(key)
    for helper in store.list_objects(f"{key}-"):  # see `composing`
        store.delete(helper.key)
