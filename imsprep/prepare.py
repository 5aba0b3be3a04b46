"""Prepare an image for shipping: check it, scan it, make its bitmap, plan its upload.

Nothing leaves the machine; only the bitmap is written. A RAW image becomes two objects, the image
and its bitmap beside it; a ZVHD2 image is shipped as it is. What comes out is a value that
can be printed (`--dry-run`) or shipped (`pipeline.ship`).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imsprep import bitmapfile, checks, formats, routes
from imsprep.beside import look_beside
from imsprep.blockmap import BlockMap
from imsprep.bucket import BucketFacts
from imsprep.checks.policy import EVERYTHING, Policy
from imsprep.errors import FindingsError, ReadError, UsageError, show_path
from imsprep.facts import BitmapFacts, Facts
from imsprep.gather import gather
from imsprep.image import Identity, RawImage
from imsprep.layout import DEFAULT_LAYOUT, BitmapLayout
from imsprep.pairing import check_writable, write_bitmap
from imsprep.parts import DEFAULT_PART_SIZE, PartPlan, plan_parts, plan_plain
from imsprep.report import Report, Severity
from imsprep.request import QuickImportRequest, RequestFields
from imsprep.routes import Comparison
from imsprep.scan import Scan, ScanOptions, scan
from imsprep.sites import Site
from imsprep.targets import Target
from imsprep.units import KIB

# Finer than the bitmap's block: less zeros travel along with data, and the scan costs the same.
SCAN_BLOCK = 512 * KIB

OPTIONS = {"name": "--name", "min_disk": "--min-disk", "os_version": "--os-version"}


@dataclass(frozen=True)
class Artefact:
    """A file on this machine that becomes an object."""

    role: str  # image, bitmap or container
    path: Path
    key: str
    plan: PartPlan
    identity: Identity  # of the file that the plan was made of


@dataclass(frozen=True)
class Prepared:
    """An image that is ready to be shipped, and everything that will be done with it."""

    image: Path
    size: int  # bytes, what the guest sees
    data_bytes: int  # bytes in blocks that hold data
    identity: Mapping[str, Any]
    artefacts: tuple[Artefact, ...]  # in the order in which they are uploaded
    request: QuickImportRequest
    report: Report
    comparison: Comparison | None = None  # of the routes, if it was asked for
    layout: BitmapLayout | None = None  # of the bitmap, as far as it is known

    def as_dict(self) -> dict[str, Any]:
        """Return the plan for `--dry-run`: the exact body and every part."""
        return {
            "image": str(self.image),
            "size": self.size,
            "data_bytes": self.data_bytes,
            "uploads": [
                {"role": a.role, "file": str(a.path), "key": a.key, "plan": a.plan.as_dict()}
                for a in self.artefacts
            ],
            "body": self.request.as_body(),
            "report": self.report.as_dict(),
            "routes": self.comparison.as_dict() if self.comparison else None,
        }


@dataclass(frozen=True)
class Order:
    """What is wanted: the request as far as it is known, where to, and what may stop it."""

    fields: RequestFields
    target: Target
    site: Site
    key: str | None = None  # the file's name if not given
    bitmap: Path | None = None  # made elsewhere: taken as it is
    layout: BitmapLayout | None = None  # of the bitmap; None: as the one there has it
    policy: Policy = EVERYTHING
    fail_on: Severity | None = Severity.ERROR
    copy_zeros: bool = True
    part_size: int = DEFAULT_PART_SIZE  # bytes
    via: str = routes.RAW  # raw, zvhd2 or auto
    bytes_per_s: float = routes.BANDWIDTH  # of the network, for the comparison of routes
    scanning: ScanOptions = field(default_factory=ScanOptions)
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)
    progress: Callable[[int], None] = field(default=lambda count: None, repr=False)


@dataclass(frozen=True)
class Examined:
    """What the check before a scan found out: the request as it will be sent, and the report."""

    key: str
    request: QuickImportRequest
    facts: Facts
    report: Report


def examine(
    image: Path, order: Order, cloud: Callable[[str], BucketFacts] | None = None
) -> Examined:
    """Check what can be known within seconds; nothing is written.

    `cloud` tells what the bucket knows of a key; None asks nobody. Findings are in the report, and
    whether they stop anything is for the caller to say. Raises UsageError for a request that lacks
    a field or a bitmap that is not ours to replace, ReadError, ImageChangedError.
    """
    key = order.target.key_for(order.key or image.name)
    url = f"{order.target.bucket}:{key}"
    fields = replace(order.fields, image_url=order.fields.image_url or url, final=True)
    if fields.image_url != url:
        raise UsageError(f"--image-url says {fields.image_url}, but --to leads to {url}")
    request = _complete(fields)
    facts = gather(image, request=fields, site=order.site)
    if cloud is not None:
        facts = replace(facts, cloud=cloud(key))
    if facts.format == formats.RAW:
        facts = replace(facts, bitmap=_bitmap_facts(image, order))
    return Examined(key, request, facts, checks.run(facts, order.policy))


def prepare(image: Path, order: Order) -> Prepared:
    """Check, scan, make the bitmap and plan the upload.

    Raises FindingsError if the check fails, UsageError for a request that lacks a field, ReadError,
    ImageChangedError.
    """
    with RawImage.open(image) as opened:
        examined = examine(image, order)
        report = examined.report
        if order.fail_on is not None and report.fails(order.fail_on):
            raise FindingsError(why_not(report, order.fail_on))
        bitmap = examined.facts.bitmap
        layout = (bitmap.layout if bitmap else None) or DEFAULT_LAYOUT
        block_size = math.gcd(SCAN_BLOCK, layout.block_size)
        scanned = scan(opened, block_size=block_size, progress=order.progress, **order.scanning)
        block_map = scanned.block_map.coarsened(SCAN_BLOCK)
        comparison = None
        if examined.facts.format == formats.RAW:
            _check_claim(examined.facts, scanned, order)
            comparison = _comparison(opened, block_map, order)
            artefacts = _raw(opened, examined.key, scanned, layout, order)
            size = opened.size
        else:
            plan = _plan(block_map, order)
            artefacts = (Artefact("container", image, examined.key, plan, opened.identity),)
            size = examined.facts.virtual_size or opened.size
        opened.check_unchanged()
        identity = opened.identity.as_dict()
    return Prepared(
        image=image,
        size=size,
        data_bytes=block_map.data_bytes,
        identity=identity,
        artefacts=artefacts,
        request=examined.request,
        report=report,
        comparison=comparison,
        layout=layout,
    )


def _raw(
    image: RawImage, key: str, scanned: Scan, layout: BitmapLayout, order: Order
) -> tuple[Artefact, ...]:
    """Return the image and its bitmap as artefacts; the bitmap is written beside the image."""
    bitmap = order.bitmap
    if bitmap is None:
        bitmap = write_bitmap(bitmapfile.bitmap_path(image.path), image, scanned, layout).bitmap
    # Beside the image and with its base name, as the service looks for it.
    bitmap_key = os.path.splitext(key)[0] + bitmapfile.SUFFIX
    identity = Identity.of(bitmap)
    plan = _plan(scanned.block_map.coarsened(SCAN_BLOCK), order)
    return (
        Artefact("image", image.path, key, plan, image.identity),
        Artefact("bitmap", bitmap, bitmap_key, plan_plain(identity.size), identity),
    )


def _bitmap_facts(image: Path, order: Order) -> BitmapFacts:
    """Return what is known of the bitmap that will go along.

    Raises UsageError if it would replace one that is not ours, ReadError if the one that was named
    is missing.
    """
    with RawImage.open(image) as opened:
        facts = look_beside(opened, bitmap=order.bitmap, layout=order.layout)
    if order.bitmap is None:
        check_writable(bitmapfile.bitmap_path(image), image)  # before the scan, which takes long
        layout = facts.layout or DEFAULT_LAYOUT
        return BitmapFacts(facts.name, facts.length, layout, to_be_made=True)
    if facts.length is None:
        raise ReadError(f"there is no bitmap {show_path(order.bitmap)}")
    return facts


def _check_claim(facts: Facts, scanned: Scan, order: Order) -> None:
    """Raise FindingsError if a bitmap that was made elsewhere marks data as empty."""
    bitmap = facts.bitmap
    if bitmap is None or bitmap.claimed is None:
        return
    found = scanned.block_map.coarsened(bitmap.claimed.block_size)
    late = checks.run(
        replace(facts, bitmap=bitmap._replace(found=found)),
        replace(order.policy, select=("IMS404",)),
    )
    if order.fail_on is not None and late.fails(order.fail_on):
        raise FindingsError(why_not(late, order.fail_on))


def _comparison(image: RawImage, block_map: BlockMap, order: Order) -> Comparison | None:
    """Compare the routes, unless RAW was asked for; UsageError for what cannot be done."""
    if order.via == routes.ZVHD2:
        raise UsageError(
            "an import does not convert yet: make the container first and import that file, or"
            " use --via raw"
        )
    if order.via == routes.RAW:
        return None
    coarse = block_map.coarsened(routes.BLOCK_SIZE)
    sample = routes.take_sample(image.pread, coarse, order.clock)
    return routes.compare(_plan(block_map, order), coarse, sample, bytes_per_s=order.bytes_per_s)


def _plan(block_map: BlockMap, order: Order) -> PartPlan:
    return plan_parts(block_map, copy_zeros=order.copy_zeros, part_size=order.part_size)


def _complete(fields: RequestFields) -> QuickImportRequest:
    try:
        return fields.complete()
    except KeyError as error:
        name = str(error.args[0])
        raise UsageError(f"the import needs {OPTIONS.get(name, name)}") from None


def why_not(report: Report, at: Severity) -> str:
    """Write the findings that stop the import, one per line."""
    failing = [f for f in report.findings if f.waived is None and f.severity >= at]
    lines = [f"{len(failing)} finding(s) stop the import of {show_path(report.image)}:"]
    for finding in failing:
        fix = f" ({finding.fix})" if finding.fix else ""
        lines.append(f"  {finding.rule} {finding.severity.word}: {finding.message}{fix}")
    return "\n".join(lines)
