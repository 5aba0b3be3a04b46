"""Send the planned parts: data travels, zeros are copied inside the store, each is compared.

A part that the store has already is read again for its MD5 and counts as there only if that is
right. Copies have workers of their own, since they cost the line nothing.

A part is read into memory that an earlier part had. That is given on only when the store has
acknowledged the part, or holds it: after a failure something might still read it.
"""

from __future__ import annotations

import mmap
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, wait

from imsprep.image.digest import UNIT, DigestTree
from imsprep.store.contract import Body, ObjectRange
from imsprep.store.etags import multipart_etag, same_etag
from imsprep.store.md5_of_zeros import hash_of_zeros, zero_md5s
from imsprep.store.retry import RateLimit, RetryingStore
from imsprep.system.buffers import Buffers
from imsprep.units import MIB
from imsprep.upload.journal import UploadEntry
from imsprep.upload.parts.body import window, window_over
from imsprep.upload.parts.pool import LOOK_S, workers
from imsprep.upload.parts.verify import UploadedParts, Wanted, check_etag, is_uploaded
from imsprep.upload.parts.zeros import assemble, make_zero_object
from imsprep.upload.plan import PartPlan, PlannedPart
from imsprep.upload.values import Source, TransferPolicy, UploadProgress

# A part up to this size, in bytes, is read once and held; a larger one is read as it is sent.
HELD_IN_MEMORY = 32 * MIB
_STEP = UNIT  # bytes that are read and hashed at once


