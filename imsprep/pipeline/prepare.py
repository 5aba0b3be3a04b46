"""Prepare an image for shipping: check it, scan it, make its bitmap, plan its upload.

Nothing leaves the machine. As RAW an image becomes two objects, itself and the bitmap
that is made next to it; as ZVHD2 it becomes one, the container that is packed from it.
A ZVHD2 image is shipped as it is. What comes out is a value that can be printed (`--dry-run`, for
which no container is made) or shipped (`pipeline.ship`).
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace

from imsprep.bitmap import bits
from imsprep.bitmap.layout import DEFAULT_LAYOUT, BitmapLayout
from imsprep.bitmap.write import write_bitmap
from imsprep.checks import registry
from imsprep.checks.facts import Facts
from imsprep.checks.gather_facts import gather
from imsprep.checks.naming import named
from imsprep.errors import FindingsError, show_path
from imsprep.image import formats
from imsprep.image.blockmap import BlockMap
from imsprep.image.digest import DigestTree
from imsprep.image.file import RawImage
from imsprep.image.identity import Identity
from imsprep.pipeline import manifest, upload_formats
from imsprep.pipeline.check_import import Examined, bitmap_key, examine, reason_for, why_not
from imsprep.pipeline.container import kept
from imsprep.pipeline.container.streamed import StreamTask
from imsprep.pipeline.upload_formats import Comparison, Conditions, map_by_extents, sample_of
from imsprep.pipeline.values import Artefact, ImportTask, Prepared
from imsprep.scan.scan import Scan, scan
from imsprep.units import GIB, MIB, format_size, round_up
from imsprep.upload.plan import SCAN_BLOCK, PartPlan, plan_parts, plan_plain
from imsprep.zvhd2 import convert
from imsprep.zvhd2.faults import Stage
from imsprep.zvhd2.source import OpenImage
from imsprep.zvhd2.verify import check_payloads
from imsprep.zvhd2.writer import PackTask

# One block of so many is packed for an estimate, where the disk goes on its way at once; but not
# fewer than this, since the first blocks of a disk, with its tables, pack like no others.
_SAMPLED, _FEWEST = 50, 8
_WASTE = 256 * MIB  # bytes of zeros that may travel without a word


_LOG = logging.getLogger(__name__)


def prepare(image: OpenImage, task: ImportTask) -> Prepared:
    """Check, scan, choose the upload format, make the bitmap or the container, and plan the upload.

    The image stays open, for `ship`. Raises FindingsError if the check fails, UsageError for a
    request that lacks a field, ReadError, ImageChangedError, and what `convert` raises.
    """
    started = task.clock()
    task = replace(task, began=started)
    image.file.refuse_writers(force=task.options.force_share)
    made = _prepared_of(image, task)
    kinds = ", ".join(f"{a.role} as {a.key}" for a in made.artefacts)
    _LOG.info("%s is sent: %s", show_path(image.path), kinds)
    if made.comparison is not None:
        _LOG.info("%s", made.comparison.why)
    if task.dry_run:
        body, folder = made.request.as_body(), task.target.folder
        made = replace(made, imported=manifest.made_before(image.path, body, folder))
    seconds = task.clock() - started
    return replace(made, sharing=image.file.sharing, seconds=seconds, open_store=task.open_store)


def _prepared_of(image: OpenImage, task: ImportTask) -> Prepared:
    """Do what `prepare` says."""
    examined, file = _passed(examine(image, task), task), image.file
    if examined.upload_format == upload_formats.ZVHD2:
        comparison = _compare(image, examined, task)
        made = replace(_as_zvhd2(image, examined, comparison, task), comparison=comparison)
    elif examined.facts.format == formats.RAW:
        made = _as_raw(file, examined, task)
    else:
        examined, digest = _proved(file, examined, task)
        made = replace(_as_it_is(file, examined, task), digest=digest)
    file.check_unchanged()
    return made


def _passed(examined: Examined, task: ImportTask) -> Examined:
    """Return it; raises FindingsError if the report stops the import."""
    if task.fail_on is not None and examined.report.fails(task.fail_on):
        raise FindingsError(why_not(examined.report, task.fail_on), report=named(examined.report))
    return examined


def _scan(image: RawImage, layout: BitmapLayout, task: ImportTask) -> Scan:
    """Scan in blocks that suit the bitmap's layout."""
    block_size = math.gcd(SCAN_BLOCK, layout.block_size)
    return scan(image, task.options.scanning(block_size=block_size), task.progress)


