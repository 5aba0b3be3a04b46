"""Buckets: open one, bring a file into it, see what was left there and remove it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep.api.events import uploading
from imsprep.errors import TransferError, UsageError
from imsprep.keywords import with_keywords, with_keywords_after_two
from imsprep.options import (
    AbortOptions,
    LeftoverOptions,
    StoreOptions,
    StrPath,
    UploadOptions,
)
from imsprep.system.paths import optional_path, path_of

if TYPE_CHECKING:
    from imsprep.store.target import Bucket
    from imsprep.upload.cleanup import Leftovers
    from imsprep.upload.plan import PartPlan
    from imsprep.upload.values import Uploaded


@with_keywords(StoreOptions)
def open_store(target: str, options: StoreOptions) -> Bucket:
    """Open the bucket that `local:DIR` or `obs:BUCKET/PREFIX` names.

    A local one is made when something is written. Raises UsageError if credentials or a region are
    missing, MissingExtraError without imsprep[cloud].
    """
    from imsprep.store.target import open_bucket

    return open_bucket(target, options, kms_key=options.kms_key)


@with_keywords_after_two(UploadOptions)
def upload(file: StrPath, store: Bucket, options: UploadOptions) -> Uploaded:
    """Bring one file into a bucket: data is sent, zeros are copied inside the store.

    An upload that was interrupted continues when it is called again. Raises TransferError if
    running again continues, ServiceError for a refusal, ReadError, ImageChangedError, UsageError.
    """
    from imsprep.upload.file import send_file

    watch = functools.partial(uploading, options.progress)
    return send_file(path_of(file), store, options, watch)


@with_keywords(UploadOptions)
def plan_upload(file: StrPath, options: UploadOptions) -> PartPlan:
    """Return how `upload` would send a file; nothing is sent."""
    from imsprep.upload.file import plan_file

    return plan_file(path_of(file), options)


@with_keywords_after_two(UploadOptions)
def ask_bucket(file: StrPath, target: str, options: UploadOptions) -> str:
    """Ask a bucket whether `upload` could take the key of a file; nothing is sent.

    Returns why it could not be asked: no credentials, no region, out of reach; "" if it was. Raises
    OccupiedError, a UsageError, if the key has an object that is not replaced.
    """
    from imsprep.cloud.credentials import NoCredentialsError
    from imsprep.store import target as targets
    from imsprep.store.object_ownership import check_free, origin_of

    path = path_of(file)
    parsed = targets.parse_target(target, region=options.region, endpoint=options.obs_endpoint)
    if parsed.folder is None and parsed.region is None:
        return "its region is not given"
    try:
        store = targets.open_store(parsed, ca_bundle=optional_path(options.ca_bundle))
        check_free(store.head(parsed.key_for(options.key or path.name)), origin_of(path))
    except NoCredentialsError:
        return "there are no credentials"
    except TransferError as error:
        return str(error)
    return ""


@with_keywords(LeftoverOptions)
def find_leftovers(store: Bucket, options: LeftoverOptions) -> Leftovers:
    """Return what uploads that never ended left in a bucket, and killed commands in a folder.

    An upload that is still running somewhere looks the same. Raises UsageError for a local bucket
    whose folder does not exist, TransferError, ServiceError.
    """
    from imsprep.store.target import check_there
    from imsprep.upload.cleanup import find_leftovers as find

    check_there(store.target)
    return find(store.store, store.target.prefix, _folders(options))


@with_keywords(AbortOptions)
def abort_uploads(store: Bucket, options: AbortOptions) -> Leftovers:
    """Abort the uploads of one key, or everything that `find_leftovers` shows; return what is gone.

    Raises UsageError unless either `key` or `everything` is given, and for a local bucket whose
    folder does not exist, TransferError, ServiceError.
    """
    from imsprep.store.target import check_there
    from imsprep.upload.cleanup import remove_leftovers

    if (options.key is None) != options.everything:
        raise UsageError("name the key of one upload, or ask for all")
    check_there(store.target)
    key = store.target.key_for(options.key) if options.key else None
    return remove_leftovers(store.store, store.target.prefix, key=key, folders=_folders(options))


def _folders(options: LeftoverOptions) -> list[Path]:
    return [] if options.work_dir is None else [path_of(options.work_dir)]
