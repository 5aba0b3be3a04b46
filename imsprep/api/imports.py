"""Import an image: prepare, ship, wait."""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import TYPE_CHECKING

from imsprep.api.events import counting_upload, telling
from imsprep.keywords import with_keywords
from imsprep.options import (
    ImportOptions,
    StrPath,
    WaitOptions,
)
from imsprep.progress import (
    CONVERT,
    IMPORT,
    SCAN,
    Event,
    counting,
)
from imsprep.system.paths import optional_path, path_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from imsprep.ims.job import JobStatus
    from imsprep.pipeline.check_import import Missing
    from imsprep.pipeline.ova.all_disks import Planned
    from imsprep.pipeline.values import Imported, Prepared
    from imsprep.zvhd2.source import OpenImage


@with_keywords(ImportOptions)
def plan_import(image: StrPath, options: ImportOptions) -> Prepared:
    """Check an image and return all that its import would do; nothing is sent.

    A bitmap is written, since the plan names its bytes; a container is not made. Raises
    FindingsError if findings stop the import, and as `import_image` does.
    """
    with open_for_import(image, options) as opened:
        return prepare_import(opened, options, dry_run=True)


def missing_of(image: StrPath, options: ImportOptions) -> Missing:
    """Return what the request of an import lacks; an exported machine (OVA) proposes some of it."""
    from imsprep.pipeline.check_import import missing_of as missing_of_request
    from imsprep.pipeline.from_options import fields_of, site_of

    site = site_of(options.site, options.region)
    return missing_of_request(path_of(image), fields_of(options), site)


@with_keywords(ImportOptions)
def import_image(image: StrPath, options: ImportOptions) -> Imported:
    """Check an image, upload it, have it imported and wait for the job.

    Whatever ends it early, calling it again continues: what was sent is not sent again, a job that
    was started is waited for. Raises FindingsError if findings stop the import, UsageError for a
    request that lacks a field, TransferError if running again continues, ServiceError if something
    was refused, JobFailedError, WaitTimeoutError, ReadError, ImageChangedError.
    """
    with open_for_import(image, options) as opened:
        return ship_import(prepare_import(opened, options), opened, options)


@with_keywords(WaitOptions)
def wait(job_id: str, options: WaitOptions) -> JobStatus:
    """Wait for an import job that was started before; return its last status.

    Raises JobFailedError with the service's words, WaitTimeoutError, ServiceError, UsageError.
    """
    return wait_for_job(job_id, options)


def wait_for_job(job_id: str, options: WaitOptions) -> JobStatus:
    """Do what `wait` does."""
    from imsprep.ims.wait import wait as wait_for
    from imsprep.pipeline.import_task import poll_policy_of
    from imsprep.service import connected
    from imsprep.store.target import check_there, parse_target

    target = parse_target(options.to) if options.to else None
    if target is not None:
        check_there(target)
    folder = target.folder if target is not None else None
    pace = poll_policy_of(options.timeout_s, options.poll_s, local=folder is not None)
    with connected(folder, options) as client:
        return wait_for(client.job, job_id, telling(pace, options.progress))


def open_for_import(image: StrPath, options: ImportOptions) -> AbstractContextManager[OpenImage]:
    """Open an image for `prepare_import` and `ship_import`, which are handed it; ReadError."""
    from imsprep.pipeline.import_task import open_for_import as open_image

    return open_image(path_of(image), options)


def prepare_import(image: OpenImage, options: ImportOptions, *, dry_run: bool = False) -> Prepared:
    """Do what an import does before anything is sent; `ship_import` goes on with the value."""
    from imsprep.pipeline.import_task import asking_service, poll_policy_of, task_of
    from imsprep.pipeline.prepare import prepare
    from imsprep.service import asked

    scanned, packed = (
        counting(options.progress, step, image.likely_size) for step in (SCAN, CONVERT)
    )

    def log(text: str) -> None:
        options.progress(Event(CONVERT, text=text))

    pace = poll_policy_of(options.timeout_s, options.poll_s, local=False)
    service = asking_service(
        options,
        asked,
        dataclasses.replace(pace, on_warning=log),
        dry_run=dry_run,
        log=log,
    )
    task = task_of(options, scanned, packed, log, dry_run=dry_run)
    return prepare(image, dataclasses.replace(task, ask_service=service))


def ship_import(prepared: Prepared, image: OpenImage, options: ImportOptions) -> Imported:
    """Upload what was prepared, have it imported and wait for the job.

    The image is closed as soon as it is sent.
    """
    from imsprep.api.services import emulated_disk
    from imsprep.pipeline.import_task import poll_policy_of, ship_task_of, target_of
    from imsprep.pipeline.ship import ship
    from imsprep.service import connected

    target, progress = target_of(options), options.progress
    local = target.folder is not None
    pace = telling(poll_policy_of(options.timeout_s, options.poll_s, local=local), progress)
    announced, started = prepared.upload_event, time.perf_counter()
    with connected(target.folder, options, prepared.layout) as client:
        # A service on this machine was started meanwhile.
        seconds = prepared.seconds + time.perf_counter() - started
        prepared = dataclasses.replace(prepared, seconds=seconds)
        sent = counting_upload(progress, announced)
        shipping = ship_task_of(options, client, pace, sent, prepared.open_store)

        def on_upload() -> None:
            progress(announced)

        def on_job(job_id: str) -> None:
            progress(Event(IMPORT, job_id=job_id))

        shipping = dataclasses.replace(shipping, on_upload=on_upload, on_job=on_job)
        done = ship(prepared, image, shipping)
    if target.folder is None or options.endpoint is not None:
        return done
    disk = emulated_disk(target.folder, done.image_id)
    return dataclasses.replace(done, disk=disk if disk.exists() else None)


def plan_all_disks(image: StrPath, options: ImportOptions) -> Planned:
    """Make a container of each disk in an OVA, and the batch plan that imports them.

    Raises UsageError if something would be replaced, FormatError for what is no OVA, ReadError,
    ImageChangedError.
    """
    from imsprep.pipeline.from_options import pack_task_of, site_of
    from imsprep.pipeline.ova.all_disks import plan_all_disks as plan_disks
    from imsprep.zvhd2 import records
    from imsprep.zvhd2.convert import ConvertTask

    path = path_of(image)
    packing = pack_task_of(options, timestamp=int(time.time()) - records.EPOCH)
    packing = dataclasses.replace(packing, uuid=uuid.uuid4().bytes)
    given = {"to": options.to, "site": options.site, "region": options.region or ""}
    with open_for_import(path, options) as opened:
        return plan_disks(
            opened,
            optional_path(options.work_dir) or path.parent,
            {name: value for name, value in given.items() if value},
            site_of(options.site),
            ConvertTask(packing, progress=counting(options.progress, CONVERT, 0)),
        )


def sent_in_all(done: Imported) -> int:
    """Return the bytes that travelled for an import in all its runs together, by its manifest."""
    from imsprep.pipeline.manifest import read

    manifest = read(done.manifest)
    return sum(sent.sent for sent in manifest.objects) if manifest else done.sent
