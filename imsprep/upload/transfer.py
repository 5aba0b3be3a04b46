"""Upload one file by its plan: send what is data, copy what is zeros, prove it, then complete.

An upload that broke off continues: the journal says which upload it was, the store says which parts
it holds, and the image says whether those are right, because each part's MD5 is computed again.
What is completed has been compared part by part, and the object's etag is the one computed here.
This module is the order of the steps; `parts.send` sends the parts.
"""

from __future__ import annotations

import contextlib
import secrets
from functools import partial

from imsprep.errors import ImageChangedError, ImageInUseError, ServiceError, TransferError
from imsprep.store import object_ownership
from imsprep.store.contract import ObjectFacts
from imsprep.store.etags import multipart_etag, same_etag
from imsprep.store.retry import RetryingStore
from imsprep.units import counted
from imsprep.upload.complete import check_class, check_object, complete
from imsprep.upload.journal import ZEROS, Journal, UploadEntry
from imsprep.upload.parts.send import PartSender
from imsprep.upload.parts.verify import UploadedParts, find, list_uploaded
from imsprep.upload.parts.zeros import remove_zero_object
from imsprep.upload.plan import PartPlan
from imsprep.upload.resume import abort, begin, uploaded_before
from imsprep.upload.values import Destination, Source, TransferPolicy, Uploaded, UploadProgress


def upload(
    source: Source,
    plan: PartPlan,
    to: Destination,
    policy: TransferPolicy,
    progress: UploadProgress,
) -> Uploaded:
    """Upload `source` by `plan`; continue an earlier upload where there is one.

    Raises TransferError if running again can continue or another process uploads this file,
    OccupiedError if the key has a foreign object, ServiceError if the store refused,
    ReadError if the journal cannot be written, ImageChangedError if the file changed (no object is
    made).
    """
    if plan.size != source.size:
        raise ImageChangedError(
            f"the image had {counted(plan.size, 'byte')} when its upload was planned, and now has"
            f" {source.size}; stop what writes to it, and run again"
        )
    run = _Upload(source, plan, to, policy, progress)
    with to.journal.locked():
        to.journal.check_replaceable()
        return run.do(to.target, to.journal)


