"""Retrying: an object store whose requests are tried again when that can help.

The one question is whether a failure is permanent: TransferError is not, everything else is. The
waits grow and are random, so that many clients do not come back at once. There is one limit for a
whole upload, however many requests it takes: so long, in all, may nothing work. Then the last error
stands.

Completing an upload is never repeated blindly: `upload.complete` finds out whether it worked.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from imsprep.errors import TransferError
from imsprep.store.contract import (
    Body,
    BucketHead,
    ObjectFacts,
    ObjectRange,
    ObjectStore,
    Part,
    Upload,
)

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """How long to try, and how to wait in between; all in seconds."""

    # In all, over a whole upload. An outage of a few minutes should not need a person.
    limit_s: float = 900.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    jitter: Callable[[], float] = field(default=random.random, repr=False)  # 0.0 to 1.0


class Outages:
    """How long nothing has worked, in all: each time from a failure until anything works."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._before_s = 0.0
        self._since: float | None = None

    def failed(self) -> float:
        """Note that something failed; return the seconds of all outages so far."""
        with self._lock:
            now = self._clock()
            self._since = now if self._since is None else self._since
            return self._before_s + now - self._since

    def worked(self) -> None:
        """Note that something worked."""
        with self._lock:
            if self._since is not None:
                self._before_s += self._clock() - self._since
                self._since = None


_LOG = logging.getLogger(__name__)


class RetryingStore:
    """The same contract over another store, patiently; `stop` ends all waiting at once."""

    def __init__(self, store: ObjectStore, retry: RetryPolicy) -> None:
        self._store = store
        self._retry = retry
        self._outages = Outages(retry.clock)
        self._stopped = threading.Event()
        self.retries = 0  # how many attempts failed and were repeated

    def stop(self) -> None:
        """End every wait, now and later: the next failure of a request is its last."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Return whether `stop` was called."""
        return self._stopped.is_set()

    def wait(self, seconds: float) -> None:
        """Wait, as a part does for its turn; TransferError once `stop` was called."""
        if self._stopped.wait(seconds):
            raise TransferError("the upload was stopped")

    def deadline(self) -> float:
        """Return when to give up something that begins now, on the policy's clock."""
        return self._retry.clock() + self._retry.limit_s

    def pause(self, deadline: float) -> bool:
        """Wait before another attempt; say false if it is too late for one."""
        wait_s = self._retry.first_wait_s * (0.5 + self._retry.jitter())
        self.retries += 1
        return not self._stopped.wait(wait_s) and self._retry.clock() < deadline

    @property
    def etags_are_md5(self) -> bool:
        """See the store underneath."""
        return self._store.etags_are_md5

    def _patiently(self, what: str, attempt: Callable[[], T]) -> T:
        retry = self._retry
        longest = retry.first_wait_s
        while True:
            try:
                result = attempt()
            except TransferError as error:
                if error.lasting:
                    raise
                # Full jitter: anywhere between nothing and a bound that doubles.
                wait_s = max(longest * retry.jitter(), error.retry_after_s or 0.0)
                if self._outages.failed() + wait_s >= retry.limit_s:
                    wished = error.retry_after_s or 0.0
                    raise TransferError(
                        f"{error}; every attempt failed for {retry.limit_s:.0f} s in all;"
                        " run again to continue"
                        if wished < retry.limit_s
                        else f"{error}; it wants no request for {wished:.0f} s: run again then to"
                        " continue",
                        remedies=error.remedies,
                    ) from error
                _LOG.info("%s failed: %s; again in %.1f s", what, error, wait_s)
                if self._stopped.wait(wait_s):
                    raise
                longest = min(2 * longest, retry.longest_wait_s)
                self.retries += 1
            else:
                _LOG.debug("%s worked", what)
                self._outages.worked()
                return result

    def create(self, key: str, metadata: Mapping[str, str]) -> str:
        """Begin a multipart upload; a lost answer may leave an empty one behind."""
        return self._patiently("create", lambda: self._store.create(key, metadata))

    def upload_part(
        self, key: str, upload_id: str, number: int, data: Body, md5: str | None = None
    ) -> str:
        """Send one part, again if need be: the last attempt replaces the ones before."""
        return self._patiently(
            "upload_part", lambda: self._store.upload_part(key, upload_id, number, data, md5)
        )

    def copy_part(self, key: str, upload_id: str, number: int, source: ObjectRange) -> str:
        """Copy one part, again if need be."""
        return self._patiently(
            "copy_part", lambda: self._store.copy_part(key, upload_id, number, source)
        )

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """List the parts."""
        return self._patiently("list_parts", lambda: self._store.list_parts(key, upload_id))

    def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> str:
        """Complete the upload: one attempt, see the module's docstring."""
        return self._store.complete(key, upload_id, parts)

    def abort(self, key: str, upload_id: str) -> None:
        """Abort the upload; doing it twice does no harm."""
        self._patiently("abort", lambda: self._store.abort(key, upload_id))

    def list_uploads(self, prefix: str = "") -> list[Upload]:
        """List the unfinished uploads."""
        return self._patiently("list_uploads", lambda: self._store.list_uploads(prefix))

    def head(self, key: str) -> ObjectFacts | None:
        """Return what is known of an object."""
        return self._patiently("head", lambda: self._store.head(key))

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Read a range."""
        return self._patiently("read", lambda: self._store.read(key, offset, length))

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Write a small object, again if need be."""
        return self._patiently("put", lambda: self._store.put(key, data, metadata))

    def delete(self, key: str, *, versions: bool = False, version: str | None = None) -> None:
        """Remove an object; doing it twice does no harm."""
        self._patiently(
            "delete", lambda: self._store.delete(key, versions=versions, version=version)
        )

    def head_bucket(self) -> BucketHead:
        """Return what the bucket says of itself."""
        return self._patiently("head_bucket", self._store.head_bucket)

    def list_objects(self, prefix: str = "") -> list[ObjectFacts]:
        """List objects."""
        return self._patiently("list_objects", lambda: self._store.list_objects(prefix))


class RateLimit:
    """At most so many bytes per second, over all threads together: each piece waits its turn."""

    def __init__(
        self,
        bytes_per_s: float,
        *,
        sleep: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bytes_per_s, self._clock, self._sleep = bytes_per_s, clock, sleep
        self._free_at = clock()
        self._lock = threading.Lock()

    def wait_for(self, count: int) -> None:
        """Return when `count` bytes may be sent."""
        with self._lock:
            now = self._clock()
            start = max(self._free_at, now)
            self._free_at = start + count / self._bytes_per_s
        self._sleep(start - now)
