"""Prepare an image for shipping: check it, scan it, make its bitmap, plan its upload.

Nothing leaves the machine. As RAW an image becomes two objects, itself and the bitmap
that is made next to it; as ZVHD2 it becomes one, the container that is packed from it.
A ZVHD2 image is shipped as it is. What comes out is a value that can be printed (`--dry-run`, for
which no container is made) or shipped (`pipeline.ship`).
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imsprep.bitmap import codec
from imsprep.bitmap.facts import BitmapFacts
from imsprep.bitmap.files import write_bitmap
from imsprep.bitmap.inspect import look_beside
from imsprep.bitmap.layout import DEFAULT_LAYOUT, BitmapLayout
from imsprep.bitmap.sidecar import check_apart, check_replaceable
from imsprep.checks import registry
from imsprep.checks.facts import Facts
from imsprep.checks.gather import Look, gather
from imsprep.checks.policy import EVERYTHING, Policy
from imsprep.cloud.sites import MAX_MIN_DISK, Site
from imsprep.errors import FindingsError, ReadError, UsageError, show_path
from imsprep.image import formats
from imsprep.image.archive import unpacked
from imsprep.image.blockmap import BlockMap
from imsprep.image.digest import DigestTree
from imsprep.image.file import Identity, RawImage, Sharing
from imsprep.image.qemu.foreign import INSIDE
from imsprep.ims.region import RegionFacts
from imsprep.ims.request import QuickImportRequest, RequestFields
from imsprep.options import ScanOptions
from imsprep.pipeline import container as packed
from imsprep.pipeline import formats as upload_formats
from imsprep.pipeline import manifest as manifests
from imsprep.pipeline.choosing import compare_formats, map_by_extents
from imsprep.pipeline.exported import proposed_fields
from imsprep.pipeline.formats import Comparison
from imsprep.pipeline.streaming import Streaming
from imsprep.report import Report, Severity
from imsprep.scan.scan import DEFAULTS, Scan, scan
from imsprep.store.bucket import BucketFacts
from imsprep.store.ownership import origin_of
from imsprep.store.target import Target, check_objects_apart
from imsprep.system.ownership import Advice, check_lasting
from imsprep.system.threads import usable_cpus
from imsprep.units import GIB, MIB, counted, format_size, round_up
from imsprep.upload.plan import DEFAULT_PART_SIZE, SCAN_BLOCK, PartPlan, plan_parts, plan_plain
from imsprep.zvhd2 import convert
from imsprep.zvhd2.faults import Stage
from imsprep.zvhd2.source import open_source
from imsprep.zvhd2.verify import check_payloads
from imsprep.zvhd2.writer import Packing

# One block of so many is packed for an estimate, where the disk goes on its way at once; but not
# fewer than this, since the first blocks of a disk, with its tables, pack like no others.
_SAMPLED, _FEWEST = 50, 8
_WASTE = 256 * MIB  # bytes of zeros that may travel without a word
_NO_BITMAP = Advice("rename it, or import as ZVHD2, which needs no bitmap", ("via",))

REQUIRED = ("name", "min_disk", "os_version")


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artefact:
    """A file on this machine that becomes an object."""

    role: str  # image, bitmap or container
    path: Path
    key: str
    plan: PartPlan
    identity: Identity  # of the file that the plan was made of
    estimated: bool = False  # the file is not made yet, and its size is a guess
    streaming: Streaming | None = None  # it is packed of `path` while it is sent, and no file


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
    comparison: Comparison | None = None  # of the upload formats, if it was asked for
    layout: BitmapLayout | None = None  # of the bitmap, as far as it is known
    digest: str | None = None  # of the disk, where it is known before anything is sent
    sharing: Sharing | None = None  # whether programs may have written to the image meanwhile
    seconds: float = 0.0  # that preparing took

    def as_dict(self) -> dict[str, Any]:
        """Return the plan for `--dry-run`: the exact body and every part."""
        return {
            "image": str(self.image),
            "size": self.size,
            "data_bytes": self.data_bytes,
            "uploads": [
                {
                    "role": a.role,
                    "file": str(a.path),
                    "key": a.key,
                    "estimated": a.estimated,
                    "plan": a.plan.as_dict(),
                }
                for a in self.artefacts
            ],
            "body": self.request.as_body(),
            "sharing": self.sharing.as_dict() if self.sharing else None,
            "report": self.report.as_dict(),
            "comparison": self.comparison.as_dict() if self.comparison else None,
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
    via: str = upload_formats.AUTO  # raw, zvhd2 or auto; a ZVHD2 goes as it is
    bytes_per_s: float = upload_formats.BANDWIDTH  # of the network, for the comparison of formats
    packing: Packing = field(default_factory=lambda: Packing(timestamp=0, jobs=usable_cpus()))
    work_folder: Path | None = None  # keep the container there
    keep: Path | None = None  # keep the container as this file; else it is packed while it is sent
    dry_run: bool = False  # make no container
    guest: bool = False  # look inside the file systems
    boot: bool = False  # start it in QEMU
    # What the bucket says of the keys of the import, and of whose objects they may replace (see
    # store.ownership); None asks nothing.
    ask_bucket: Callable[..., BucketFacts | None] | None = field(default=None, repr=False)
    ask_service: Callable[[str], RegionFacts | None] | None = field(default=None, repr=False)
    scanning: ScanOptions = DEFAULTS
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)
    progress: Callable[[int], None] = field(default=lambda count: None, repr=False)  # of the scan
    packed: Callable[[int], None] = field(default=lambda count: None, repr=False)  # bytes of disk
    log: Callable[[str], object] = field(default=lambda news: None, repr=False)  # news, in words

    def place_for(self, image: Path) -> Path:
        """Return the container's file, also where it only gives the object its name."""
        return self.keep or packed.place_for(image, self.work_folder)

    @property
    def streams(self) -> bool:
        """Return whether a container is packed while it is sent."""
        return self.keep is None and self.work_folder is None


