"""Upload an object that is made while it is sent: no file of it lies here, and no plan of it.

Its maker gives parts in order, each with a note of what it holds; a part is sent with its MD5,
acknowledged, noted in the part log and forgotten. An upload that broke off continues: a part counts
as uploaded if journal, log and store agree on it, and its maker, who compares the image with the
note, confirms it. Whatever does not fit, the upload starts over and says why. Before completing,
each part that the store lists is compared with what was made, as in `transfer`.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import NamedTuple, Protocol

from imsprep.errors import ImageChangedError, ServiceError, TransferError
from imsprep.image.identity import Identity
from imsprep.store import object_ownership
from imsprep.store.contract import MAX_PART_NUMBER, Body, ObjectFacts
from imsprep.store.etags import multipart_etag, same_etag
from imsprep.store.retry import RateLimit, RetryingStore
from imsprep.units import MIB
from imsprep.upload.complete import check_class, check_object, complete
from imsprep.upload.journal import ZEROS, Journal, UploadEntry
from imsprep.upload.partlog import Line, PartLog
from imsprep.upload.parts.body import window_over
from imsprep.upload.parts.pool import LOOK_S, workers
from imsprep.upload.parts.verify import Wanted, check_etag, find, list_uploaded
from imsprep.upload.resume import abort, begin, uploaded_before
from imsprep.upload.values import Destination, TransferPolicy, Uploaded, UploadProgress

MEMORY = 256 * MIB  # of parts that are on their way at the same time
_WHOLE = 0  # the number of the line that is added before completing


class MadePart(NamedTuple):
    """A part: its bytes, or None if the store holds it; and what is to be noted of it."""

    number: int
    length: int  # bytes
    data: memoryview | None
    note: dict[str, object]
    release: Callable[[], object] = lambda: None  # to be called when the bytes are not needed


class NotTheSameError(Exception):
    """What was noted of uploaded parts does not fit the image: nothing of it may be used."""


class Maker(Protocol):
    """Who makes the object."""

    @property
    def identity(self) -> Identity:
        """The state of the file of which it is made."""

    @property
    def plan(self) -> str:
        """What decides about the object's bytes besides the image, as 64 hexadecimal digits."""

    def parts(self, uploaded: Mapping[int, dict[str, object]]) -> Generator[MadePart]:
        """Make the object's parts, in any order, the same in every run.

        `uploaded` has the notes of parts that need not be made. Raises NotTheSameError if one does
        not fit.
        """

    def facts(self) -> Mapping[str, object]:
        """Return what else is to be known of an object that is whole, once all parts were made."""

    def take_facts(self, facts: Mapping[str, object]) -> bool:
        """Take facts that an earlier run noted; return whether they can be used."""

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the image is not as it was."""


def stream(
    maker: Maker, to: Destination, policy: TransferPolicy, progress: UploadProgress
) -> Uploaded:
    """Make and upload an object; continue an earlier upload where there is one.

    Raises what `transfer.upload` raises, and what making raises.
    """
    run = _Stream(maker, to, policy, progress)
    with to.journal.locked():
        to.journal.check_replaceable()
        PartLog.for_upload(to.journal.image, "").check_replaceable()
        return run.do(to.target, to.journal)


class _Stream:
    """One streamed upload in progress."""

    def __init__(
        self, maker: Maker, to: Destination, policy: TransferPolicy, progress: UploadProgress
    ) -> None:
        self._maker, self._key = maker, to.key
        self._store = store = RetryingStore(to.store, policy.retry)
        self._policy, self._progress = policy, progress
        self._origin = object_ownership.origin_of(to.origin)
        self._check_free = partial(
            object_ownership.check_free, origin=self._origin, replace=policy.replace
        )
        self._limit = None
        if policy.bytes_per_s is not None:
            self._limit = RateLimit(policy.bytes_per_s, sleep=store.wait)
        self._sent = self._reused = 0
        self._made: dict[int, tuple[int, str]] = {}  # length and MD5 by number

    def do(self, target: str, journal: Journal) -> Uploaded:
        """Go through all steps; see `stream`."""
        noted = journal.load()
        fresh = UploadEntry(
            target=target,
            key=self._key,
            upload_id="",
            zero_key=ZEROS + secrets.token_hex(16),  # none is ever made
            plan=self._maker.plan,
            identity=self._maker.identity,
        )
        found = self._store.head(self._key)
        if found is not None and self._is_same(found, noted, fresh, journal):
            if noted is not None and (noted.target, noted.key) == (target, self._key):
                self._forget(journal, noted)  # it was completed, and killed before it could tidy
            check_class(found)
            self._note(reused=found.size)
            return self._result(found.size, found.etag, skipped=True)
        self._check_free(found)
        entry, reason = self._continue_or_begin(journal, noted, fresh)
        try:
            try:
                log = self._send_all(entry, journal)
            except NotTheSameError as error:
                self._forget(journal, entry)
                self._made, self._reused = {}, 0
                reason = f"its part log does not fit the image ({error})"
                entry = self._begin(journal, fresh)
                log = self._send_all(entry, journal)
            self._maker.check_unchanged()
        except ImageChangedError:
            self._forget(journal, entry)
            raise
        if (now := self._store.head(self._key)) != found:
            self._check_free(now)  # it came while this was sent
        size, etag = self._complete(entry, log)
        log.remove()
        journal.remove()
        return self._result(size, etag, restarted=reason)

    def _is_same(
        self, found: ObjectFacts, noted: UploadEntry | None, fresh: UploadEntry, journal: Journal
    ) -> bool:
        """Return whether an object is what this upload would make.

        Either the upload that is noted made it and was whole, or making it again, without sending,
        gives the same ETag.
        """
        if found.metadata.get(object_ownership.PLAN) != fresh.plan:
            return False
        if noted is not None and noted.upload_id and noted.reason_against(fresh) is None:
            whole = PartLog.for_upload(journal.image, noted.upload_id).read().get(_WHOLE)
            named = found.upload_id == noted.upload_id
            if (
                whole is not None
                and whole.length == found.size
                and (named or (found.upload_id is None and same_etag(whole.etag, found.etag)))
                and self._maker.take_facts(whole.note)
            ):
                self._maker.check_unchanged()
                return True
        if not self._policy.skip_same or not self._store.etags_are_md5:
            return False
        md5s, size = {}, 0
        for part in self._maker.parts({}):
            assert part.data is not None
            md5s[part.number] = hashlib.md5(part.data, usedforsecurity=False).hexdigest()
            size += part.length
            part.release()
        self._maker.check_unchanged()
        made = multipart_etag(md5s[n] for n in sorted(md5s))
        return found.size == size and same_etag(found.etag, made)

    def _continue_or_begin(
        self, journal: Journal, noted: UploadEntry | None, fresh: UploadEntry
    ) -> tuple[UploadEntry, str | None]:
        """Return the upload to work on, and why an earlier one was left."""
        uploaded, reason = uploaded_before(self._store, journal, noted, fresh)
        if noted is not None:
            if uploaded is not None:
                return noted, None
            if noted.target == fresh.target:
                self._forget(journal, noted)
        return self._begin(journal, fresh), reason

    def _begin(self, journal: Journal, fresh: UploadEntry) -> UploadEntry:
        """Begin an upload and note it, without the part log of another one."""

        def prepare(entry: UploadEntry) -> None:
            PartLog.for_upload(journal.image, entry.upload_id).remove()

        made_with = object_ownership.marks(fresh.plan, self._origin)
        return begin(self._store, journal, fresh, made_with, prepare)

    def _forget(self, journal: Journal, entry: UploadEntry) -> None:
        """Remove what an upload left in the store; what cannot be removed is left to a person."""
        abort(self._store, entry)
        PartLog.for_upload(journal.image, entry.upload_id).remove()
        journal.remove()

    def _uploaded(self, entry: UploadEntry, log: PartLog) -> dict[int, Line]:
        """Return what the log and the store agree on."""
        uploaded = list_uploaded(self._store, self._key, entry.upload_id)
        return {
            line.number: line
            for line in log.read().values()
            if any(
                part.size == line.length
                and same_etag(part.etag, line.etag)
                and (same_etag(part.etag, line.md5) or not self._store.etags_are_md5)
                for part in uploaded.get(line.number, ())
            )
        }

    def _send_all(self, entry: UploadEntry, journal: Journal) -> PartLog:
        """Make and send every part that is not uploaded; the first failure ends it."""
        log = PartLog.for_upload(journal.image, entry.upload_id)
        lines = self._uploaded(entry, log)
        sending: dict[Future[Line], None] = {}
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(workers(self._store, self._policy.jobs))
            made = self._maker.parts({n: line.note for n, line in lines.items()})
            stack.enter_context(contextlib.closing(made))
            for part in made:
                if part.data is None:
                    line = lines[part.number]
                    self._made[part.number] = (line.length, line.md5)
                    self._note(reused=part.length)
                    continue
                most = max(1, min(self._policy.jobs, MEMORY // part.length))
                while len(sending) >= most:
                    self._settle(sending, log)
                self._settle(sending, log, block=False)
                sending[pool.submit(self._send, entry, part)] = None
                del part  # its bytes are kept until they are sent, and no longer
            while sending:
                self._settle(sending, log)
        return log

    def _settle(
        self, sending: dict[Future[Line], None], log: PartLog, *, block: bool = True
    ) -> None:
        """Note each part that has been acknowledged; wait a while for one, or only look."""
        done, _ = wait(sending, LOOK_S if block else 0, FIRST_COMPLETED)
        for future in done:
            del sending[future]
            line = future.result()
            if line.number > 1:
                log.add(line)  # the first part is made of all others, and never taken up again
            self._made[line.number] = (line.length, line.md5)
            self._note(sent=line.length)

    def _send(self, entry: UploadEntry, part: MadePart) -> Line:
        """Send one part. Runs in a thread."""
        if part.number > MAX_PART_NUMBER:
            raise TransferError(f"part {part.number} is more than the store takes")
        assert part.data is not None
        md5 = hashlib.md5(part.data, usedforsecurity=False).hexdigest()
        body = self._body(part.data)
        etag = self._store.upload_part(self._key, entry.upload_id, part.number, body, md5)
        check_etag(self._store, f"part {part.number}", etag, md5)
        part.release()
        return Line(part.number, part.length, md5, etag, part.note)

    def _body(self, data: memoryview) -> Body:
        """Return what is sent; if there is a limit, its bytes wait for their turn."""
        if self._limit is None:
            return data
        return window_over(data, self._limit.wait_for)

    def _complete(self, entry: UploadEntry, log: PartLog) -> tuple[int, str]:
        """Compare what the store holds with what was made, complete, and return size and ETag."""
        uploaded = list_uploaded(self._store, self._key, entry.upload_id)
        if set(uploaded) != set(self._made) or sorted(uploaded) != list(
            range(1, len(uploaded) + 1)
        ):
            raise ServiceError(
                f"the store holds {len(uploaded)} parts, expected {len(self._made)};"
                " nothing was completed"
            )
        parts = [
            find(self._store, uploaded, Wanted(number, *self._made[number]))
            for number in sorted(self._made)
        ]
        size = sum(part.size for part in parts)
        expected = (
            multipart_etag(part.etag for part in parts) if self._store.etags_are_md5 else None
        )
        log.add(Line(_WHOLE, size, "", expected or "", dict(self._maker.facts())))
        etag = complete(
            self._store,
            self._key,
            entry.upload_id,
            parts,
            is_ours=partial(object_ownership.is_of_plan, entry.plan, expected or ""),
        )
        return size, check_object(self._store, self._key, size=size, etag=etag, expected=expected)

    def _note(self, *, sent: int = 0, reused: int = 0) -> None:
        self._sent += sent
        self._reused += reused
        self._progress(sent=sent, copied=0, reused=reused)

    def _result(
        self, size: int, etag: str, *, skipped: bool = False, restarted: str | None = None
    ) -> Uploaded:
        return Uploaded(
            key=self._key,
            size=size,
            etag=etag,
            parts=len(self._made),
            sent=self._sent,
            copied=0,
            reused=self._reused,
            retries=self._store.retries,
            etags_compared=self._store.etags_are_md5,
            skipped=skipped,
            restarted=restarted,
        )
