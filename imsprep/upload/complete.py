"""Complete an upload once and for certain, also when the answer is lost on the way.

A completion without an answer may have worked. Asking again blindly would then be refused (the
upload is gone), so the object itself is asked first: by the id of the upload that made it, which
OBS sends as x-obs-uploadId (OBS API reference, "Completing Multipart Upload"), or by its etag.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imsprep.errors import ServiceError, TransferError
from imsprep.store.contract import STANDARD, ObjectFacts, Part
from imsprep.store.etags import same_etag
from imsprep.store.retry import RetryingStore


def complete(
    store: RetryingStore,
    key: str,
    upload_id: str,
    parts: Sequence[Part],
    *,
    is_ours: Callable[[ObjectFacts], bool],
) -> str:
    """Complete the upload and return the object's etag.

    `is_ours` knows the object by its facts, where the store does not say which upload made it.
    Raises TransferError if it stays unknown, for as long as the store tries, whether it worked.
    """
    deadline = store.deadline()
    lost: TransferError | None = None
    while True:
        refused = False
        try:
            return store.complete(key, upload_id, parts)
        except TransferError as error:
            lost = error
        except ServiceError:
            # After a lost answer a refusal may only mean that the first attempt has worked.
            if lost is None:
                raise
            refused = True
        etag, gone = _outcome(store, key, upload_id, is_ours, refused=refused)
        if etag is not None:
            return etag
        if gone:
            raise TransferError(
                f"{lost}; the upload of {key!r} is gone and no object of it is there; run again"
            )
        if not store.pause(deadline):
            raise lost


def _outcome(
    store: RetryingStore,
    key: str,
    upload_id: str,
    is_ours: Callable[[ObjectFacts], bool],
    *,
    refused: bool,
) -> tuple[str | None, bool]:
    """Return the etag of the object that the upload made, if it did, and whether it is gone."""
    found = store.head(key)
    if found is not None and found.upload_id == upload_id:
        return found.etag, True
    gone = _is_unknown(store, key, upload_id)
    if gone or refused:
        # By now the upload has made its object, or never will. Before that, an equal object may
        # be one of another time.
        found = store.head(key)
        if found is not None and _made(found, upload_id, is_ours):
            return found.etag, gone
    return None, gone


def _made(found: ObjectFacts, upload_id: str, is_ours: Callable[[ObjectFacts], bool]) -> bool:
    """Return whether the upload made the object, by its name where the store tells it."""
    return is_ours(found) if found.upload_id is None else found.upload_id == upload_id


def _is_unknown(store: RetryingStore, key: str, upload_id: str) -> bool:
    """Return whether the store does not know the upload, or not any more."""
    try:
        store.list_parts(key, upload_id)
    except ServiceError as error:
        if not is_gone(error):
            raise
        return True
    return False


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
    if expected is not None and not found.etag:
        raise ServiceError(
            f"the store gives no ETag of the object {key!r}, neither of itself nor in a list of the"
            " bucket, so that nothing proves what it holds; do not import it"
        )
    if expected is not None and not all(same_etag(e, expected) for e in (etag, found.etag)):
        raise ServiceError(
            f"the object {key!r} has the etag {found.etag}, expected {expected}; do not import it"
        )
    check_class(found)
    return found.etag


def check_class(found: ObjectFacts) -> None:
    """Raise ServiceError for an object of a storage class that quick import does not read."""
    if found.storage_class != STANDARD:
        raise ServiceError(
            f"the object {found.key!r} has the storage class {found.storage_class}, and quick"
            f" import reads {STANDARD} only; use a bucket of that class"
        )


def is_gone(error: ServiceError) -> bool:
    """Return whether a store refused because it does not know the upload."""
    return error.code in ("NoSuchUpload", "404")
