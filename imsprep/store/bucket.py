"""BucketFacts: what a bucket says of itself and of the object that an import would read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from imsprep.errors import ServiceError, TransferError
from imsprep.store.contract import STANDARD, ObjectFacts, ObjectStore
from imsprep.store.object_ownership import why_not_ours


@dataclass(frozen=True)
class BucketFacts:
    """What was found; with a `refusal` nothing else is known."""

    bucket: str
    key: str
    refusal: str | None = None  # the service's own words
    storage_class: str = STANDARD  # of the bucket
    object: ObjectFacts | None = None
    # Objects under the keys of the import that are not this image's to replace, and why.
    strangers: dict[str, str] = field(default_factory=dict)
    # Uploads of the key that were begun and not ended; None: the list was refused.
    unfinished: int | None = 0
    unfinished_refusal: str = ""  # the service's own words
    upload_ids: tuple[str, ...] = ()  # of those uploads
    may_write: bool | None = None  # None: not tried
    write_refusal: str = ""  # the service's own words
    region: str | None = None  # where it lies; None: not known
    asked_region: str | None = None  # where the import is going to look for it


@dataclass(frozen=True)
class BucketQuestion:
    """What is asked of a bucket."""

    bucket: str
    key: str  # of the image
    more_keys: Sequence[str] = ()  # of what goes along with it
    origin: str | None = None  # stands for the image, whose objects may be replaced
    region: str | None = None  # of the import
    try_write: bool = False  # begin an upload of the key and end it at once


def look_at_bucket(
    store: ObjectStore, question: BucketQuestion, *, strict: bool = False
) -> BucketFacts:
    """Ask a bucket. What the service refuses becomes a fact, not an error, unless `strict`.

    It is only read, unless `try_write`: nothing else tells whether that is allowed, and neither
    data nor an object comes of it.
    """
    bucket, key, origin = question.bucket, question.key, question.origin
    try:
        head = store.head_bucket()
        objects = {name: store.head(name) for name in (key, *question.more_keys)}
        found = BucketFacts(
            bucket,
            key,
            storage_class=head.storage_class,
            region=head.region,
            asked_region=question.region,
            object=objects[key],
            strangers=_strangers(objects.values(), origin),
        )
        found = _with_unfinished(store, found)
    except (ServiceError, TransferError) as error:
        if strict:
            raise
        return BucketFacts(bucket, key, refusal=str(error))
    return _tried(store, found) if question.try_write else found


def _with_unfinished(store: ObjectStore, found: BucketFacts) -> BucketFacts:
    """Add the unfinished uploads: an import needs no list of them."""
    try:
        uploads = store.list_uploads(found.key)
    except ServiceError as error:
        return replace(found, unfinished=None, unfinished_refusal=str(error))
    ids = tuple(upload.upload_id for upload in uploads if upload.key == found.key)
    return replace(found, unfinished=len(ids), upload_ids=ids)


def without_upload(found: BucketFacts, upload_id: str) -> BucketFacts:
    """Return the facts without an unfinished upload: one that is going to be continued."""
    if upload_id not in found.upload_ids:
        return found
    left = tuple(one for one in found.upload_ids if one != upload_id)
    return replace(found, unfinished=len(left), upload_ids=left)


def _strangers(objects: Iterable[ObjectFacts | None], origin: str | None) -> dict[str, str]:
    whys = {o.key: why_not_ours(o, origin) for o in objects if o is not None and origin is not None}
    return {key: why for key, why in whys.items() if why}


def _tried(store: ObjectStore, found: BucketFacts) -> BucketFacts:
    try:
        store.abort(found.key, store.create(found.key, {}))
    except ServiceError as error:
        return replace(found, may_write=False, write_refusal=str(error))
    except TransferError as error:  # no answer
        return replace(found, write_refusal=str(error))
    return replace(found, may_write=True)
