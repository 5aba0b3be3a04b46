"""Where an upload goes and how it is carried out, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from imsprep.options import TransferOptions, UploadOptions
from imsprep.store.contract import ObjectStore
from imsprep.store.retry import RetryPolicy
from imsprep.upload.journal import Journal


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