class _Upload:
    """One upload in progress."""

    def __init__(
        self,
        source: Source,
        plan: PartPlan,
        to: Destination,
        policy: TransferPolicy,
        progress: UploadProgress,
    ) -> None:
        self._source, self._plan, self._key = source, plan, to.key
        self._store = RetryingStore(to.store, policy.retry)
        self._origin = object_ownership.origin_of(to.origin)
        self._check_free = partial(
            object_ownership.check_free, origin=self._origin, replace=policy.replace
        )
        self._policy = policy
        self._parts = PartSender(source, plan, self._store, policy, progress)
        self._left_behind: tuple[str, str] | None = None

    def do(self, target: str, journal: Journal) -> Uploaded:
        """Go through all steps; see `upload`."""
        noted = journal.load()
        found = self._store.head(self._key)
        if found is not None and self._is_same(found, noted):
            if noted is not None and (noted.target, noted.key) == (target, self._key):
                self._forget(journal, noted)  # it was completed, and killed before it could tidy
            check_class(found)
            self._parts.note(reused=self._plan.size)
            return self._result(found.etag, skipped=True)
        self._check_free(found)
        fresh = UploadEntry(
            target=target,
            key=self._key,
            upload_id="",
            zero_key=ZEROS + secrets.token_hex(16),
            plan=self._plan.digest,
            identity=self._source.identity,
        )
        entry, uploaded, reason = self._continue_or_begin(journal, noted, fresh)
        try:
            self._parts.send_all(entry, uploaded)
            self._source.check_unchanged()
        except (ImageChangedError, ImageInUseError):
            self._forget(journal, entry)
            raise
        if (now := self._store.head(self._key)) != found:
            self._check_free(now)  # it came while this was sent
        etag, expected = self._complete(entry)
        left = self._tidy(entry)
        journal.remove()
        etag = check_object(
            self._store, self._key, size=self._plan.size, etag=etag, expected=expected
        )
        return self._result(etag, restarted=reason, left=left)

    def _tidy(self, entry: UploadEntry) -> str | None:
        """Remove the zeros; the object is whole also if that fails, so say what was left."""
        try:
            remove_zero_object(self._store, entry.zero_key)
        except (ServiceError, TransferError) as error:
            return f"{entry.zero_key}*: {error}"
        return None

    def _is_same(self, found: ObjectFacts, noted: UploadEntry | None) -> bool:
        """Return whether an object is what this upload would make, by its etag; reads the data."""
        if (found.size, found.metadata.get(object_ownership.PLAN)) != (
            self._plan.size,
            self._plan.digest,
        ):
            return False
        if not self._policy.skip_same or not self._store.etags_are_md5:
            # All that is known is whether the upload that was noted here made it.
            if noted is None or noted.identity.lasting != self._source.identity.lasting:
                return False
            return bool(noted.upload_id) and found.upload_id == noted.upload_id
        return same_etag(found.etag, self._parts.planned_etag())

    def _continue_or_begin(
        self, journal: Journal, noted: UploadEntry | None, fresh: UploadEntry
    ) -> tuple[UploadEntry, UploadedParts, str | None]:
        """Return the upload to work on, the parts it holds, and why an earlier one was left."""
        uploaded, reason = uploaded_before(self._store, journal, noted, fresh)
        if noted is not None:
            if uploaded is not None:
                return noted, uploaded, None
            if noted.target == fresh.target:
                self._forget(journal, noted)
            elif noted.upload_id:
                self._left_behind = (noted.target, noted.key)
        made_with = object_ownership.marks(self._plan.digest, self._origin)
        return begin(self._store, journal, fresh, made_with), {}, reason

    def _forget(self, journal: Journal, entry: UploadEntry) -> None:
        """Remove what an upload left in the store; what cannot be removed is left to a person."""
        abort(self._store, entry)
        with contextlib.suppress(ServiceError, TransferError):
            remove_zero_object(self._store, entry.zero_key)
        journal.remove()

    def _complete(self, entry: UploadEntry) -> tuple[str, str | None]:
        """Compare what the store holds with the plan, and complete.

        Returns the object's etag as it was answered and as computed, None if it cannot be.
        """
        uploaded = list_uploaded(self._store, entry.key, entry.upload_id)
        wanted = self._parts.wanted()
        if len(uploaded) > len(wanted):
            raise ServiceError(
                f"the store holds {len(uploaded)} parts, expected {len(wanted)};"
                " nothing was completed"
            )
        parts = [find(self._store, uploaded, one) for one in wanted]
        # Only where the store's etags are the MD5s of the bytes that were sent.
        comparable = all(same_etag(p.etag, one.md5) for p, one in zip(parts, wanted, strict=True))
        expected = multipart_etag(part.etag for part in parts) if comparable else None
        etag = complete(
            self._store,
            entry.key,
            entry.upload_id,
            parts,
            is_ours=partial(object_ownership.is_of_plan, entry.plan, expected or ""),
        )
        return etag, expected

    def _result(
        self,
        etag: str,
        *,
        skipped: bool = False,
        restarted: str | None = None,
        left: str | None = None,
    ) -> Uploaded:
        return Uploaded(
            key=self._key,
            size=self._plan.size,
            etag=etag,
            parts=len(self._plan.parts),
            sent=self._parts.sent,
            copied=self._parts.copied,
            reused=self._parts.reused,
            retries=self._store.retries,
            etags_compared=self._store.etags_are_md5,
            left_behind=self._left_behind,
            digest=self._parts.digest,
            skipped=skipped,
            restarted=restarted,
            left=left,
        )