@dataclass(frozen=True)
class Examined:
    """What the check before a scan found out: the request as it will be sent, and the report."""

    upload_format: str  # raw, also for a ZVHD2; or zvhd2
    key: str
    request: QuickImportRequest
    facts: Facts
    report: Report


def examine(image: RawImage, order: Order) -> Examined:
    """Check what can be known within seconds of an open image; nothing is written.

    Findings are in the report, and whether they stop anything is for the caller to say. Raises
    UsageError for a request that lacks a field or a bitmap that is not ours to replace, ReadError,
    ImageChangedError, and what asking the bucket raises.
    """
    order = replace(order, fields=proposed_fields(image, order.fields, order.site)[0])
    look = Look(guest=order.guest, boot=order.boot)
    facts = gather(image, request=order.fields, site=order.site, look=look)
    return _judged(image, facts, order)


def _judged(image: RawImage, facts: Facts, order: Order) -> Examined:
    """Apply the rules to what was gathered, for the upload format that the order takes."""
    path = image.path
    check_lasting(path)
    upload_format, place = _upload_format(facts, order), order.place_for(path)
    name = place.name if upload_format == upload_formats.ZVHD2 else path.name
    key = order.target.key_for(order.key or name)
    url = f"{order.target.bucket}:{key}"
    fields = replace(order.fields, image_url=order.fields.image_url or url, final=True)
    if fields.image_url != url:
        raise UsageError(f"image_url is {fields.image_url}, but the object would be {url}")
    if order.bitmap is not None and order.via == upload_formats.ZVHD2:
        raise UsageError("a bitmap belongs to a RAW image; import as RAW, or without the bitmap")
    request, policy = _complete(fields, order.site), order.policy
    pair = facts.format == formats.RAW and upload_format != upload_formats.ZVHD2
    keys = [key, _bitmap_key(key)] if pair else [key]
    facts = replace(facts, request=fields)
    if upload_format == upload_formats.ZVHD2:
        if not order.streams:
            packed.check_place(path, place)
        facts = facts.packed()
    elif facts.format == formats.RAW:
        known = _bitmap_facts(image, order) if upload_format == upload_formats.RAW else None
        facts = replace(facts, bitmap=known)
    files = [path, order.bitmap or codec.bitmap_path(path)]
    files += [] if order.streams else [place]
    check_objects_apart(order.target, keys, files)
    report = registry.run(facts, policy)
    if not (order.fail_on and report.fails(order.fail_on)):
        facts = _asked(facts, path, keys, request, order)
        report = registry.run(facts, policy, earlier=report)
    return Examined(upload_format, key, request, facts, report)


