"""What an upload is: its source, where it goes, how it is carried out, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from imsprep.image.identity import Identity
from imsprep.options import TransferOptions, UploadOptions
from imsprep.store.contract import ObjectStore
from imsprep.store.retry import RetryPolicy
from imsprep.upload.journal import Journal


class Source(Protocol):
    """What is uploaded: `image.file.RawImage`, or anything that reads and knows when it changed."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def identity(self) -> Identity:
        """The state of the file when it was opened."""

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from `offset`; safe to call from several threads."""

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the file is not as it was when it was opened."""


class UploadProgress(Protocol):
    """Called with what was done: bytes sent, bytes copied in the store, bytes already there."""

    def __call__(self, *, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        """Note that so many more bytes are done; called from one thread at a time."""


@dataclass(frozen=True)
class Destination:
    """An object that is to be made, and the journal of its upload."""

    store: ObjectStore
    target: str  # the bucket as the journal names it
    key: str
    journal: Journal
    origin: Path  # the file that the object counts as made of


@dataclass(frozen=True)
class TransferPolicy:
    """How an upload is carried out; the defaults suit a client near its bucket."""

    jobs: int = 4  # parts at the same time
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    bytes_per_s: float | None = None  # limit of what travels; None means as fast as it goes
    skip_same: bool = True  # do nothing if the object is there already
    replace: bool = False  # also an object that imsprep did not make of this file
    with_digest: bool = False  # compute the source's of the bytes that are read (`image.digest`)

    @classmethod
    def of(cls, options: TransferOptions) -> TransferPolicy:
        """Return what the options of a transfer say; those of an upload may force one."""
        return cls(
            jobs=options.jobs,
            retry=RetryPolicy(limit_s=options.retry_for_s),
            bytes_per_s=options.bytes_per_s,
            skip_same=not (isinstance(options, UploadOptions) and options.force),
            replace=options.replace,
        )


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
