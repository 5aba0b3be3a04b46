"""From a file to an object in one step: look where it is empty, plan the parts, upload.

The block map and the upload read the same open file, and its identity is compared before the
upload is completed: a block that was empty when it was scanned is empty in the object's source.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from imsprep.image.file import RawImage
from imsprep.options import UploadOptions
from imsprep.scan.scan import scan
from imsprep.store.object_ownership import check_free, origin_of
from imsprep.store.retry import RetryingStore
from imsprep.store.target import Bucket, check_objects_apart
from imsprep.system.ownership import check_lasting
from imsprep.upload.journal import Journal
from imsprep.upload.plan import SCAN_BLOCK, PartPlan, plan_parts, plan_plain
from imsprep.upload.transfer import upload
from imsprep.upload.values import Destination, TransferPolicy, Uploaded, UploadProgress


def plan_file(path: Path, options: UploadOptions) -> PartPlan:
    """Return how the file would be uploaded; sends nothing."""
    with RawImage.open(path) as image:
        image.refuse_writers(force=options.force_share)
        return _plan(image, options)


def send_file(
    path: Path,
    bucket: Bucket,
    options: UploadOptions,
    watch: Callable[[PartPlan], AbstractContextManager[UploadProgress]],
    policy: TransferPolicy | None = None,
) -> Uploaded:
    """Upload the file at `path`; `watch` is called with the plan and follows it.

    The policy is what the options say unless it is given. Raises what `transfer.upload`, `scan`,
    `check_lasting` and `check_objects_apart` raise.
    """
    policy = policy or TransferPolicy.of(options)
    key = bucket.target.key_for(options.key or path.name)
    with RawImage.open(path) as image:
        image.refuse_writers(force=options.force_share)
        check_lasting(path)
        journal = Journal.for_file(path)
        journal.check_replaceable()
        check_objects_apart(bucket.target, [key], [path])
        if not policy.replace:
            # Before the scan, which may take long; the upload asks again.
            check_free(RetryingStore(bucket.store, policy.retry).head(key), origin_of(path))
        plan = _plan(image, options)
        to = Destination(bucket.store, str(bucket.target), key, journal, origin=journal.image)
        with watch(plan) as progress:
            done = upload(image, plan, to, policy, progress)
        return replace(done, sharing=image.sharing.note if image.sharing else None)


def _plan(image: RawImage, options: UploadOptions) -> PartPlan:
    if not options.copy_zeros:
        return plan_plain(image.size, part_size=options.part_size)
    block_map = scan(image, options.scanning(block_size=SCAN_BLOCK)).block_map
    image.check_unchanged()
    return plan_parts(block_map, part_size=options.part_size)
