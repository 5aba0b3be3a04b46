"""From a file to an object in one step: look where it is empty, plan the parts, upload.

The block map and the upload read the same open file, and its identity is compared before the
upload is completed: a block that was empty when it was scanned is empty in the object's source.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from imsprep.image.file import RawImage
from imsprep.scan.scan import ScanOptions, scan
from imsprep.store.contract import ObjectStore
from imsprep.store.ownership import check_free, origin_of
from imsprep.store.retry import RetryingStore
from imsprep.store.target import Target, check_objects_apart
from imsprep.system.ownership import check_lasting
from imsprep.upload.journal import Journal
from imsprep.upload.plan import DEFAULT_PART_SIZE, SCAN_BLOCK, PartPlan, plan_parts, plan_plain
from imsprep.upload.transfer import Options, Progress, Uploaded, upload


@dataclass(frozen=True)
class Sending:
    """How to make a plan and carry it out."""

    copy_zeros: bool = True
    part_size: int = DEFAULT_PART_SIZE  # bytes, the largest data part where 10,000 are enough
    options: Options = field(default_factory=Options)
    scanning: ScanOptions = field(default_factory=ScanOptions)

    @property
    def force_share(self) -> bool:
        """Whether a file is sent that another program has open for writing."""
        return self.scanning.get("force_share", False)


def plan_file(path: Path, sending: Sending) -> PartPlan:
    """Return how the file would be uploaded; sends nothing."""
    with RawImage.open(path) as image:
        image.refuse_writers(force=sending.force_share)
        return _plan(image, sending)


def send_file(
    path: Path,
    store: ObjectStore,
    target: Target,
    key: str,
    *,
    sending: Sending,
    watch: Callable[[PartPlan], AbstractContextManager[Progress]],
) -> Uploaded:
    """Upload the file at `path` as the object `key`; `watch` is given the plan and follows it.

    Raises what `transfer.upload`, `scan`, `check_lasting` and `check_objects_apart` raise.
    """
    with RawImage.open(path) as image:
        image.refuse_writers(force=sending.force_share)
        check_lasting(path)
        Journal.for_file(path).check_replaceable()
        check_objects_apart(target, [key], [path])
        if not sending.options.replace:
            # Before the scan, which may take long; the upload asks again.
            origin = origin_of(path)
            patient = RetryingStore(store, sending.options.patience)
            check_free(patient.head(key), origin)
        plan = _plan(image, sending)
        with watch(plan) as progress:
            done = upload(
                image,
                plan,
                store,
                key,
                target=str(target),
                journal=Journal.for_file(path),
                options=sending.options,
                progress=progress,
            )
        return replace(done, sharing=image.sharing.note if image.sharing else None)


def _plan(image: RawImage, sending: Sending) -> PartPlan:
    if not sending.copy_zeros:
        return plan_plain(image.size, part_size=sending.part_size)
    block_map = scan(image, block_size=SCAN_BLOCK, **sending.scanning).block_map
    image.check_unchanged()
    return plan_parts(block_map, part_size=sending.part_size)