def _as_raw(image: RawImage, examined: Examined, task: ImportTask) -> Prepared:
    """Return a RAW image with its bitmap."""
    bitmap = examined.facts.bitmap
    layout = (bitmap.layout if bitmap else None) or DEFAULT_LAYOUT
    scanned = _scan(image, layout, task)
    examined = _check_claim(examined, scanned, task)
    artefacts = _raw(image, examined.key, scanned, layout, task)
    data_bytes = scanned.block_map.coarsened(SCAN_BLOCK).data_bytes
    made = _prepared(image, examined, artefacts, size=image.size, data_bytes=data_bytes)
    _tell_waste(artefacts[0].plan, data_bytes, task)
    comparison = upload_formats.estimate_raw(
        artefacts[0].plan, scanned.block_map, _conditions(task)
    )
    comparison = replace(comparison, reason=reason_for(examined.facts, task))
    return replace(made, layout=layout, comparison=comparison)


def _proved(image: RawImage, examined: Examined, task: ImportTask) -> tuple[Examined, str | None]:
    """Unpack every block of a ZVHD2 that was made elsewhere, so that no damaged one is sent.

    Return also the digest of its disk, if all of it can be read. Raises FindingsError if the check
    fails of what that finds.
    """
    found = examined.facts.container
    if found is None or found.container is None:
        return examined, None
    task.log(f"verifying {show_path(image.path)}: every block is unpacked")
    tree = DigestTree(found.container.original_size)
    wrong = check_payloads(found.container, image.pread, tree=tree)
    proved = replace(found, stage=Stage.PAYLOADS, faults=(*found.faults, *wrong))
    examined = _with_more(examined, replace(examined.facts, container=proved), task)
    return examined, None if wrong else tree.digest()


def _with_more(examined: Examined, facts: Facts, task: ImportTask) -> Examined:
    """Apply the rules that were skipped to facts that say more; FindingsError as `_passed`."""
    known = examined.report
    report = replace(registry.run(facts, task.policy, earlier=known), image=known.image)
    return _passed(replace(examined, facts=facts, report=report), task)


def _tell_waste(plan: PartPlan, data_bytes: int, task: ImportTask) -> None:
    """Log where RAW sends far more than its data, as no object has more than 10,000 parts."""
    if task.options.copy_zeros and plan.sent > 2 * data_bytes + _WASTE:
        task.log(
            f"as RAW {format_size(plan.sent)} are sent for {format_size(data_bytes)} of data,"
            " which is too scattered for the 10,000 parts of an object; as ZVHD2 only the data"
            " would be sent, packed"
        )


def _as_it_is(image: RawImage, examined: Examined, task: ImportTask) -> Prepared:
    """Return a ZVHD2 file as it is (or whatever else no rule refused)."""
    block_map = _scan(image, DEFAULT_LAYOUT, task).block_map
    plan = _plan(block_map.coarsened(SCAN_BLOCK), task)
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
    image: OpenImage, examined: Examined, comparison: Comparison, task: ImportTask
) -> Prepared:
    """Return the container of an image, made or found; a dry run returns what it would be."""
    place, file = task.place_for(image.path), image.file
    packing = kept.dated(task.packing, file)
    if task.streams and not task.dry_run:
        return _streamed(file, examined, packing, comparison, task)
    if task.dry_run and (task.streams or not kept.fits(file, place, packing)):
        wire = comparison.named(upload_formats.ZVHD2).wire
        plan = plan_plain(wire, part_size=task.options.part_size)
        of = file.path if task.streams else place  # it is packed while it is sent
        artefact = Artefact("container", of, examined.key, plan, file.identity, estimated=True)
        disk = comparison.block_map
        size = round_up(disk.size, GIB)
        return _prepared(file, examined, (artefact,), size=size, data_bytes=disk.data_bytes)
    making = convert.ConvertTask(packing, task.options.converting(), progress=task.packed)
    if kept.pack(image, place, making):
        task.log(f"{show_path(place)} was made")
    else:
        task.log(f"{show_path(place)} is of this state of the image: used again")
    with OpenImage.open(place) as container:
        sent = _of_container(container, examined, task)
        done = _as_it_is(container.file, sent, task)
        container.file.check_unchanged()
    sidecar = kept.ContainerSidecar.read(place)
    digest = sidecar.digest if sidecar else None
    return replace(done, image=image.path, identity=file.identity, digest=digest)