def _asked(
    facts: Facts, image: Path, keys: Sequence[str], request: QuickImportRequest, order: Order
) -> Facts:
    """Ask bucket and service; the service not of an import that an earlier run has begun."""
    if order.ask_bucket is not None:
        bucket = order.ask_bucket(keys[0], more_keys=keys[1:], origin=origin_of(image))
        facts = replace(facts, bucket=bucket)
    if order.ask_service is not None and not manifests.has_begun(image, request.as_body()):
        facts = replace(facts, region=order.ask_service(request.name))
    return facts


def prepare(image: Path, order: Order) -> Prepared:
    """Check, scan, choose the upload format, make the bitmap or the container, and plan the upload.

    Raises FindingsError if the check fails, UsageError for a request that lacks a field, ReadError,
    ImageChangedError, and what `convert` raises.
    """
    started = order.clock()
    with RawImage.open(image) as opened:
        opened.refuse_writers(force=order.scanning.force_share)
        unpacked.keep(opened)  # for packing, which `pipeline.ship` does
        try:
            made = _prepared_of(opened, _with_proposals(opened, order))
        except BaseException:
            unpacked.drop(opened.identity)
            raise
        if order.dry_run:
            unpacked.drop(opened.identity)
    kinds = ", ".join(f"{a.role} as {a.key}" for a in made.artefacts)
    _LOG.info("%s is sent: %s", show_path(image), kinds)
    if made.comparison is not None:
        _LOG.info("%s", made.comparison.why)
    return replace(made, sharing=opened.sharing, seconds=order.clock() - started)


def _prepared_of(image: RawImage, order: Order) -> Prepared:
    """Do what `prepare` says with an open image."""
    examined = _passed(examine(image, order), order)
    if examined.upload_format == upload_formats.ZVHD2:
        comparison = _compare(image, examined, order)
        made = replace(_as_zvhd2(image, examined, comparison, order), comparison=comparison)
    elif examined.facts.format == formats.RAW:
        made = _as_raw(image, examined, order)
    else:
        examined, digest = _proved(image, examined, order)
        made = replace(_as_it_is(image, examined, order), digest=digest)
    image.check_unchanged()
    return made


def _with_proposals(image: RawImage, order: Order) -> Order:
    """Fill what the request leaves open with what an exported machine's descriptor proposes."""
    fields, news = proposed_fields(image, order.fields, order.site)
    for line in news:
        order.log(line)
    return replace(order, fields=fields)


def _upload_format(facts: Facts, order: Order) -> str:
    """Return the upload format.

    What QEMU reads goes as a ZVHD2 in any case: as it is nothing could be made of it. `auto` takes
    RAW only with a bitmap that is proven: made by the vendor's tool, or in a layout learned of it.
    """
    if facts.format in INSIDE:
        return upload_formats.ZVHD2
    if facts.format != formats.RAW:
        return upload_formats.RAW
    if order.via != upload_formats.AUTO:
        return order.via
    learned = order.layout is not None and order.layout.matched
    return upload_formats.RAW if order.bitmap is not None or learned else upload_formats.ZVHD2


