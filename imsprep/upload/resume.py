"""Resume: the upload that the journal names is continued, or another one is begun, and why.

An upload is noted before it is begun, and again with its id. If the process ends in between, the
next run finds the first note and aborts what the store began for it: an upload of that key, begun
within CLOCKS_S of the note, that holds no part. Nothing else can tell whose an upload is.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from imsprep.errors import ReadError, ServiceError, TransferError
from imsprep.store.contract import Upload
from imsprep.store.retry import RetryingStore
from imsprep.upload.complete import is_gone
from imsprep.upload.journal import Journal, UploadEntry
from imsprep.upload.parts.verify import UploadedParts, list_uploaded

ABORTED_ELSEWHERE = "the store no longer has the upload: it was aborted or completed elsewhere"
CLOCKS_S = 15 * 60  # further apart than that, S3 refuses a request (RequestTimeTooSkewed)


def uploaded_before(
    store: RetryingStore, journal: Journal, noted: UploadEntry | None, fresh: UploadEntry
) -> tuple[UploadedParts | None, str | None]:
    """Return the parts of the upload that is noted, or None and why it cannot continue.

    Without a usable journal the reason is what is wrong with it, or None.
    """
    if noted is None:
        return None, journal.why_unusable()
    if not noted.upload_id:
        return None, None  # it may never have been begun
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
    earlier, promised = journal.load(), replace(fresh, begun_at=int(time.time()))
    journal.save(promised)
    retries = store.retries
    try:
        upload_id = store.create(fresh.key, metadata)
    except ServiceError:  # refused: there is nothing that another run would have to look for
        if earlier is None:
            journal.remove()
        else:
            journal.save(earlier)  # of an upload to another bucket
        raise
    entry = replace(fresh, upload_id=upload_id)
    try:
        prepare(entry)
        journal.save(entry)
    except (ReadError, OSError):
        abort(store, entry)  # nothing would record it
        raise
    if store.retries > retries:  # an answer that was lost may have begun one more
        abort(store, promised, but=upload_id)
    return entry


def abort(store: RetryingStore, entry: UploadEntry, *, but: str = "") -> None:
    """Abort a noted upload; without an id, what was begun for the note, and not the upload `but`.

    What the store does not let go is left to a person.
    """
    with contextlib.suppress(ServiceError, TransferError):
        if entry.upload_id:
            store.abort(entry.key, entry.upload_id)
            return
        for upload in store.list_uploads(entry.key):
            ours = upload.upload_id != but and _began_for(upload, entry)
            if ours and not list_uploaded(store, upload.key, upload.upload_id):
                store.abort(upload.key, upload.upload_id)


def _began_for(upload: Upload, promised: UploadEntry) -> bool:
    """Return whether an upload of the store can be the one that was about to be begun."""
    try:
        begun_at = datetime.fromisoformat(upload.initiated).timestamp()
    except ValueError:
        return False
    return upload.key == promised.key and abs(begun_at - promised.begun_at) <= CLOCKS_S
