"""The front door: each thing that imsprep does as one function; `import imsprep` gives them all.

A function takes paths as `str` or `os.PathLike` and the fields of its options class as keywords
(see `imsprep.options`, where every default stands). What goes wrong is raised, as a class of
`imsprep.errors`; values come back from where they are made. All progress goes to one function, the
`progress` of every call (see `imsprep.progress`). Nothing here prints.

Modules are loaded by the function that needs them, so that making a bitmap loads no rules.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep.errors import UsageError
from imsprep.keywords import with_keywords, with_keywords_after_two
from imsprep.options import (
    BatchOptions,
    BitmapOptions,
    CheckOptions,
    ConvertOptions,
    DigestOptions,
    ExportOptions,
    HoleOptions,
    ImportOptions,
    InfoOptions,
    ScanOptions,
    StoreOptions,
    StrPath,
    UploadOptions,
    VerifyOptions,
    WaitOptions,
)
from imsprep.progress import (
    CONVERT,
    DIGEST,
    IMPORT,
    SCAN,
    UPLOAD,
    VERIFY,
    Event,
    Progress,
    counting,
)
from imsprep.system.paths import optional_path, path_of

if TYPE_CHECKING:
    from imsprep.bitmap.files import Exported, Made, Proof
    from imsprep.checks.check import Order
    from imsprep.checks.reporters import Run
    from imsprep.ims.job import JobStatus
    from imsprep.ims.region import RegionFacts
    from imsprep.ims.wait import Pace
    from imsprep.pipeline.batch.journal import BatchJournal
    from imsprep.pipeline.batch.run import Summary as BatchSummary
    from imsprep.pipeline.batch.run import Unit, Watching
    from imsprep.pipeline.batch.whole import Watcher
    from imsprep.pipeline.exported import ExportedSummary
    from imsprep.pipeline.info import Summary
    from imsprep.pipeline.prepare import Prepared
    from imsprep.pipeline.ship import Imported
    from imsprep.report import Report
    from imsprep.scan.scan import Scan
    from imsprep.scan.scan import ScanOptions as ScanKeywords
    from imsprep.store.bucket import BucketFacts
    from imsprep.store.contract import ObjectStore
    from imsprep.store.target import Target
    from imsprep.upload.file import Sending
    from imsprep.upload.plan import PartPlan
    from imsprep.upload.transfer import Progress as UploadProgress
    from imsprep.upload.transfer import Uploaded
    from imsprep.zvhd2.convert import Converted


@dataclass(frozen=True)
class Bucket:
    """An open bucket; made by `open_store`."""

    target: Target
    store: ObjectStore = dataclasses.field(repr=False)


@with_keywords(CheckOptions)
def check(image: StrPath, options: CheckOptions) -> Report:
    """Check an image, and the request to import it, as far as the options describe one.

    Findings are in the report, and raise nothing; `report.worst` is the highest severity. Raises
    ReadError, ImageChangedError, and UsageError for options that do not go together.
    """
    from imsprep.checks.check import check_one

    path = path_of(image)
    progress = counting(options.progress, SCAN, _size(path))
    return check_one(path, _check_order(options), progress)


def check_images(images: Iterable[StrPath], options: CheckOptions) -> Run:
    """Check many images under one policy; what cannot be checked stands among the results.

    A folder stands for the images directly in it. Raises UsageError.
    """
    from imsprep.checks.check import expand, preflight
    from imsprep.scan.scan import usable_cpus

    paths = expand(path_of(image) for image in images)
    progress = counting(_one_at_a_time(options.progress), SCAN, sum(map(_size, paths)))
    jobs = options.jobs or usable_cpus()
    return preflight(paths, _check_order(options), jobs=jobs, progress=progress)


@with_keywords(ScanOptions)
def scan(image: StrPath, options: ScanOptions) -> Scan:
    """Return which blocks of a RAW image hold data.

    Raises FormatError if the image is in another format, ReadError, ImageChangedError.
    """
    from imsprep.image.file import RawImage
    from imsprep.image.formats import check_raw
    from imsprep.scan.scan import BLOCK_SIZE
    from imsprep.scan.scan import scan as scan_image

    with RawImage.open(path_of(image)) as opened:
        check_raw(opened)
        return scan_image(
            opened,
            block_size=options.block_size or BLOCK_SIZE,
            progress=counting(options.progress, SCAN, opened.size),
            **_scanning(options, options.jobs),
        )


@with_keywords(BitmapOptions)
def make_bitmap(image: StrPath, options: BitmapOptions) -> Made:
    """Write the bitmap of a RAW image, and the sidecar that says how it was made.

    Raises UsageError if a file that imsprep did not make would be replaced without `force`,
    FormatError if the image is in another format or empty, ReadError, ImageChangedError.
    """
    from imsprep.bitmap.files import make_bitmap as make
    from imsprep.bitmap.layout_json import load_layout

    path = path_of(image)
    layout = load_layout(options.layout) if isinstance(options.layout, str) else options.layout
    if options.block_size is not None:
        layout = dataclasses.replace(layout, block_size=options.block_size)
    return make(
        path,
        layout=layout,
        output=optional_path(options.output),
        force=options.force,
        scanning=_scanning(options, options.jobs),
        progress=counting(options.progress, SCAN, _size(path)),
    )


@with_keywords(ExportOptions)
def export_map(image: StrPath, options: ExportOptions) -> Exported:
    """Write which blocks of a RAW image hold data as a map for another tool.

    Raises UsageError if a file would be replaced without `force`, FormatError if the image is in
    another format or empty, ReadError, ImageChangedError.
    """
    from imsprep.bitmap.files import export

    path = path_of(image)
    return export(
        path,
        options.format,
        output=optional_path(options.output),
        block_size=options.block_size,
        force=options.force,
        scanning=_scanning(options, options.jobs),
        progress=counting(options.progress, SCAN, _size(path)),
    )


@with_keywords(VerifyOptions)
def verify_bitmap(image: StrPath, options: VerifyOptions) -> Proof:
    """Read an image again and compare its bitmap with it; `proof.holds` says how it went.

    Raises ReadError if there is no bitmap, FormatError if it has another layout or the image is no
    RAW one, ImageChangedError.
    """
    from imsprep.bitmap.files import prove
    from imsprep.bitmap.layout_json import load_layout

    path, layout = path_of(image), options.layout
    return prove(
        path,
        bitmap=optional_path(options.bitmap),
        layout=load_layout(layout) if isinstance(layout, str) else layout,
        scanning=_scanning(options, options.jobs),
        progress=counting(options.progress, VERIFY, _size(path)),
    )


@with_keywords_after_two(ConvertOptions)
def convert(source: StrPath, target: StrPath, options: ConvertOptions) -> Converted:
    """Convert a disk: RAW or what QEMU reads to ZVHD2, ZVHD2 to RAW or to another ZVHD2.

    Raises UsageError for a target that may not be written and for formats that are not converted
    into each other, FormatError for a source that is damaged, ReadError, ImageChangedError,
    MissingExtraError without qemu-nbd where the source needs it.
    """
    from imsprep.pipeline.asked import packing_of
    from imsprep.zvhd2.convert import SOURCES, Order, likely_size, stamp
    from imsprep.zvhd2.convert import convert as convert_disk

    path = path_of(source)
    if options.from_format not in (None, *SOURCES):
        raise UsageError(f"from_format is one of {', '.join(SOURCES)}")
    timestamp, given = stamp(options.timestamp, os.environ, time.time())
    id_ = options.uuid or (None if given else uuid.uuid4().bytes)
    packing = packing_of(options, jobs=options.jobs, timestamp=timestamp)
    order = Order(
        packing=dataclasses.replace(packing, uuid=id_, block_size=options.block_size),
        to_format=options.to_format,
        from_format=options.from_format,
        holes=options.holes,
        force=options.force,
        force_share=options.force_share,
        verify=options.verify == "full",
        ignore=options.ignore,
        progress=counting(options.progress, CONVERT, likely_size(path)),
    )
    return convert_disk(path, path_of(target), order)


@with_keywords(InfoOptions)
def info(image: StrPath, options: InfoOptions) -> Summary | ExportedSummary:
    """Return what is known of an image without reading its data.

    Raises FormatError for a damaged container, ReadError, UsageError.
    """
    from imsprep.pipeline.asked import site_of
    from imsprep.pipeline.info import summarize

    site = site_of(options.site)
    return summarize(path_of(image), site, guest=options.guest, firmware=options.firmware)


@with_keywords(DigestOptions)
def digest(image: StrPath, options: DigestOptions) -> str:
    """Return the digest of the disk in an image, the same in whatever format the disk lies.

    Raises ReadError, FormatError, ImageChangedError, MissingExtraError without qemu-nbd where the
    format needs it.
    """
    from imsprep.pipeline.digests import digest_file
    from imsprep.system.threads import usable_cpus
    from imsprep.zvhd2.convert import likely_size

    path = path_of(image)
    return digest_file(
        path,
        jobs=options.jobs or usable_cpus(),
        sha256=options.sha256,
        holes=options.holes,
        force_share=options.force_share,
        progress=counting(options.progress, DIGEST, likely_size(path)),
    )


@with_keywords(StoreOptions)
def open_store(target: str, options: StoreOptions) -> Bucket:
    """Open the bucket that `local:DIR` or `obs:BUCKET/PREFIX` names.

    A local one is made when something is written. Raises UsageError if credentials or a region are
    missing, MissingExtraError without imsprep[cloud].
    """
    from imsprep.store import target as targets

    parsed = targets.parse_target(target, region=options.region, endpoint=options.obs_endpoint)
    ca_bundle = optional_path(options.ca_bundle)
    return Bucket(parsed, targets.open_store(parsed, ca_bundle=ca_bundle, kms_key=options.kms_key))


@with_keywords_after_two(UploadOptions)
def upload(file: StrPath, store: Bucket, options: UploadOptions) -> Uploaded:
    """Bring one file into a bucket: data is sent, zeros are copied inside the store.

    An upload that was interrupted continues when it is called again. Raises TransferError if
    running again continues, ServiceError for a refusal, ReadError, ImageChangedError, UsageError.
    """
    from imsprep.upload.file import send_file

    path = path_of(file)
    return send_file(
        path,
        store.store,
        store.target,
        store.target.key_for(options.key or path.name),
        sending=_sending(options),
        watch=functools.partial(_uploading, options.progress),
    )


@with_keywords(UploadOptions)
def plan_upload(file: StrPath, options: UploadOptions) -> PartPlan:
    """Return how `upload` would send a file; nothing is sent."""
    from imsprep.upload.file import plan_file

    return plan_file(path_of(file), _sending(options))


@with_keywords(ImportOptions)
def plan_import(image: StrPath, options: ImportOptions) -> Prepared:
    """Check an image and return all that its import would do; nothing is sent.

    A bitmap is written, since the plan names its bytes; a container is not made. Raises
    FindingsError if findings stop the import, and as `import_image` does.
    """
    return prepare_import(image, options, dry_run=True)


@with_keywords(ImportOptions)
def import_image(image: StrPath, options: ImportOptions) -> Imported:
    """Check an image, upload it, have it imported and wait for the job.

    Whatever ends it early, calling it again continues: what was sent is not sent again, a job that
    was started is waited for. Raises FindingsError if findings stop the import, UsageError for a
    request that lacks a field, TransferError if running again continues, ServiceError if something
    was refused, JobFailedError, WaitTimeoutError, ReadError, ImageChangedError.
    """
    return ship_import(prepare_import(image, options), options)


@with_keywords(WaitOptions)
def wait(job_id: str, options: WaitOptions) -> JobStatus:
    """Wait for an import job that was started before; return its last status.

    Raises JobFailedError with the service's words, WaitTimeoutError, ServiceError, UsageError.
    """
    return wait_for_job(job_id, options)


def wait_for_job(job_id: str, options: WaitOptions) -> JobStatus:
    """Do what `wait` does."""
    from imsprep.ims.wait import wait as wait_for
    from imsprep.pipeline.importing import pace_of
    from imsprep.service import connected
    from imsprep.store.target import parse_target

    folder = parse_target(options.to).folder if options.to else None
    pace = pace_of(options.timeout_s, options.poll_s, local=folder is not None)
    with connected(folder, options) as client:
        return wait_for(client.job, job_id, telling(pace, options.progress))


def prepare_import(image: StrPath, options: ImportOptions, *, dry_run: bool = False) -> Prepared:
    """Do what an import does before anything is sent; `ship_import` goes on with the value."""
    from imsprep.pipeline.importing import asking_service, order_of, pace_of
    from imsprep.pipeline.prepare import prepare
    from imsprep.service import connected
    from imsprep.zvhd2.convert import likely_size

    path = path_of(image)
    size = likely_size(path)
    scanned, packed = (counting(options.progress, step, size) for step in (SCAN, CONVERT))

    def told(text: str) -> None:
        options.progress(Event(CONVERT, text=text))

    pace = pace_of(options.timeout_s, options.poll_s, local=False)
    service = asking_service(
        options,
        connected,
        dataclasses.replace(pace, on_trouble=told),
        dry_run=dry_run,
        told=told,
    )
    order = order_of(options, scanned, packed, told, dry_run=dry_run)
    return prepare(path, dataclasses.replace(order, ask_service=service))


def ship_import(prepared: Prepared, options: ImportOptions) -> Imported:
    """Upload what was prepared, have it imported and wait for the job."""
    from imsprep.pipeline.importing import pace_of, shipping_of, target_of
    from imsprep.pipeline.ship import ship
    from imsprep.service import connected

    target, progress = target_of(options), options.progress
    local = target.folder is not None
    pace = telling(pace_of(options.timeout_s, options.poll_s, local=local), progress)
    plans = [artefact.plan for artefact in prepared.artefacts]
    with (
        connected(target.folder, options, prepared.layout) as client,
        _uploading_all(progress, plans) as sent,
    ):
        shipping = shipping_of(options, client, pace, sent)

        def on_job(job_id: str) -> None:
            progress(Event(IMPORT, job_id=job_id))

        return ship(prepared, dataclasses.replace(shipping, on_job=on_job))


@with_keywords(BatchOptions)
def import_batch(plan: StrPath, options: BatchOptions) -> BatchSummary:
    """Import the images of a plan: check all of them first, then several at a time.

    One that fails does not stop the others; `exit_code` and `outcomes` of what comes back say how
    each went. Calling it again continues. Raises UsageError with all mistakes of the plan,
    ReadError, TransferError if another process works on it.
    """
    units = read_plan(plan, options)
    return run_batch(plan, units, options, _Silent(options.progress))


def read_plan(plan: StrPath, options: BatchOptions) -> list[Unit]:
    """Return the images of a plan with their options; UsageError with all mistakes."""
    from imsprep.pipeline.batch.read import read_units

    return read_units(path_of(plan), options.defaults or ImportOptions(to=""))


def run_batch(
    plan: StrPath, units: list[Unit], options: BatchOptions, watcher: Watcher
) -> BatchSummary:
    """Do what `import_batch` does with a plan that was read."""
    from imsprep.pipeline.batch.run import Summary as BatchSummary
    from imsprep.pipeline.batch.whole import run_plan
    from imsprep.service import connected

    path = path_of(plan)
    return BatchSummary(str(path), run_plan(path, units, options, connected, watcher))


class _Silent:
    """A watcher that passes news on as events."""

    def __init__(self, progress: Progress) -> None:
        self._progress = _one_at_a_time(progress)

    def checking(self, count: int) -> None:
        """Pass on."""
        self.warn(f"checking {count} images before anything is sent")

    def refused(self, count: int) -> None:
        """Pass on."""
        self.warn(f"the check refuses {count}: nothing was sent")

    def warn(self, text: str) -> None:
        """Pass on."""
        self._progress(Event(IMPORT, text=text))

    def working(self, done: int, count: int) -> None:
        """Pass on."""
        self.warn(f"{done} images were done before, {count} are to be imported")

    def watching(self, journal: BatchJournal) -> Watching:
        """Return what keeps the journal."""
        from imsprep.pipeline.batch.run import Watching

        return Watching(journal.begun, journal.ended)

    def news(self, unit: Unit, text: str) -> None:
        """Pass on."""
        self.warn(f"{unit.shown}: {text}")

    def moved(self, unit: Unit, event: Event) -> None:
        """Pass on."""
        self._progress(event)

    def moved_there(self, shown: str, event: Event) -> None:
        """Pass on."""
        self._progress(event)


def telling(pace: Pace, progress: Progress) -> Pace:
    """Return a pace whose news become events."""

    def status(status: JobStatus) -> None:
        percent = round((status.progress or 0) * 100)
        progress(Event(IMPORT, percent, 100, text=status.status, job_id=status.job_id))

    def trouble(text: str) -> None:
        progress(Event(IMPORT, text=text))

    return dataclasses.replace(pace, on_status=status, on_trouble=trouble)


@contextmanager
def _uploading_all(progress: Progress, plans: list[PartPlan]) -> Iterator[UploadProgress]:
    """Give what an upload calls; the whole of all plans is announced first."""
    total = sum(plan.size for plan in plans)

    def done(*, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        progress(Event(UPLOAD, sent + copied + reused, total, sent, copied))

    progress(
        Event(
            UPLOAD,
            total=total,
            sent=sum(plan.sent for plan in plans),
            copied=sum(plan.copied for plan in plans),
        )
    )
    yield done


def _uploading(progress: Progress, plan: PartPlan) -> AbstractContextManager[UploadProgress]:
    return _uploading_all(progress, [plan])


def _sending(options: UploadOptions) -> Sending:
    from imsprep.pipeline.importing import transferring_of
    from imsprep.upload.file import Sending

    return Sending(
        copy_zeros=options.copy_zeros,
        part_size=options.part_size,
        options=transferring_of(options, skip_same=not options.force),
        scanning=_scanning(options),
    )


def _check_order(options: CheckOptions) -> Order:
    """Return what a check works with; a region that was named is asked at once."""
    from imsprep.checks.check import Order
    from imsprep.checks.gather import Look
    from imsprep.pipeline import asked

    bucket, region = _online(options)
    return Order(
        request=asked.fields_of(options),
        site=asked.site_of(options.site, options.region),
        policy=asked.policy_of(options),
        fail_on=asked.fail_on(options),
        look=Look(
            scan=options.scan,
            guest=options.guest,
            boot=options.boot,
            deep=options.deep,
            scanning=_scanning(options),
        ),
        online=bucket,
        region=region,
        reproducible=options.reproducible,
    )


def _online(
    options: CheckOptions,
) -> tuple[Callable[[str], BucketFacts] | None, RegionFacts | None]:
    """Return how to ask the bucket that was named, and what its region said; a folder has none."""
    if options.online is None:
        return None, None
    from imsprep.ims.region import look_at_region
    from imsprep.service import connected
    from imsprep.store.bucket import look_at_bucket

    opened = open_store(
        options.online,
        region=options.region,
        obs_endpoint=options.obs_endpoint,
        ca_bundle=options.ca_bundle,
    )
    store, target, region = opened.store, opened.target, None
    if target.folder is None:
        with connected(None, options) as client:
            region = look_at_region(client)

    def bucket(name: str) -> BucketFacts:
        key, try_write = target.key_for(name), target.folder is None
        return look_at_bucket(store, target.bucket, key, region=target.region, try_write=try_write)

    return bucket, region


def _one_at_a_time(progress: Progress) -> Progress:
    """Return what several threads may call."""
    lock = threading.Lock()

    def passed_on(event: Event) -> None:
        with lock:
            progress(event)

    return passed_on


def _scanning(options: HoleOptions, jobs: int | None = None) -> ScanKeywords:
    """Return how to scan."""
    return {
        "holes": options.holes,
        "keep_cache": options.keep_cache,
        "jobs": jobs,
        "force_share": options.force_share,
    }


def _size(path: Path) -> int:
    """Return the size of a file for progress; 0 if it is none, which is said elsewhere."""
    return path.stat().st_size if path.is_file() else 0