def _reason(facts: Facts, order: Order) -> str:
    """Return why `_upload_format` takes what it takes, in a sentence."""
    if facts.format in INSIDE:
        return f"raw cannot be taken: the image is {facts.format}, which the service does not read"
    if order.bitmap is not None:
        return "raw is taken for the bitmap that is given; zvhd2 needs none"
    if order.via != upload_formats.AUTO:
        return f"{order.via} is what was asked for"
    if order.layout is not None and order.layout.matched:
        return "raw is taken: the bitmap's layout was learned from the vendor's tool"
    return (
        "raw is not taken: it needs a bitmap, none of the vendor's tool is given, and whether the"
        " service reads one of imsprep's is not proven"
    )


def _passed(examined: Examined, order: Order) -> Examined:
    """Return it; raises FindingsError if the report stops the import."""
    if order.fail_on is not None and examined.report.fails(order.fail_on):
        raise FindingsError(why_not(examined.report, order.fail_on), report=examined.report)
    return examined


def _scan(image: RawImage, layout: BitmapLayout, order: Order) -> Scan:
    """Scan in blocks that suit the bitmap's layout."""
    block_size = math.gcd(SCAN_BLOCK, layout.block_size)
    return scan(image, replace(order.scanning, block_size=block_size), order.progress)


def _as_raw(image: RawImage, examined: Examined, order: Order) -> Prepared:
    """Return a RAW image with its bitmap."""
    bitmap = examined.facts.bitmap
    layout = (bitmap.layout if bitmap else None) or DEFAULT_LAYOUT
    started = order.clock()
    scanned = _scan(image, layout, order)
    scan_s = order.clock() - started
    examined = _check_claim(examined, scanned, order)
    artefacts = _raw(image, examined.key, scanned, layout, order)
    data_bytes = scanned.block_map.coarsened(SCAN_BLOCK).data_bytes
    made = _prepared(image, examined, artefacts, size=image.size, data_bytes=data_bytes)
    _tell_waste(artefacts[0].plan, data_bytes, order)
    comparison = upload_formats.estimate_raw(
        artefacts[0].plan,
        scanned.block_map,
        bytes_per_s=order.bytes_per_s,
        scan_s=scan_s,
        local=order.target.folder is not None,
        reason=_reason(examined.facts, order),
    )
    return replace(made, layout=layout, comparison=comparison)


def _proved(image: RawImage, examined: Examined, order: Order) -> tuple[Examined, str | None]:
    """Unpack every block of a ZVHD2 that was made elsewhere, so that no damaged one is sent.

    Return also the digest of its disk, if all of it can be read. Raises FindingsError if the check
    fails of what that finds.
    """
    found = examined.facts.container
    if found is None or found.container is None:
        return examined, None
    order.log(f"verifying {show_path(image.path)}: every block is unpacked")
    tree = DigestTree(found.container.original_size)
    wrong = check_payloads(found.container, image.pread, tree=tree)
    proved = replace(found, stage=Stage.PAYLOADS, faults=(*found.faults, *wrong))
    examined = _with_more(examined, replace(examined.facts, container=proved), order)
    return examined, None if wrong else tree.digest()


def _with_more(examined: Examined, facts: Facts, order: Order) -> Examined:
    """Apply the rules that were skipped to facts that say more; FindingsError as `_passed`."""
    report = registry.run(facts, order.policy, earlier=examined.report)
    return _passed(replace(examined, facts=facts, report=report), order)


def _tell_waste(plan: PartPlan, data_bytes: int, order: Order) -> None:
    """Log where RAW sends far more than its data, as no object has more than 10,000 parts."""
    if order.copy_zeros and plan.sent > 2 * data_bytes + _WASTE:
        order.log(
            f"as RAW {format_size(plan.sent)} are sent for {format_size(data_bytes)} of data,"
            " which is too scattered for the 10,000 parts of an object; as ZVHD2 only the data"
            " would be sent, packed"
        )


