"""What is known of an image: check it, start it, compute its digest; it is never written to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep.api.events import one_at_a_time, size_of
from imsprep.errors import UsageError
from imsprep.keywords import with_keywords
from imsprep.options import (
    BenchOptions,
    BootOptions,
    CheckOptions,
    DigestOptions,
    EstimateOptions,
    InfoOptions,
    StrPath,
)
from imsprep.progress import (
    SCAN,
    counting,
)
from imsprep.system.paths import path_of

if TYPE_CHECKING:
    from imsprep.checks.check import CheckTask
    from imsprep.checks.reporters import Run
    from imsprep.checks.rule import Rule
    from imsprep.ims.region import RegionFacts
    from imsprep.pipeline.digests import DiskDigest
    from imsprep.pipeline.info import Summary
    from imsprep.pipeline.ova.proposal import ExportedSummary
    from imsprep.report import Report
    from imsprep.scan.bench.scan_estimate import Estimate
    from imsprep.scan.bench.synthetic import Bench
    from imsprep.store.bucket import BucketFacts
    from imsprep.trial.run import Booted


@with_keywords(CheckOptions)
def check(image: StrPath, options: CheckOptions) -> Report:
    """Check an image, and the request to import it, as far as the options describe one.

    Findings are in the report, and raise nothing; `report.worst` is the highest severity. Raises
    ReadError, ImageChangedError, and UsageError for options that do not go together.
    """
    from imsprep.checks.check import check_one

    path = path_of(image)
    progress = counting(options.progress, SCAN, size_of(path))
    return check_one(path, _check_task(options), progress)


def check_images(images: Iterable[StrPath], options: CheckOptions) -> Run:
    """Check many images under one policy; what cannot be checked stands among the results.

    A folder stands for the images directly in it. Raises UsageError.
    """
    from imsprep.checks.check import preflight
    from imsprep.system.threads import usable_cpus

    paths = images_in(images)
    progress = counting(one_at_a_time(options.progress), SCAN, sum(map(size_of, paths)))
    jobs = options.jobs or usable_cpus()
    return preflight(paths, _check_task(options), jobs=jobs, progress=progress)


@with_keywords(InfoOptions)
def info(image: StrPath, options: InfoOptions) -> Summary | ExportedSummary:
    """Return what is known of an image without reading its data.

    Raises FormatError for a damaged container, ReadError, UsageError.
    """
    from imsprep.pipeline.from_options import site_of
    from imsprep.pipeline.info import summarize

    site = site_of(options.site)
    return summarize(path_of(image), site, guest=options.guest, firmware=options.firmware)


@with_keywords(DigestOptions)
def digest(image: StrPath, options: DigestOptions) -> str:
    """Return the digest of the disk in an image, the same in whatever format the disk lies.

    Raises ReadError, FormatError, ImageChangedError, MissingExtraError without qemu-nbd where the
    format needs it.
    """
    return disk_digest(image, options).text


def disk_digest(image: StrPath, options: DigestOptions) -> DiskDigest:
    """Return the digest with the disk's size, to compare it; raises what `digest` does."""
    from imsprep.pipeline.digests import digest_file

    return digest_file(path_of(image), options)


def differ_in_size_alone(found: Iterable[DiskDigest]) -> bool:
    """Return whether disks are equal up to the end of the smallest, with zeros behind that."""
    from imsprep.pipeline import digests

    return digests.differ_in_size_alone(found)


def _check_task(options: CheckOptions) -> CheckTask:
    """Return what a check works with; a region that was named is asked at once."""
    from imsprep.checks.check import CheckTask
    from imsprep.checks.gather_facts import Look
    from imsprep.pipeline import from_options as asked

    bucket, region = _online(options)
    return CheckTask(
        request=asked.fields_of(options),
        site=asked.site_of(options.site, options.region),
        policy=asked.policy_of(options),
        fail_on=asked.fail_on(options),
        look=Look(
            scan=options.scan,
            guest=options.guest,
            boot=options.boot,
            deep=options.deep,
            scanning=options.scanning(),
        ),
        online=bucket,
        region=region,
        reproducible=options.reproducible,
    )


def _online(
    options: CheckOptions,
) -> tuple[Callable[[str], BucketFacts] | None, RegionFacts | None]:
    """Return how to ask the bucket that was named, and what its region said."""
    if options.online is None:
        return None, None
    from imsprep.ims.region import look_at_region
    from imsprep.service import asked
    from imsprep.store.bucket import BucketQuestion, look_at_bucket
    from imsprep.store.target import open_bucket

    opened = open_bucket(options.online, options)
    store, target = opened.store, opened.target
    with asked(target.folder, options) as service:
        region = look_at_region(service, options.name)

    def bucket(name: str) -> BucketFacts:
        key, try_write = target.key_for(name), target.folder is None
        question = BucketQuestion(target.bucket, key, region=target.region, try_write=try_write)
        return look_at_bucket(store, question)

    return bucket, region


@with_keywords(BootOptions)
def boot_image(image: StrPath, options: BootOptions) -> Booted:
    """Start an image in QEMU as the cloud would, and return what became of it.

    The image is never written to. Raises MissingExtraError where QEMU or the firmware is not
    installed, FormatError, ReadError, UsageError for files that must not be replaced.
    """
    from imsprep.trial.run import CONNECTIONS, boot
    from imsprep.zvhd2.source import OpenImage

    with OpenImage.open(path_of(image), jobs=CONNECTIONS) as opened:
        return boot(opened, options)


@with_keywords(BenchOptions)
def bench(folder: StrPath, options: BenchOptions) -> Bench:
    """Measure how fast this machine scans files that are made in a folder, and removed.

    Raises ReadError if the folder cannot be written or has too little room.
    """
    from imsprep.scan.bench.synthetic import bench as measure

    return measure(path_of(folder), options)


@with_keywords(EstimateOptions)
def estimate(image: StrPath, options: EstimateOptions) -> Estimate:
    """Return what the scan of a RAW image will take, and its upload, by samples of it.

    Raises UsageError if it is no RAW image, FormatError if it is empty or too large, ReadError,
    ImageChangedError.
    """
    from imsprep.scan.bench.scan_estimate import estimate as sample

    return sample(path_of(image), options)


def rules(only: str | None = None) -> list[Rule]:
    """Return all rules of the check, or the one of an id, in whatever case; else UsageError."""
    from imsprep.checks.policy import unknown_rule
    from imsprep.checks.registry import all_rules

    found = {rule.id: rule for rule in all_rules()}
    if only is None:
        return list(found.values())
    if only.upper() not in found:
        raise UsageError(unknown_rule(only, set(found)))
    return [found[only.upper()]]


def image_suffixes() -> frozenset[str]:
    """Return the endings of the names of disk images, in small letters, as `.raw`."""
    from imsprep.image.formats import SUFFIXES

    return frozenset(SUFFIXES)


def images_in(paths: Iterable[StrPath]) -> list[Path]:
    """Return the files that `check_images` checks: a folder stands for the images in it."""
    from imsprep.checks.check import expand

    return expand(path_of(path) for path in paths)
