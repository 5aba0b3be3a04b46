"""What is in an image: check it, look at it, compute its digest; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from imsprep.api.bitmaps import scanning_of
from imsprep.api.events import one_at_a_time, size_of
from imsprep.api.stores import open_store
from imsprep.keywords import with_keywords
from imsprep.options import (
    CheckOptions,
    DigestOptions,
    InfoOptions,
    StrPath,
)
from imsprep.progress import (
    DIGEST,
    SCAN,
    counting,
)
from imsprep.system.paths import path_of

if TYPE_CHECKING:
    from imsprep.checks.check import Order
    from imsprep.checks.reporters import Run
    from imsprep.ims.region import RegionFacts
    from imsprep.pipeline.exported import ExportedSummary
    from imsprep.pipeline.info import Summary
    from imsprep.report import Report
    from imsprep.store.bucket import BucketFacts


@with_keywords(CheckOptions)
def check(image: StrPath, options: CheckOptions) -> Report:
    """Check an image, and the request to import it, as far as the options describe one.

    Findings are in the report, and raise nothing; `report.worst` is the highest severity. Raises
    ReadError, ImageChangedError, and UsageError for options that do not go together.
    """
    from imsprep.checks.check import check_one

    path = path_of(image)
    progress = counting(options.progress, SCAN, size_of(path))
    return check_one(path, _check_order(options), progress)


def check_images(images: Iterable[StrPath], options: CheckOptions) -> Run:
    """Check many images under one policy; what cannot be checked stands among the results.

    A folder stands for the images directly in it. Raises UsageError.
    """
    from imsprep.checks.check import expand, preflight
    from imsprep.scan.scan import usable_cpus

    paths = expand(path_of(image) for image in images)
    progress = counting(one_at_a_time(options.progress), SCAN, sum(map(size_of, paths)))
    jobs = options.jobs or usable_cpus()
    return preflight(paths, _check_order(options), jobs=jobs, progress=progress)


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
            scanning=scanning_of(options),
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