def _as_it_is(image: RawImage, examined: Examined, order: Order) -> Prepared:
    """Return a ZVHD2 file as it is (or whatever else no rule refused)."""
    block_map = _scan(image, DEFAULT_LAYOUT, order).block_map
    plan = _plan(block_map.coarsened(SCAN_BLOCK), order)
    artefact = Artefact("container", image.path, examined.key, plan, image.identity)
    found = examined.facts.container and examined.facts.container.container
    return _prepared(
        image,
        examined,
        (artefact,),
        size=examined.facts.virtual_size or image.size,
        data_bytes=(found.block_map if found else block_map).data_bytes,
    )


def _as_zvhd2(
    image: RawImage, examined: Examined, comparison: Comparison, order: Order
) -> Prepared:
    """Return the container of an image, made or found; a dry run returns what it would be."""
    place = order.place_for(image.path)
    packing = packed.dated(order.packing, image)
    if order.streams and not order.dry_run:
        return _streamed(image, examined, packing, comparison, order)
    if order.dry_run and (order.streams or not packed.fits(image, place, packing)):
        wire = comparison.named(upload_formats.ZVHD2).wire
        plan = plan_plain(wire, part_size=order.part_size)
        artefact = Artefact("container", place, examined.key, plan, image.identity, estimated=True)
        disk = comparison.block_map
        size = round_up(disk.size, GIB)
        return _prepared(image, examined, (artefact,), size=size, data_bytes=disk.data_bytes)
    holes = order.scanning.holes
    share = order.scanning.force_share
    making = convert.Order(packing, holes=holes, force_share=share, progress=order.packed)
    if packed.pack(image, place, making):
        order.log(f"{show_path(place)} was made")
    else:
        order.log(f"{show_path(place)} is of this state of the image: used again")
    with RawImage.open(place) as container:
        sent = _of_container(container, examined, order)
        done = _as_it_is(container, sent, order)
        container.check_unchanged()
    note = packed.Note.read(place)
    digest = note.digest if note else None
    return replace(done, image=image.path, identity=image.identity.as_dict(), digest=digest)


def _of_container(container: RawImage, examined: Examined, order: Order) -> Examined:
    """Apply the rules of the file that is sent to the container that was made."""
    known = examined.facts
    facts = gather(container, request=known.request, site=order.site)
    facts = replace(
        facts, guest=known.guest, booted=known.booted, bucket=known.bucket, region=known.region
    )
    return _with_more(examined, facts, order)


def _streamed(
    image: RawImage, examined: Examined, packing: Packing, comparison: Comparison, order: Order
) -> Prepared:
    """Return the container of an image as what will be packed while it is sent."""
    block_map = comparison.block_map
    streaming = Streaming(
        packing,
        order.scanning.holes,
        order.part_size,
        force_share=order.scanning.force_share,
        progress=order.packed,
    )
    wire = comparison.chosen.wire
    plan = plan_plain(wire, part_size=order.part_size)
    artefact = Artefact(
        "container", image.path, examined.key, plan, image.identity, estimated=True,
        streaming=streaming,
    )  # fmt: skip
    size = round_up(block_map.size, GIB)
    return _prepared(image, examined, (artefact,), size=size, data_bytes=block_map.data_bytes)


def _prepared(
    image: RawImage,
    examined: Examined,
    artefacts: tuple[Artefact, ...],
    *,
    size: int,
    data_bytes: int,
) -> Prepared:
    return Prepared(
        image=image.path,
        size=size,
        data_bytes=data_bytes,
        identity=image.identity.as_dict(),
        artefacts=artefacts,
        request=examined.request,
        report=examined.report,
    )


def _raw(
    image: RawImage, key: str, scanned: Scan, layout: BitmapLayout, order: Order
) -> tuple[Artefact, ...]:
    """Return the image and its bitmap as artefacts; the bitmap is written next to the image."""
    bitmap = order.bitmap
    if bitmap is None:
        bitmap = write_bitmap(codec.bitmap_path(image.path), image, scanned, layout).bitmap
    identity = Identity.of(bitmap)
    plan = _plan(scanned.block_map.coarsened(SCAN_BLOCK), order)
    return (
        Artefact("image", image.path, key, plan, image.identity),
        Artefact("bitmap", bitmap, _bitmap_key(key), plan_plain(identity.size), identity),
    )


