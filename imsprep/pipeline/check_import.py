"""Check an import before anything is read at length: the upload format, the request and the report.

It takes seconds and writes nothing. Bucket and service are asked last, if nothing else stops the
import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from imsprep.bitmap import bits
from imsprep.bitmap.facts import BitmapFacts
from imsprep.bitmap.inspect import inspect_bitmap
from imsprep.bitmap.layout import DEFAULT_LAYOUT
from imsprep.bitmap.sidecar import check_apart, check_replaceable
from imsprep.checks import registry
from imsprep.checks.facts import Facts
from imsprep.checks.gather_facts import Look, gather
from imsprep.checks.naming import fix_of
from imsprep.checks.subject.boot_mode import DISK, BootMode, boot_mode
from imsprep.cloud.os_names import is_well_formed, named, near
from imsprep.cloud.sites import MAX_MIN_DISK, Site
from imsprep.errors import ImsprepError, ReadError, UsageError, show_path
from imsprep.image import formats
from imsprep.image.file import RawImage
from imsprep.image.qemu.foreign import INSIDE
from imsprep.ims.region import RegionFacts
from imsprep.ims.request import QuickImportRequest, RequestFields
from imsprep.pipeline import manifest as manifests
from imsprep.pipeline import upload_formats
from imsprep.pipeline.container import kept
from imsprep.pipeline.ova.proposal import proposed_fields
from imsprep.pipeline.values import ImportTask
from imsprep.report import Report, Severity
from imsprep.store.bucket import BucketFacts, without_upload
from imsprep.store.object_ownership import origin_of
from imsprep.store.target import check_objects_apart, check_writable
from imsprep.system.ownership import Advice, check_lasting
from imsprep.units import counted
from imsprep.upload.journal import Journal
from imsprep.zvhd2.source import OpenImage

REQUIRED = ("name", "min_disk", "os_version")
_NO_BITMAP = Advice("rename it, or import as ZVHD2, which needs no bitmap", ("via",))


@dataclass(frozen=True)
class Examined:
    """What the check before a scan found out: the request as it will be sent, and the report."""

    upload_format: str  # raw, also for a ZVHD2; or zvhd2
    key: str
    request: QuickImportRequest
    facts: Facts  # its request is what was asked for, as `imsprep check` judges it too
    report: Report
    boot_mode: BootMode | None = None  # of the servers; None: a data disk


def examine(image: OpenImage, task: ImportTask) -> Examined:
    """Check what can be known within seconds of an open image; nothing is written.

    Findings are in the report, and whether they stop anything is for the caller to say. Raises
    UsageError for a request that lacks a field or a bitmap that is not ours to replace, ReadError,
    ImageChangedError, and what asking the bucket raises.
    """
    if task.ask_bucket is not None and not task.dry_run:
        check_writable(task.target)  # at once: a look inside, or a boot, may take minutes
    fields, news = proposed_fields(image, task.fields, task.site)
    for line in news:
        task.log(line)
    _refuse_incomplete(fields, task.site)  # at once, for the same reason
    task = replace(task, fields=fields)
    look = Look(guest=task.options.guest, boot=task.options.boot)
    facts = gather(image, request=task.fields, site=task.site, look=look)
    return _judged(image.file, facts, task)


def _judged(file: RawImage, facts: Facts, task: ImportTask) -> Examined:
    """Apply the rules to what was gathered, for the upload format that the import takes."""
    path = file.path
    check_lasting(path)
    upload_format, place = _upload_format(facts, task), task.place_for(path)
    name = place.name if upload_format == upload_formats.ZVHD2 else path.name
    key = task.target.key_for(task.options.key or name)
    url = f"{task.target.bucket}:{key}"
    fields = replace(task.fields, image_url=task.fields.image_url or url, final=True)
    if fields.image_url != url:
        raise UsageError(f"image_url is {fields.image_url}, but the object would be {url}")
    if task.bitmap is not None and task.options.via == upload_formats.ZVHD2:
        raise UsageError("a bitmap belongs to a RAW image; import as RAW, or without the bitmap")
    request, mode = _request(facts, fields, task)
    pair = facts.format == formats.RAW and upload_format != upload_formats.ZVHD2
    keys = [key, bitmap_key(key)] if pair else [key]
    facts = replace(facts, request=fields, importing=True)
    if upload_format == upload_formats.ZVHD2:
        if not task.streams:
            kept.check_place(path, place)
        facts = facts.packed()
    elif facts.format == formats.RAW:
        known = _bitmap_facts(file, task) if upload_format == upload_formats.RAW else None
        facts = replace(facts, bitmap=known)
    files = [path, *file.pieces, task.bitmap or bits.bitmap_path(path)]
    files += [] if task.streams else [place]
    check_objects_apart(task.target, keys, files)
    report = replace(registry.run(facts, task.policy), image=show_path(path))
    if not (task.fail_on and report.fails(task.fail_on)):
        kept_apart = upload_format == upload_formats.ZVHD2 and not task.streams
        journal = Journal.for_file(place if kept_apart else path)
        facts = replace(facts, bucket=_bucket(task, keys, path, journal))
        facts = replace(facts, region=_region(task, file, request))
        report = replace(registry.run(facts, task.policy, earlier=report), image=report.image)
    return Examined(upload_format, key, request, facts, report, mode)


def _bucket(
    task: ImportTask, keys: Sequence[str], image: Path, journal: Journal
) -> BucketFacts | None:
    """Ask the bucket; the `journal` is that of the file that is sent."""
    if task.ask_bucket is None:
        return None
    bucket = task.ask_bucket(keys[0], more_keys=keys[1:], origin=origin_of(image))
    noted = journal.load()
    if bucket is not None and noted is not None:
        return without_upload(bucket, noted.upload_id)  # the import continues it
    return bucket


def _region(task: ImportTask, file: RawImage, request: QuickImportRequest) -> RegionFacts | None:
    """Ask the service, but not of an import that an earlier run has begun."""
    folder, body = task.target.folder, request.as_body()
    if task.ask_service is None or manifests.has_begun(file, body, folder):
        return None
    region = task.ask_service(request.name)
    return region and replace(region, ours=manifests.made_of(file.path, body, folder))


def _upload_format(facts: Facts, task: ImportTask) -> str:
    """Return the upload format.

    What QEMU reads goes as a ZVHD2 in any case: as it is nothing could be made of it. `auto` takes
    RAW only with a bitmap that is proven: made by the vendor's tool, or in a layout learned of it.
    """
    if facts.format in INSIDE:
        return upload_formats.ZVHD2
    if facts.format != formats.RAW:
        return upload_formats.RAW
    if task.options.via != upload_formats.AUTO:
        return task.options.via
    learned = task.layout is not None and task.layout.matched
    return upload_formats.RAW if task.bitmap is not None or learned else upload_formats.ZVHD2


def reason_for(facts: Facts, task: ImportTask) -> str:
    """Return why `_upload_format` takes what it takes, in a sentence."""
    if facts.format in INSIDE:
        return f"raw cannot be taken: the image is {facts.format}, which the service does not read"
    if task.bitmap is not None:
        return "raw is taken for the bitmap that is given; zvhd2 needs none"
    if task.options.via != upload_formats.AUTO:
        return f"{task.options.via} is what was asked for"
    if task.layout is not None and task.layout.matched:
        return "raw is taken: the bitmap's layout was learned from the vendor's tool"
    return (
        "raw is not taken: it needs a bitmap that the vendor's tool made, as it is not"
        " proven that the service reads imsprep's"
    )


def bitmap_key(key: str) -> str:
    """Return the bitmap's key: next to the image, by its base name, as the service looks for it."""
    return os.path.splitext(key)[0] + bits.SUFFIX


