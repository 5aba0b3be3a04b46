"""From the options of an import to what `prepare` and `ship` work with."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.layout_json import layout_of
from imsprep.ims.wait import INTERVAL_S, PollPolicy
from imsprep.options import DigestOptions
from imsprep.pipeline import upload_formats
from imsprep.pipeline.ask_cloud import AskBucket, AskService
from imsprep.pipeline.digests import digest_image
from imsprep.pipeline.from_options import (
    fail_on,
    fields_of,
    pack_task_of,
    policy_of,
    site_of,
)
from imsprep.pipeline.values import ImportTask, ShipTask
from imsprep.store.retry import RetryPolicy
from imsprep.store.target import Target, open_store, parse_target
from imsprep.system.paths import optional_path
from imsprep.upload.values import TransferPolicy, UploadProgress
from imsprep.zvhd2.source import OpenImage

if TYPE_CHECKING:
    from imsprep.ims.client import ImsClient
    from imsprep.ims.region import RegionService
    from imsprep.options import (
        ImportOptions,
        ServiceOptions,
    )
    from imsprep.store.contract import ObjectStore


class Connect(Protocol):
    """How an image service is reached: `service.connected`, or a connection that is shared."""

    def __call__(
        self, folder: Path | None, options: ServiceOptions, layout: BitmapLayout | None = None
    ) -> AbstractContextManager[ImsClient]:
        """Give a client: of the emulator over `folder`, or of a site if that is None."""


LOCAL_INTERVAL_S = 0.2  # between two questions to the emulator


def target_of(options: ImportOptions) -> Target:
    """Return where the objects go."""
    return parse_target(options.to, region=options.region, endpoint=options.obs_endpoint)


def open_for_import(image: Path, options: ImportOptions) -> AbstractContextManager[OpenImage]:
    """Open an image for all of its import: `prepare` and `ship` are handed it."""
    return OpenImage.open(image, jobs=pack_task_of(options).jobs)


def poll_policy_of(timeout_s: float, poll_s: float | None, *, local: bool) -> PollPolicy:
    """Return how to wait for a job."""
    interval_s = poll_s or (LOCAL_INTERVAL_S if local else INTERVAL_S)
    return PollPolicy(time.sleep, time.monotonic, timeout_s, interval_s)


def _no_bytes(count: int) -> None:
    """Take no notice."""


def _no_news(text: str) -> None:
    """Take no notice."""


def opening(options: ImportOptions) -> Callable[[], ObjectStore]:
    """Return what opens the bucket; it is opened once, and every call gives the same.

    A client of the object store takes a tenth of a second to make.
    """
    ca_bundle = optional_path(options.ca_bundle)
    target = target_of(options)
    return cache(partial(open_store, target, ca_bundle=ca_bundle, kms_key=options.kms_key))


def asking(
    options: ImportOptions,
    open_store: Callable[[], ObjectStore] | None = None,
    *,
    checking: bool = False,
    dry_run: bool = False,
    log: Callable[[str], object] = _no_news,
) -> AskBucket:
    """Return how the bucket is asked before anything is sent; `checking` only looks."""
    return AskBucket(
        target_of(options),
        open_store or opening(options),
        retry=None if checking else RetryPolicy(limit_s=options.retry_for_s),
        replace=options.replace,
        dry_run=dry_run,
        log=log,
    )


def asking_service(
    options: ImportOptions,
    connect: Callable[[Path | None, ServiceOptions], AbstractContextManager[RegionService]],
    pace: PollPolicy,
    *,
    dry_run: bool = False,
    log: Callable[[str], object] = _no_news,
) -> AskService:
    """Return how the service is asked before anything is sent."""
    asked = partial(connect, target_of(options).folder, options)
    return AskService(asked, pace, dry_run=dry_run, log=log)


def task_of(
    options: ImportOptions,
    scanned: Callable[[int], None] = _no_bytes,
    packed: Callable[[int], None] = _no_bytes,
    log: Callable[[str], object] = _no_news,
    *,
    dry_run: bool = False,
) -> ImportTask:
    """Return what `prepare` is to do; it calls with the bytes that are scanned, and packed."""
    open_store = opening(options)
    return ImportTask(
        options,
        fields=fields_of(options),
        target=target_of(options),
        site=site_of(options.site, options.region),
        policy=policy_of(options),
        fail_on=fail_on(options),
        packing=pack_task_of(options),
        bytes_per_s=line_of(options),
        layout=None if options.layout is None else layout_of(options.layout),
        dry_run=dry_run,
        open_store=open_store,
        ask_bucket=asking(options, open_store, dry_run=dry_run, log=log),
        progress=scanned,
        packed=packed,
        log=log,
    )


def line_of(options: ImportOptions) -> float:
    """Return the bytes per second that the estimate counts on: a folder is no line."""
    local = target_of(options).folder is not None
    line = options.bandwidth or (
        upload_formats.LOCAL_BYTES_PER_S if local else upload_formats.BANDWIDTH
    )
    return min(line, options.bytes_per_s or line)


def ship_task_of(
    options: ImportOptions,
    client: ImsClient,
    pace: PollPolicy,
    progress: UploadProgress,
    open_store: Callable[[], ObjectStore] | None = None,
) -> ShipTask:
    """Return what `ship` works with; opens the store, if nothing is given that does."""
    target = target_of(options)
    return ShipTask(
        store=(open_store or opening(options))(),
        bucket=target.bucket,
        target=str(target),
        service=client,
        service_name=client.url if target.folder is None else f"local:{target.folder}",
        pace=pace,
        digest_of=partial(
            digest_image,
            options=DigestOptions(holes=options.holes, force_share=options.force_share),
        ),
        progress=progress,
        policy=TransferPolicy.of(options),
        cleanup=options.cleanup,
        with_sha256=options.sha256,
        force_share=options.force_share,
    )