def _bitmap_key(key: str) -> str:
    """Return the bitmap's key: next to the image, by its base name, as the service looks for it."""
    return os.path.splitext(key)[0] + codec.SUFFIX


def _bitmap_facts(image: RawImage, order: Order) -> BitmapFacts:
    """Return what is known of the bitmap that will go along.

    Raises UsageError if it would replace one that is not ours, ReadError if the one that was named
    is missing.
    """
    facts = look_beside(image, bitmap=order.bitmap, layout=order.layout)
    if order.bitmap is None:
        place = codec.bitmap_path(image.path)  # looked at before the scan, which takes long
        check_apart(place, image.path, advice=_NO_BITMAP)
        check_replaceable(place, image.path, advice=_NO_BITMAP)
        layout = facts.layout or DEFAULT_LAYOUT
        return BitmapFacts(facts.name, facts.length, layout, to_be_made=True)
    if facts.length is None:
        raise ReadError(f"there is no bitmap {show_path(order.bitmap)}")
    return facts


def _check_claim(examined: Examined, scanned: Scan, order: Order) -> Examined:
    """Raise FindingsError if a bitmap that was made elsewhere marks data as empty."""
    bitmap = examined.facts.bitmap
    if bitmap is None or bitmap.claimed is None:
        return examined
    found = scanned.block_map.coarsened(bitmap.claimed.block_size)
    facts = replace(examined.facts, bitmap=bitmap._replace(found=found))
    return _with_more(examined, facts, order)


def _compare(image: RawImage, examined: Examined, order: Order) -> Comparison:
    """Price the way of an image as ZVHD2; a dry run that of RAW as well, if it could be taken.

    What is looked at is what the format stores and few blocks, so that sending begins at once.
    """
    started = order.clock()
    with open_source(image, jobs=1) as disk:
        block_map = map_by_extents(disk, SCAN_BLOCK)
        both = order.dry_run and examined.facts.format == formats.RAW
        share = block_map.coarsened(order.packing.block_size).allocated // _SAMPLED
        return compare_formats(
            disk,
            block_map,
            order.packing,
            plan=_plan(block_map, order) if both else None,
            most=upload_formats.SAMPLES
            if order.dry_run
            else min(upload_formats.SAMPLES, max(_FEWEST, share)),
            clock=order.clock,
            taken=upload_formats.ZVHD2,
            reason=_reason(examined.facts, order),
            bytes_per_s=order.bytes_per_s,
            streamed=order.streams,
            scan_s=order.clock() - started,
            local=order.target.folder is not None,
        )


def _plan(block_map: BlockMap, order: Order) -> PartPlan:
    return plan_parts(block_map, copy_zeros=order.copy_zeros, part_size=order.part_size)


def _complete(fields: RequestFields, site: Site) -> QuickImportRequest:
    missing = [name for name in REQUIRED if name in fields.missing]
    if missing not in ([], ["os_version"]):  # a rule speaks of that alone
        least = site.min_disk_from(data_disk=fields.is_data_disk, windows=fields.is_windows)
        size = f" ({least} to {MAX_MIN_DISK} GB on {site.key}, not less than the disk)"
        wanted = " and ".join(name + (size if name == "min_disk" else "") for name in missing)
        raise UsageError(f"the import needs {wanted}", remedies=tuple(missing))
    return fields.complete()


def why_not(report: Report, at: Severity) -> str:
    """Write the findings that stop the import, one per line."""
    failing = [f for f in report.findings if f.waived is None and f.severity >= at]
    lines = [
        f"the import of {show_path(report.image)} is stopped by {counted(len(failing), 'finding')}:"
    ]
    for finding in failing:
        fix = f" ({finding.fix})" if finding.fix else ""
        lines.append(f"  {finding.rule} {finding.severity.word}: {finding.message}{fix}")
    return "\n".join(lines)