def _of_container(container: OpenImage, examined: Examined, task: ImportTask) -> Examined:
    """Apply the rules of the file that is sent to the container that was made."""
    known = examined.facts
    facts = gather(container, request=known.request, site=task.site)
    facts = replace(
        facts, guest=known.guest, booted=known.booted, bucket=known.bucket, region=known.region
    )
    return _with_more(examined, facts, task)


def _streamed(
    image: RawImage, examined: Examined, packing: PackTask, comparison: Comparison, task: ImportTask
) -> Prepared:
    """Return the container of an image as what will be packed while it is sent."""
    block_map = comparison.block_map
    streaming = StreamTask(packing, task.options.converting(), progress=task.packed)
    wire = comparison.chosen.wire
    plan = plan_plain(wire, part_size=task.options.part_size)
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
        identity=image.identity,
        artefacts=artefacts,
        request=examined.request,
        report=named(examined.report),
        boot_mode=examined.boot_mode,
    )


def _raw(
    image: RawImage, key: str, scanned: Scan, layout: BitmapLayout, task: ImportTask
) -> tuple[Artefact, ...]:
    """Return the image and its bitmap as artefacts; the bitmap is written next to the image."""
    bitmap = task.bitmap
    if bitmap is None:
        bitmap = write_bitmap(bits.bitmap_path(image.path), image, scanned, layout).bitmap
    identity = Identity.of(bitmap)
    plan = _plan(scanned.block_map.coarsened(SCAN_BLOCK), task)
    return (
        Artefact("image", image.path, key, plan, image.identity),
        Artefact("bitmap", bitmap, bitmap_key(key), plan_plain(identity.size), identity),
    )


def _check_claim(examined: Examined, scanned: Scan, task: ImportTask) -> Examined:
    """Raise FindingsError if a bitmap that was made elsewhere marks data as empty."""
    bitmap = examined.facts.bitmap
    if bitmap is None or bitmap.claimed is None:
        return examined
    found = scanned.block_map.coarsened(bitmap.claimed.block_size)
    facts = replace(examined.facts, bitmap=bitmap._replace(found=found))
    return _with_more(examined, facts, task)


def _compare(image: OpenImage, examined: Examined, task: ImportTask) -> Comparison:
    """Price the way of an image as ZVHD2; a dry run that of RAW as well, if it could be taken.

    What is looked at is what the format stores and few blocks, so that sending begins at once.
    """
    disk = image.disk()
    block_map = map_by_extents(disk, SCAN_BLOCK)
    both = task.dry_run and examined.facts.format == formats.RAW
    plan = _plan(block_map, task) if both else None
    block_map = block_map.coarsened(task.packing.block_size)
    most = min(upload_formats.SAMPLES, max(_FEWEST, block_map.allocated // _SAMPLED))
    sample = sample_of(disk, block_map, task.packing, most, task.clock)
    comparison = upload_formats.compare(
        plan, block_map, sample, _conditions(task), upload_formats.ZVHD2
    )
    return replace(comparison, reason=reason_for(examined.facts, task))


def _conditions(task: ImportTask) -> Conditions:
    """Return what an estimate counts on, with the time that was spent until now."""
    local = task.target.folder is not None
    return Conditions(
        bytes_per_s=task.bytes_per_s,
        assumed=task.options.bandwidth is None and task.bytes_per_s != task.options.bytes_per_s,
        jobs=task.packing.jobs,
        streamed=task.streams,
        scan_s=task.clock() - task.began,
        local=local,
    )


def _plan(block_map: BlockMap, task: ImportTask) -> PartPlan:
    return plan_parts(
        block_map, copy_zeros=task.options.copy_zeros, part_size=task.options.part_size
    )
