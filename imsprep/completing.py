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
    lost: TransferError | None = None
    while True:
        try:
            return store.complete(key, upload_id, parts)
        except TransferError as error:
            lost = error
        except ServiceError:
            # After a lost answer a refusal may only mean that the first attempt has worked.
            if lost is None:
                raise
        found = store.head(key)
        if found is not None and (found.upload_id == upload_id or is_ours(found)):
            return found.etag
        try:
            store.list_parts(key, upload_id)
        except ServiceError as error:
            if not is_gone(error):
                raise
            raise TransferError(
                f"{lost}; the upload of {key!r} is gone and no object of it is there, run again"
            ) from error
        if not store.pause(deadline):
            raise lost


def check_object(
    store: RetryingStore, key: str, *, size: int, etag: str, expected: str | None
) -> str:
    """Return a finished object's etag after comparing it, the object's size and its class.

    `etag` is what the completion was answered with, `expected` what was computed here, or None if
    nothing can be.
    """
    found = store.head(key)
    if found is None or found.size != size:
        raise ServiceError(
            f"the store completed {key!r} with {found.size if found else 0} bytes, expected"
            f" {size}; do not import it"
        )
    if expected is not None and {etag, found.etag} != {expected}:
        raise ServiceError(
            f"the object {key!r} has the etag {found.etag}, expected {expected}; do not import it"
        )
    if found.storage_class != "STANDARD":
        raise ServiceError(
            f"the object {key!r} has the storage class {found.storage_class}, and quick import"
            " reads STANDARD only; use a bucket of that class"
        )
    return found.etag


def is_gone(error: ServiceError) -> bool:
    """Say whether a store refused because it does not know the upload."""
    return error.code in ("NoSuchUpload", "404")
