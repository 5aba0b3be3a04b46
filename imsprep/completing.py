"""Complete an upload once and for certain, also when the answer is lost on the way.

A completion without an answer may have worked. Asking again blindly would then be refused (the
upload is gone), so the object itself is asked first: by the id of the upload that made it, which
OBS sends as x-obs-uploadId (OBS API reference, "Completing Multipart Upload"), or by its etag.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imsprep.errors import ServiceError, TransferError
from imsprep.retry import RetryingStore
from imsprep.store import ObjectFacts, Part


def complete(
    store: RetryingStore,
    key: str,
    upload_id: str,
    parts: Sequence[Part],
    *,
    is_ours: Callable[[ObjectFacts], bool],
) -> str:
    """Complete the upload and return the object's etag; `is_ours` knows the object by its facts.

    Raises TransferError if it stays unknown, for the store's patience, whether it worked.
    """
    deadline = store.deadline()
    while True:
        try:
            return store.complete(key, upload_id, parts)
        except TransferError as error:
            lost = error
        found = store.head(key)
        if found is not None and (found.upload_id == upload_id or is_ours(found)):
            return found.etag
        try:
            store.list_parts(key, upload_id)
        except ServiceError as error:
            raise TransferError(
                f"{lost}; the upload of {key!r} is gone and no object of it is there, run again"
            ) from error
        if not store.pause(deadline):
            raise lost
