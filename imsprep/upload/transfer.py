"""Upload one file by its plan: send what is data, copy what is zeros, prove it, then complete.

An upload that broke off continues: the journal says which upload it was, the store says which parts
it holds, and the image says whether those are right, because each part's MD5 is computed again.
What is completed has been compared part by part, and the object's etag is the one computed here.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass, replace
from io import BufferedReader
from typing import Any, Protocol

from imsprep.errors import (
    ImageChangedError,
    ImageInUseError,
    ReadError,
    ServiceError,
    TransferError,
)
from imsprep.image.digest import DigestTree
from imsprep.image.file import Identity
from imsprep.store import ownership
from imsprep.store.contract import ObjectFacts, Part, multipart_etag
from imsprep.store.retry import RateLimit, RetryingStore
from imsprep.store.zeros import hash_of_zeros, zero_md5s
from imsprep.units import MIB
from imsprep.upload.body import window
from imsprep.upload.complete import ABORTED_ELSEWHERE, check_class, check_object, complete, is_gone
from imsprep.upload.destination import Destination, TransferPolicy
from imsprep.upload.journal import ZEROS, Entry, Journal
from imsprep.upload.plan import PartPlan, PlannedPart
from imsprep.upload.pool import workers
from imsprep.upload.verify import (
    UploadedParts,
    Wanted,
    check_etag,
    find,
    is_uploaded,
    list_uploaded,
)
from imsprep.upload.zeros import compose, make_zero_object, remove_zero_object

# A part up to this size, in bytes, is read once and held; a larger one is read as it is sent.
HELD_IN_MEMORY = 32 * MIB
_STEP = 4 * MIB  # bytes of such a part that are hashed at once


class Source(Protocol):
    """What is uploaded: `image.RawImage`, or anything that reads and knows when it changed."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def identity(self) -> Identity:
        """The state of the file when it was opened."""

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly this range; safe to call from several threads."""

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the file is not as it was when it was opened."""