def _bitmap_facts(image: RawImage, task: ImportTask) -> BitmapFacts:
    """Return what is known of the bitmap that will go along.

    Raises UsageError if it would replace one that is not ours, ReadError if the one that was named
    is missing.
    """
    facts = inspect_bitmap(image, bitmap=task.bitmap, layout=task.layout)
    if task.bitmap is None:
        place = bits.bitmap_path(image.path)  # looked at before the scan, which takes long
        check_apart(place, image.path, advice=_NO_BITMAP)
        check_replaceable(place, image.path, advice=_NO_BITMAP)
        layout = facts.layout or DEFAULT_LAYOUT
        return BitmapFacts(facts.name, facts.length, layout, to_be_made=True)
    if facts.length is None:
        raise ReadError(f"there is no bitmap {show_path(task.bitmap)}")
    return facts


def _request(
    facts: Facts, fields: RequestFields, task: ImportTask
) -> tuple[QuickImportRequest, BootMode | None]:
    """Return the request as it is sent, with the firmware that only the disk tells.

    The rules judge what was asked for, as they do for `imsprep check`.
    """
    described = task.options.firmware is None
    mode = boot_mode(replace(facts, request=fields), described=described)
    if mode is not None and mode.origin == DISK:
        fields = replace(fields, hw_firmware_type=mode.firmware)
    request = fields.complete()
    if task.target.folder is not None and task.options.endpoint is None:
        _check_form(request, task.site)
    return request, mode


