"""From the options of an import to what `prepare` and `ship` work with."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.layout_json import load_layout
from imsprep.checks.policy import Policy
from imsprep.cloud.sites import SITES, Site
from imsprep.errors import UsageError
from imsprep.image.file import RawImage
from imsprep.ims.request import RequestFields
from imsprep.ims.wait import INTERVAL_S, Pace
from imsprep.pipeline.asking import AskBucket
from imsprep.pipeline.prepare import Order
from imsprep.pipeline.ship import Shipping
from imsprep.report import Severity
from imsprep.scan.scan import ScanOptions, usable_cpus
from imsprep.store.retry import Patience
from imsprep.store.target import Target, open_store, parse_target
from imsprep.system.paths import optional_path
from imsprep.upload.transfer import Options, Progress
from imsprep.zvhd2.records import METHODS
from imsprep.zvhd2.writer import Packing

if TYPE_CHECKING:
    from imsprep.ims.client import ImsClient
    from imsprep.options import (
        HoleOptions,
        ImportOptions,
        PackOptions,
        RequestOptions,
        RuleOptions,
        TransferOptions,
    )

LOCAL_INTERVAL_S = 0.2  # between two questions to the emulator
NEVER = "never"


def site_of(name: str) -> Site:
    """Return the limits of a site; UsageError if there is none of this name."""
    if name not in SITES:
        raise UsageError(f"no site is called {name!r}; there are: {', '.join(sorted(SITES))}")
    return SITES[name]


def target_of(options: ImportOptions) -> Target:
    """Return where the objects go."""
    return parse_target(options.to, region=options.region, endpoint=options.obs_endpoint)


def fields_of(options: RequestOptions) -> RequestFields:
    """Return what the options say of the request."""
    return RequestFields(
        name=options.name,
        image_url=options.image_url,
        min_disk=options.min_disk,
        os_version=options.os_version,
        os_type=options.os_type,
        type=options.type,
        description=options.description,
        license_type=options.license_type,
        tags=tuple(options.tags) or None,
        image_tags=tuple(options.image_tags) or None,
        enterprise_project_id=options.enterprise_project_id,
        architecture=options.architecture,
        hw_firmware_type=options.firmware,
    )


def policy_of(options: RuleOptions) -> Policy:
    """Return which rules are applied, and how they count today."""
    return Policy(
        select=tuple(options.select),
        ignore=tuple(options.ignore),
        severity={rule: severity_of(word) for rule, word in options.severity.items()},
        waivers=tuple(options.waivers),
        today=datetime.datetime.now(tz=datetime.UTC).date(),
    )


def severity_of(word: str) -> Severity:
    """Return a severity by its word; UsageError for another word."""
    try:
        return Severity.parse(word)
    except ValueError as error:
        raise UsageError(str(error)) from None


def fail_on(options: RuleOptions) -> Severity | None:
    """Return the least severity that fails; None: nothing does."""
    return None if options.fail_on == NEVER else severity_of(options.fail_on)


def scanning_of(options: HoleOptions, jobs: int | None = None) -> ScanOptions:
    """Return how to scan."""
    return {
        "holes": options.holes,
        "keep_cache": options.keep_cache,
        "jobs": jobs,
        "force_share": options.force_share,
    }


def layout_of(layout: BitmapLayout | str | None) -> BitmapLayout | None:
    """Return a layout by its name or its file's."""
    return load_layout(layout) if isinstance(layout, str) else layout


def packing_of(options: PackOptions, *, jobs: int | None = None, timestamp: int = 0) -> Packing:
    """Return how to pack; the container's date and id are set by who makes it."""
    method = next(m for m, name in METHODS.items() if name == options.compression)
    jobs = jobs or usable_cpus()
    return Packing(timestamp, method=method, level=options.level, jobs=jobs)


def transferring_of(options: TransferOptions, *, skip_same: bool = True) -> Options:
    """Return how to upload."""
    return Options(
        jobs=options.jobs,
        patience=Patience(limit_s=options.retry_for_s),
        bytes_per_s=options.bytes_per_s,
        skip_same=skip_same,
        replace=options.replace,
    )


def pace_of(timeout_s: float, poll_s: float | None, *, local: bool) -> Pace:
    """Return how to wait for a job."""
    interval_s = poll_s or (LOCAL_INTERVAL_S if local else INTERVAL_S)
    return Pace(time.sleep, time.monotonic, timeout_s, interval_s)


def order_of(
    options: ImportOptions,
    scanned: Callable[[int], None],
    packed: Callable[[int], None],
    told: Callable[[str], object] = lambda news: None,
    *,
    dry_run: bool = False,
) -> Order:
    """Return what `prepare` is to do; it calls with the bytes that are scanned, and packed."""
    target, ca_bundle = target_of(options), optional_path(options.ca_bundle)
    opener = partial(open_store, target, ca_bundle=ca_bundle, kms_key=options.kms_key)
    patience = transferring_of(options).patience
    return Order(
        dry_run=dry_run,
        told=told,
        ask_bucket=AskBucket(
            target, opener, patience, replace=options.replace, dry_run=dry_run, told=told
        ),
        fields=fields_of(options),
        target=target,
        site=site_of(options.site),
        key=options.key,
        bitmap=optional_path(options.bitmap),
        layout=layout_of(options.layout),
        policy=policy_of(options),
        fail_on=fail_on(options),
        copy_zeros=options.copy_zeros,
        part_size=options.part_size,
        via=options.via,
        bytes_per_s=options.bandwidth,
        packing=packing_of(options),
        work_folder=optional_path(options.work_dir),
        progress=scanned,
        packed=packed,
        scanning=scanning_of(options),
    )


def shipping_of(
    options: ImportOptions, client: ImsClient, pace: Pace, progress: Progress
) -> Shipping:
    """Return what `ship` works with; opens the store."""
    target = target_of(options)
    ca_bundle = optional_path(options.ca_bundle)
    return Shipping(
        store=open_store(target, ca_bundle=ca_bundle, kms_key=options.kms_key),
        bucket=target.bucket,
        target=str(target),
        service=client,
        service_name=client.url if target.folder is None else f"local:{target.folder}",
        pace=pace,
        open_source=partial(RawImage.open_whole, force_share=options.force_share),
        progress=progress,
        options=transferring_of(options),
        cleanup=options.cleanup,
        with_sha256=options.sha256,
    )