class Progress(Protocol):
    """Called with what was done: bytes sent, bytes copied in the store, bytes already there."""

    def __call__(self, *, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        """Note that so many more bytes are done; called from one thread at a time."""


@dataclass(frozen=True)
class Uploaded:
    """How an upload ended; all sizes in bytes."""

    key: str
    size: int
    etag: str
    parts: int
    sent: int  # travelled in this run
    copied: int  # copied by the store in this run
    reused: int  # there already from an earlier run
    skipped: bool = False  # the same object was there
    restarted: str | None = None  # why an earlier upload was not continued
    left_behind: tuple[str, str] | None = None  # target and key of one that goes elsewhere
    left: str | None = None  # what could not be removed from the bucket, and why
    retries: int = 0
    etags_compared: bool = True  # False: the store encrypts, and its ETags are no MD5s
    digest: str | None = None  # of the disk, if it was asked for and all data was read
    data_bytes: int | None = None  # of the disk that was packed while it was sent
    sharing: str | None = None  # what has to be known of other programs that may write to the file


def upload(
    source: Source, plan: PartPlan, to: Destination, policy: TransferPolicy, progress: Progress
) -> Uploaded:
    """Upload `source` by `plan`; continue an earlier upload where there is one.

    Raises TransferError if running again can continue or another process uploads this file,
    OccupiedError if the key has a foreign object, ServiceError if the store refused,
    ReadError if the journal cannot be written, ImageChangedError if the file changed (no object is
    made).
    """
    if plan.size != source.size:
        raise ImageChangedError(f"planned for {plan.size} bytes, the image has {source.size}")
    run = _Run(source, plan, to, policy, progress)
    with to.journal.locked():
        to.journal.check_replaceable()
        return run.do(to.target, to.journal)


class _Run:
    """One upload in progress: what all steps share, and the tally."""

    def __init__(
        self,
        source: Source,
        plan: PartPlan,
        to: Destination,
        policy: TransferPolicy,
        progress: Progress,
    ) -> None:
        self._source, self._plan, self._key = source, plan, to.key
        self._store = store = RetryingStore(to.store, policy.retry)
        self._origin = ownership.origin_of(to.origin)
        self._policy, self._progress = policy, progress
        self._limit = None
        if policy.bytes_per_s is not None:
            self._limit = RateLimit(policy.bytes_per_s, sleep=store.wait)
        self._lock = threading.Lock()
        self._sent = self._copied = self._reused = 0
        self.tree = DigestTree(source.size) if policy.with_digest else None
        self._unread = {part.number for part in plan.parts if not part.is_zero}
        self._left_behind: tuple[str, str] | None = None
        self._md5s: dict[int, str] = {}
        self._zero_md5s: dict[int, str] = {}
        self._failures: list[BaseException] = []

    def do(self, target: str, journal: Journal) -> Uploaded:
        """Go through all steps; see `upload`."""
        if self._plan.zero_size:
            lengths = (part.length for part in self._plan.parts if part.is_zero)
            self._zero_md5s = zero_md5s(lengths)
        noted = journal.load()
        found = self._store.head(self._key)
        if found is not None and self._is_same(found, noted):
            if noted is not None and (noted.target, noted.key) == (target, self._key):
                self._forget(journal, noted)  # it was completed, and killed before it could tidy
            check_class(found)
            self._note(reused=self._plan.size)
            return self._result(found.etag, skipped=True)
        self._check_free(found)
        fresh = Entry(
            target=target,
            key=self._key,
            upload_id="",
            zero_key=ZEROS + secrets.token_hex(16),
            plan=self._plan.digest,
            identity=self._source.identity,
        )
        entry, held, reason = self._continue_or_begin(journal, noted, fresh)
        try:
            self._transfer_parts(entry, held)
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

    def _check_free(self, found: ObjectFacts | None) -> None:
        if not self._policy.replace:
            ownership.check_free(found, self._origin)

    def _tidy(self, entry: Entry) -> str | None:
        """Remove the zeros; the object is whole also if that fails, so say what was left."""
        try:
            remove_zero_object(self._store, entry.zero_key)
        except (ServiceError, TransferError) as error:
            return f"{entry.zero_key}*: {error}"
        return None

    def _is_same(self, found: ObjectFacts, noted: Entry | None) -> bool:
        """Return whether an object is what this upload would make, by its etag; reads the data."""
        if (found.size, found.metadata.get(ownership.PLAN)) != (self._plan.size, self._plan.digest):
            return False
        if not self._policy.skip_same or not self._store.etags_are_md5:
            # All that is known is whether the upload that was noted here made it.
            if noted is None or noted.identity.lasting != self._source.identity.lasting:
                return False
            return found.upload_id == noted.upload_id
        with workers(self._store, self._policy.jobs) as pool:
            md5s = list(pool.map(self._md5, self._plan.parts))
        self._source.check_unchanged()
        return found.etag == multipart_etag(md5s)

    def _md5(self, part: PlannedPart) -> str:
        if part.is_zero:
            return self._zero_md5s[part.length]
        return self._read(part)[1]

    def _read(self, part: PlannedPart) -> tuple[bytes | None, str]:
        """Read what a part sends, once, for its MD5 and for the disk's digest.

        Return it, unless it is too much to be held, and the MD5 of the whole part.
        """
        digest = hash_of_zeros(part.zeros)
        held, data = part.sent <= HELD_IN_MEMORY, None
        step, end = part.sent if held else _STEP, part.offset + part.length
        for offset in range(part.offset + part.zeros, end, step):
            data = self._source.pread(offset, min(step, end - offset))
            digest.update(data)
            if self.tree is not None:
                self.tree.add(offset, data)
        with self._lock:
            self._unread.discard(part.number)
        return (data if held else None), str(digest.hexdigest())

    def _body(self, offset: int, length: int, data: bytes | None = None) -> bytes | BufferedReader:
        """Return what is sent: `data` as it was read, or a file over the image.

        If there is a limit, its bytes wait for their turn.
        """
        wait_for = self._limit.wait_for if self._limit else None
        if data is None:
            source = self._source
            # What changed between reading for the MD5 and sending would be refused for ever.
            check = source.check_unchanged
            return window(source.pread, offset, length, wait_for=wait_for, check=check)
        if wait_for is None:
            return data
        return window(lambda at, size: data[at : at + size], 0, length, wait_for=wait_for)

    def _continue_or_begin(
        self, journal: Journal, noted: Entry | None, fresh: Entry
    ) -> tuple[Entry, UploadedParts, str | None]:
        """Return the upload to work on, the parts it holds, and why an earlier one was left."""
        reason = journal.why_unusable()
        if noted is not None:
            reason = noted.reason_against(fresh)
            if reason is None:
                try:
                    return noted, list_uploaded(self._store, self._key, noted.upload_id), None
                except ServiceError as error:
                    if not is_gone(error):
                        raise
                    reason = ABORTED_ELSEWHERE
            if noted.target == fresh.target:
                self._forget(journal, noted)
            else:
                self._left_behind = (noted.target, noted.key)
        made_with = ownership.marks(self._plan.digest, self._origin)
        upload_id = self._store.create(self._key, made_with)
        entry = replace(fresh, upload_id=upload_id)
        try:
            journal.save(entry)
        except ReadError:
            with contextlib.suppress(ServiceError, TransferError):
                self._store.abort(self._key, upload_id)  # nothing would record it
            raise
        return entry, {}, reason

    def _forget(self, journal: Journal, entry: Entry) -> None:
        """Remove what an upload left in the store; what cannot be removed is left to a person."""
        with contextlib.suppress(ServiceError, TransferError):
            self._store.abort(entry.key, entry.upload_id)
            remove_zero_object(self._store, entry.zero_key)
        journal.remove()

    def _transfer_parts(self, entry: Entry, held: UploadedParts) -> None:
        """Bring every part into the store; the first failure ends it.

        Copies have workers of their own, since they cost the line nothing: they run in parallel
        with what is sent, and the zeros are grown while data travels already.
        """
        jobs = self._policy.jobs
        with workers(self._store, jobs) as senders, workers(self._store, jobs) as copiers:
            zeros = copiers.submit(self._make_zeros, entry, held)
            work = []
            for part in self._plan.parts:
                pool = copiers if part.is_zero else senders
                work.append(pool.submit(self._try, entry, part, held, zeros))
            wait(work, return_when=FIRST_EXCEPTION)
            if self._failures:
                raise self._failures[0]

    def _try(
        self, entry: Entry, part: PlannedPart, held: UploadedParts, zeros: Future[None]
    ) -> None:
        """Transfer one part, unless another one has failed; note a failure, which ends the rest."""
        if self._store.stopped:
            return
        try:
            self._transfer(entry, part, held, zeros)
        except BaseException as error:
            self._failures.append(error)  # before the others fail because it stopped them
            self._store.stop()
            raise

    def _transfer(
        self, entry: Entry, part: PlannedPart, held: UploadedParts, zeros: Future[None]
    ) -> None:
        """Bring one part into the store, unless it is there already and right."""
        data, md5 = None, self._zero_md5s.get(part.length, "")
        if not part.is_zero:
            data, md5 = self._read(part)
        upload_id, number = entry.upload_id, part.number
        if self._is_held(part, md5, held):
            self._note(reused=part.length)
        elif part.is_zero:
            zeros.result()
            etag = self._store.copy_part(
                entry.key, upload_id, number, entry.zero_key, 0, part.length
            )
            check_etag(self._store, f"part {number}", etag, md5, copied=True)
            self._note(copied=part.length)
        elif part.zeros and self._compose(entry, part, data, md5, zeros):
            self._note(sent=part.sent, copied=part.zeros)
        else:
            # Of an assembled part that the store refused, the zeros travel too.
            whole = None if part.zeros else data
            body = self._body(part.offset, part.length, whole)
            etag = self._store.upload_part(entry.key, upload_id, number, body, md5)
            check_etag(self._store, f"part {number}", etag, md5)
            self._note(sent=part.length)
        with self._lock:
            self._md5s[number] = md5

    def _compose(
        self,
        entry: Entry,
        part: PlannedPart,
        data: bytes | None,
        md5: str,
        zeros: Future[None],
    ) -> bool:
        """Assemble a part of which only the data is sent; return whether that worked."""
        if not self._store.etags_are_md5:
            return False
        zeros.result()
        body = self._body(part.offset + part.zeros, part.sent, data)
        return compose(self._store, entry.key, entry.upload_id, part, entry.zero_key, body) == md5

    def _make_zeros(self, entry: Entry, held: UploadedParts) -> None:
        """Make the zero object if a part is to be copied from it."""
        if self._needs_zeros(held):
            make_zero_object(self._store, entry.zero_key, self._plan.zero_size)

    def _needs_zeros(self, held: UploadedParts) -> bool:
        """Return whether a part is still to be copied from the zero object."""
        return any(
            part.zeros
            and not (self._is_held(part, self._zero_md5s[part.length], held)
                     if part.is_zero else part.number in held)
            for part in self._plan.parts
        )  # fmt: skip

    def _is_held(self, part: PlannedPart, md5: str, held: UploadedParts) -> bool:
        return is_uploaded(self._store, held, Wanted(part.number, part.length, md5, part.is_zero))

    def _complete(self, entry: Entry) -> tuple[str, str | None]:
        """Compare what the store holds with the plan, and complete.

        Returns the object's etag as it was answered and as computed, None if it cannot be.
        """
        held = list_uploaded(self._store, entry.key, entry.upload_id)
        if len(held) > len(self._plan.parts):
            raise ServiceError(
                f"the store holds {len(held)} parts, expected {len(self._plan.parts)};"
                " nothing was completed"
            )
        md5s = self._md5s
        parts = [
            find(self._store, held, Wanted(p.number, p.length, md5s[p.number], p.is_zero))
            for p in self._plan.parts
        ]
        expected = multipart_etag(part.etag for part in parts) if self._comparable(parts) else None
        etag = complete(
            self._store,
            entry.key,
            entry.upload_id,
            parts,
            is_ours=lambda found: (
                (found.etag, found.metadata.get(ownership.PLAN)) == (expected, entry.plan)
            ),
        )
        return etag, expected

    def _comparable(self, parts: list[Part]) -> bool:
        """Return whether the store's etags are the MD5s of the bytes that were sent."""
        return all(part.etag == self._md5s[part.number] for part in parts)

    def _note(self, *, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        with self._lock:
            self._sent += sent
            self._copied += copied
            self._reused += reused
            self._progress(sent=sent, copied=copied, reused=reused)

    def _result(self, etag: str, **more: Any) -> Uploaded:
        return Uploaded(
            key=self._key,
            size=self._plan.size,
            etag=etag,
            parts=len(self._plan.parts),
            sent=self._sent,
            copied=self._copied,
            reused=self._reused,
            retries=self._store.retries,
            etags_compared=self._store.etags_are_md5,
            left_behind=self._left_behind,
            digest=self.tree.digest() if self.tree and not self._unread else None,
            **more,
        )