def _check_form(request: QuickImportRequest, site: Site) -> None:
    """Raise UsageError for an `os_version` that the emulator behind `local:` would refuse."""
    value = request.os_version
    if not value or request.is_data_disk or value in site.listed or is_well_formed(value):
        return
    like = near(value, site.listed)
    hint = f"; listed of that system and version: {named(like)}" if like else ""
    raise UsageError(
        f"os_version is {value!r}, which the service behind local: would refuse: a name and 64bit"
        f" or 32bit are expected, as the values that {site.key} lists have them{hint}",
        remedies=("os_version",),
    )


class Missing(NamedTuple):
    """What a request lacks before anything is checked."""

    fields: tuple[str, ...]
    asked: bool  # whether the image is an exported machine (OVA), which proposes some of them
    sizes: str  # in words, what `min_disk` may be


def missing_of(path: Path, fields: RequestFields, site: Site) -> Missing:
    """Return which fields of a request are missing.

    Nothing is read of an image but its ends, and that only if something is missing. An image that
    cannot be read proposes nothing; ReadError if there is none.
    """
    proposed, news = fields, list[str]()
    if fields.missing:
        try:
            with OpenImage.open(path) as image:
                proposed, news = proposed_fields(image, fields, site)
        except ImsprepError:
            if not os.path.lexists(path):
                raise
    missing = tuple(name for name in REQUIRED if name in proposed.missing)
    return Missing(missing, bool(news), _sizes_taken(fields, site))


def _sizes_taken(fields: RequestFields, site: Site) -> str:
    least = site.min_disk_from(data_disk=fields.is_data_disk, windows=fields.is_windows)
    return f"{least} to {MAX_MIN_DISK} GB on {site.key}, not less than the disk"


def _refuse_incomplete(fields: RequestFields, site: Site) -> None:
    missing = [name for name in REQUIRED if name in fields.missing]
    if missing:
        size = f" ({_sizes_taken(fields, site)})"
        *others, last = (name + (size if name == "min_disk" else "") for name in missing)
        wanted = " and ".join(filter(None, [", ".join(others), last]))
        raise UsageError(f"the import needs {wanted}", remedies=tuple(missing))


def why_not(report: Report, at: Severity) -> str:
    """Write the findings that stop the import, one per line."""
    failing = [f for f in report.findings if f.waived is None and f.severity >= at]
    lines = [
        f"the import of {show_path(report.image)} is stopped by {counted(len(failing), 'finding')}:"
    ]
    for finding in failing:
        fix = f"; fix: {fix_of(finding, report)}" if finding.fix else ""
        lines.append(f"  {finding.rule} {finding.severity.word}: {finding.message}{fix}")
    return "\n".join(lines)
