"""Resume: the upload that the journal names is continued, or another one is begun, and why."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from imsprep.errors import ReadError, ServiceError, TransferError
from imsprep.store.retry import RetryingStore
from imsprep.upload.complete import is_gone
from imsprep.upload.journal import Journal, UploadEntry
from imsprep.upload.parts.verify import UploadedParts, list_uploaded

ABORTED_ELSEWHERE = "the store no longer has the upload: it was aborted or completed elsewhere"


def uploaded_before(
    store: RetryingStore, journal: Journal, noted: UploadEntry | None, fresh: UploadEntry
) -> tuple[UploadedParts | None, str | None]:
    """Return the parts of the upload that is noted, or None and why it cannot continue.

    Without a usable journal the reason is what is wrong with it, or None.
    """
    if noted is None:
        return None, journal.why_unusable()
    reason = noted.reason_against(fresh)
    if reason is not None:
        return None, reason
    try:
        return list_uploaded(store, noted.key, noted.upload_id), None
    except ServiceError as error:
        if not is_gone(error):
            raise
        return None, ABORTED_ELSEWHERE


def begin(
    store: RetryingStore,
    journal: Journal,
    fresh: UploadEntry,
    metadata: Mapping[str, str],
    prepare: Callable[[UploadEntry], None] = lambda entry: None,
) -> UploadEntry:
    """Begin an upload and note it; one that cannot be noted is aborted.

    `prepare` is called before it is noted. Raises ReadError if the journal cannot be written.
    """
    upload_id = store.create(fresh.key, metadata)
    entry = replace(fresh, upload_id=upload_id)
    try:
        prepare(entry)
        journal.save(entry)
    except (ReadError, OSError):
        with contextlib.suppress(ServiceError, TransferError):
            store.abort(fresh.key, upload_id)  # nothing would record it
        raise
    return entry
