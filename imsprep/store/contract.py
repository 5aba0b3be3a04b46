"""The object store's contract: what imsprep asks of a bucket, and nothing more.

Terms are those of multipart upload: an *upload* is identified by its *upload id*, consists of
*parts* with *part numbers* from 1 to 10,000, and becomes an *object* when it is completed. Every
implementation passes the same suite, `tests/store_suite.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple, Protocol

from imsprep.errors import ServiceError
from imsprep.units import GIB, MIB

STANDARD = "STANDARD"  # the storage class of all that is made here: quick import reads no other
MAX_PART_NUMBER = 10_000  # OBS API reference, "Uploading Parts"
# OBS itself takes parts from 100 KB, OTC's S3 compatibility page and other stores from 5 MiB.
MIN_PART_SIZE = 5 * MIB
MAX_PART_SIZE = 5 * GIB

# What a part is sent from: bytes, or a file read from its start to its end.
Body = bytes | memoryview | IO[bytes]


class CopyRefusedError(ServiceError):
    """The store does not copy parts for this key, or not at all; what is sent instead works."""

    remedies = ("copy_zeros",)


def check_part_number(number: int) -> None:
    """Raise ServiceError for a part number that no store may take."""
    if not 1 <= number <= MAX_PART_NUMBER:
        raise ServiceError(
            f"part number {number} is not one of 1 to {MAX_PART_NUMBER}", code="InvalidArgument"
        )


class Part(NamedTuple):
    """One part that the store holds."""

    number: int  # 1 to 10,000
    size: int  # bytes
    etag: str  # without quotation marks; the part's MD5 in hex, as the store writes it


class ObjectRange(NamedTuple):
    """A run of bytes of an object, from which a part is copied."""

    key: str
    offset: int  # bytes
    length: int  # bytes


class Upload(NamedTuple):
    """A multipart upload that was begun and neither completed nor aborted."""

    key: str
    upload_id: str
    initiated: str  # as the store writes it


class ObjectFacts(NamedTuple):
    """What the store says of an object."""

    key: str
    size: int  # bytes
    etag: str  # without quotation marks; "" where the store says none
    storage_class: str  # STANDARD where the store says nothing
    upload_id: str | None  # of the multipart upload that made it, where the store tells
    metadata: Mapping[str, str]
    version: str | None = None  # in a bucket with versioning


class BucketHead(NamedTuple):
    """What a bucket says of itself."""

    storage_class: str  # that objects have by default, in capitals
    region: str | None = None  # where it lies; None where it does not say, or there are no regions


class ObjectStore(Protocol):
    """A bucket. Safe to call from several threads at once.

    Every method raises TransferError for what a new attempt may mend and ServiceError for what it
    will not. Nothing here retries: that is a wrapper's work.
    """

    @property
    def etags_are_md5(self) -> bool:
        """Return whether a part's etag is its MD5; it is not where the store encrypts."""

    def create(self, key: str, metadata: Mapping[str, str]) -> str:
        """Begin a multipart upload of storage class STANDARD and return its upload id."""

    def upload_part(
        self, key: str, upload_id: str, number: int, data: Body, md5: str | None = None
    ) -> str:
        """Send one part and return its etag; the same number again replaces the part.

        `md5` is that of the data in hex if it is known already; other bytes are refused.
        """

    def copy_part(self, key: str, upload_id: str, number: int, source: ObjectRange) -> str:
        """Make one part from a range of another object of the bucket; return its etag.

        A range beyond the object's end is refused, or cut short as OBS does: the sizes that
        `list_parts` tells are to be compared before completing.
        """

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """Return all parts that the store holds, in order of their numbers."""

    def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> str:
        """Turn the parts, in ascending order, into the object; return the object's etag."""

    def abort(self, key: str, upload_id: str) -> None:
        """Forget an upload and its parts; an unknown upload is no error."""

    def list_uploads(self, prefix: str = "") -> list[Upload]:
        """Return the unfinished uploads whose key starts with `prefix`."""

    def head(self, key: str) -> ObjectFacts | None:
        """Return what is known of an object, or None if there is none."""

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Return a range of an object, shorter only at its end."""

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Write a small object at once, storage class STANDARD; return its etag."""

    def delete(self, key: str, *, versions: bool = False, version: str | None = None) -> None:
        """Remove an object; a missing one is no error.

        With a `version` only that one, so that what it took the place of is there again; where the
        key may remove no versions, the object as without it. With `versions` also what a bucket
        with versioning keeps of it: else removing it leaves all of them, and replacing it each one
        before.
        """

    def head_bucket(self) -> BucketHead:
        """Return what the bucket says of itself."""

    def list_objects(self, prefix: str = "") -> list[ObjectFacts]:
        """Return the objects whose key starts with `prefix`, in order of their keys."""