class PartSender:
    """The parts of one upload, and the tally of what was done with them, in bytes."""

    def __init__(
        self,
        source: Source,
        plan: PartPlan,
        store: RetryingStore,
        policy: TransferPolicy,
        progress: UploadProgress,
    ) -> None:
        self._source, self._plan, self._store = source, plan, store
        self._policy, self._progress = policy, progress
        self._limit = None
        if policy.bytes_per_s is not None:
            self._limit = RateLimit(policy.bytes_per_s, sleep=store.wait)
        self._lock = threading.Lock()
        self.sent = self.copied = self.reused = 0
        self._tree = DigestTree(source.size) if policy.with_digest else None
        self._unread = {part.number for part in plan.parts if not part.is_zero}
        self._md5s: dict[int, str] = {}
        self._held, self._steps = Buffers(), Buffers()
        sent = (part.sent for part in plan.parts)
        self._longest = max((size for size in sent if size <= HELD_IN_MEMORY), default=0)
        zeros = (part.length for part in plan.parts if part.is_zero)
        self._zero_md5s = zero_md5s(zeros) if plan.zero_size else {}
        self._failures: list[BaseException] = []

    @property
    def digest(self) -> str | None:
        """The digest of the source, if it was asked for and all data was read."""
        return self._tree.digest() if self._tree and not self._unread else None

    def planned_etag(self) -> str:
        """Read the source and return the etag that its object has."""
        with workers(self._store, self._policy.jobs) as pool:
            md5s = list(pool.map(self._md5, self._plan.parts))
        self._source.check_unchanged()
        return multipart_etag(md5s)

    def wanted(self) -> list[Wanted]:
        """Return what the store has to hold, once all parts were sent."""
        return [Wanted(p.number, p.length, self._md5s[p.number], p.is_zero)
                for p in self._plan.parts]  # fmt: skip

    def note(self, *, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        """Count bytes that are done, and report them."""
        with self._lock:
            self.sent += sent
            self.copied += copied
            self.reused += reused
            self._progress(sent=sent, copied=copied, reused=reused)

    def send_all(self, entry: UploadEntry, uploaded: UploadedParts) -> None:
        """Bring every part into the store; the first failure ends it.

        Copies have workers of their own, since they cost the line nothing: they run in parallel
        with what is sent, and the zeros are grown while data travels already.
        """
        jobs = self._policy.jobs
        with workers(self._store, jobs) as senders, workers(self._store, jobs) as copiers:
            zeros = copiers.submit(self._make_zeros, entry, uploaded)
            work = set()
            for part in self._plan.parts:
                pool = copiers if part.is_zero else senders
                work.add(pool.submit(self._try, entry, part, uploaded, zeros))
            while work and not self._failures:
                _, work = wait(work, LOOK_S, FIRST_EXCEPTION)
            if self._failures:
                raise self._failures[0]

    def _try(
        self, entry: UploadEntry, part: PlannedPart, uploaded: UploadedParts, zeros: Future[None]
    ) -> None:
        """Transfer one part, unless another one has failed; note a failure, which ends the rest."""
        if self._store.stopped:
            return
        try:
            self._transfer(entry, part, uploaded, zeros)
        except BaseException as error:
            self._failures.append(error)  # before the others fail because it stopped them
            self._store.stop()
            raise

    def _transfer(
        self, entry: UploadEntry, part: PlannedPart, uploaded: UploadedParts, zeros: Future[None]
    ) -> None:
        """Bring one part into the store, unless it is there already and right."""
        held, md5 = None, self._zero_md5s.get(part.length, "")
        if not part.is_zero:
            held, md5 = self._read(part)
        data = memoryview(held)[: part.sent] if held is not None else None
        upload_id, number = entry.upload_id, part.number
        if self._is_uploaded(part, md5, uploaded):
            self.note(reused=part.length)
        elif part.is_zero:
            zeros.result()
            zero_part = ObjectRange(entry.zero_key, 0, part.length)
            etag = self._store.copy_part(entry.key, upload_id, number, zero_part)
            check_etag(self._store, f"part {number}", etag, md5, copied=True)
            self.note(copied=part.length)
        elif part.zeros and self._assemble(entry, part, data, md5, zeros):
            self.note(sent=part.sent, copied=part.zeros)
        else:
            if part.zeros:  # the store refused to assemble it: the zeros travel too
                data = held = None
            body = self._body(part.offset, part.length, data)
            etag = self._store.upload_part(entry.key, upload_id, number, body, md5)
            check_etag(self._store, f"part {number}", etag, md5)
            self.note(sent=part.length)
        if held is not None:
            self._held.release(held)
        with self._lock:
            self._md5s[number] = md5

    def _assemble(
        self,
        entry: UploadEntry,
        part: PlannedPart,
        data: memoryview | None,
        md5: str,
        zeros: Future[None],
    ) -> bool:
        """Assemble a part of which only the data is sent; return whether that worked."""
        if not self._store.etags_are_md5:
            return False
        zeros.result()
        body = self._body(part.offset + part.zeros, part.sent, data)
        etag = assemble(self._store, entry, part, body)
        return etag is not None and same_etag(etag, md5)

    def _make_zeros(self, entry: UploadEntry, uploaded: UploadedParts) -> None:
        """Make the zero object if a part is to be copied from it."""
        if self._needs_zeros(uploaded):
            make_zero_object(self._store, entry.zero_key, self._plan.zero_size)

    def _needs_zeros(self, uploaded: UploadedParts) -> bool:
        """Return whether a part is still to be copied from the zero object."""
        return any(
            part.zeros
            and not (self._is_uploaded(part, self._zero_md5s[part.length], uploaded)
                     if part.is_zero else part.number in uploaded)
            for part in self._plan.parts
        )  # fmt: skip

    def _is_uploaded(self, part: PlannedPart, md5: str, uploaded: UploadedParts) -> bool:
        return is_uploaded(
            self._store, uploaded, Wanted(part.number, part.length, md5, part.is_zero)
        )

    def _md5(self, part: PlannedPart) -> str:
        if part.is_zero:
            return self._zero_md5s[part.length]
        held, md5 = self._read(part)
        if held is not None:
            self._held.release(held)
        return md5

    def _read(self, part: PlannedPart) -> tuple[mmap.mmap | None, str]:
        """Read what a part sends, once, for its MD5 and for the disk's digest.

        Return the memory in which it lies, unless it is too much to be held, and the MD5 of the
        whole part.
        """
        digest = hash_of_zeros(part.zeros)
        held = part.sent <= HELD_IN_MEMORY
        buffers, size = (self._held, self._longest) if held else (self._steps, _STEP)
        memory, end = buffers.take(size), part.offset + part.length
        first = offset = part.offset + part.zeros
        while offset < end:  # in steps, so that both digests find them in the processor's cache
            stop = min(end, (offset // _STEP + 1) * _STEP)
            at = offset - first if held else 0
            with memoryview(memory) as whole, whole[at : at + stop - offset] as view:
                self._source.pread_into(offset, view)
                digest.update(view)
                if self._tree is not None:
                    self._tree.add(offset, view)
            offset = stop
        if not held:
            buffers.release(memory)
        with self._lock:
            self._unread.discard(part.number)
        return (memory if held else None), str(digest.hexdigest())

    def _body(self, offset: int, length: int, data: memoryview | None = None) -> Body:
        """Return what is sent: `data` as it was read, or a file over the image.

        If there is a limit, its bytes wait for their turn.
        """
        wait_for = self._limit.wait_for if self._limit else None
        if data is None:
            source = self._source
            # What changed between reading for the MD5 and sending would be refused for ever.
            check = source.check_unchanged
            return window(source.pread_into, offset, length, wait_for=wait_for, check=check)
        return data if wait_for is None else window_over(data, wait_for)
