"""BucketFacts: what a bucket told of itself and of the object that an import would read."""

from __future__ import annotations

from dataclasses import dataclass

from imsprep.errors import ServiceError, TransferError
from imsprep.store import ObjectFacts, ObjectStore


@dataclass(frozen=True)
class BucketFacts:
    """What was found; with a `refusal` nothing else is known."""

    bucket: str
    key: str
    refusal: str | None = None  # the service's own words
    storage_class: str = "STANDARD"  # of the bucket
    object: ObjectFacts | None = None
    unfinished: int = 0  # uploads of the key that were begun and not ended


def look_at_bucket(store: ObjectStore, bucket: str, key: str) -> BucketFacts:
    """Ask a bucket; reads only. What the service refuses becomes a fact, not an error."""
    try:
        return BucketFacts(
            bucket,
            key,
            storage_class=store.bucket_storage_class(),
            object=store.head(key),
            unfinished=sum(upload.key == key for upload in store.list_uploads(key)),
        )
    except (ServiceError, TransferError) as error:
        return BucketFacts(bucket, key, refusal=str(error))
