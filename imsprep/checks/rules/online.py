"""IMS7xx, cloud: the bucket that the image goes to, and its region; only if they are asked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import INFERRED, NOT_ONLINE, QUICK_IMPORT, Evidence, UnknownError, rule
from imsprep.checks.rules.request import given
from imsprep.cloud.os_names import named, near
from imsprep.ims.region import RegionFacts
from imsprep.report import Severity
from imsprep.store.bucket import BucketFacts
from imsprep.store.contract import STANDARD
from imsprep.units import counted

_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")  # cn-north-4, eu-de, la-north-2


def reached(facts: Facts) -> BucketFacts:
    """Return what the bucket answered; UnknownError if it was not asked or did not answer."""
    if facts.bucket is None:
        raise UnknownError(NOT_ONLINE)
    if facts.bucket.refusal is not None:
        raise UnknownError("the bucket could not be examined")
    return facts.bucket


@rule(
    "IMS701", Severity.ERROR, "The bucket cannot be used",
    why="The upload fails, or the service does not find the object.",
    fix="Make the bucket in the region of the import, and give the key the rights to use it.",
    source=QUICK_IMPORT,
)  # fmt: skip
def bucket_answers(facts: Facts) -> Iterator[Evidence]:
    """Look whether the bucket answered at all."""
    if facts.bucket is None:
        raise UnknownError(NOT_ONLINE)
    if facts.bucket.refusal is not None:
        yield Evidence(f"bucket {facts.bucket.bucket}: {facts.bucket.refusal}")


@rule(
    "IMS702", Severity.ERROR, "The bucket's storage class is not Standard",
    why="Quick import reads from Standard buckets only.",
    fix="Use a bucket of storage class Standard.",
    source=QUICK_IMPORT,
)  # fmt: skip
def bucket_class(facts: Facts) -> Iterator[Evidence]:
    """Compare the bucket's default storage class."""
    found = reached(facts).storage_class
    if found != STANDARD:
        yield Evidence("the bucket has another storage class", expected=STANDARD, found=found)


@rule(
    "IMS703", Severity.ERROR, "The object's storage class is not Standard",
    why="Quick import reads Standard objects only.",
    fix="Upload it again, or change its storage class.",
    source=QUICK_IMPORT,
)  # fmt: skip
def object_class(facts: Facts) -> Iterator[Evidence]:
    """Compare the storage class of the object that is there."""
    found = reached(facts)
    if found.object is None:
        raise UnknownError(f"there is no object {found.key!r} yet")
    if found.object.storage_class != STANDARD:
        yield Evidence(
            f"the object {found.key!r} has another storage class",
            expected=STANDARD,
            found=found.object.storage_class,
        )


@rule(
    "IMS704", Severity.ERROR, "Another object of this name is there",
    why="It may be the only copy of its data, and an image that was imported from it may still"
    " read it (inferred).",
    fix="Choose another key, remove the object if nothing needs it, or allow it to be replaced.",
    source=INFERRED,
)  # fmt: skip
def replaces(facts: Facts) -> Iterator[Evidence]:
    """Look for objects that are not this image's, and for an older one of its own."""
    found = reached(facts)
    for key, why in found.strangers.items():
        yield Evidence(f"the object {key!r} is there, and {why}", expected="no object of that key")
    if found.strangers or facts.to_be_packed or facts.would_be_packed:
        return
    if found.object is not None and found.object.size != facts.file_size:
        yield Evidence(
            f"the object {found.key!r} is there with another size",
            expected=f"{facts.file_size} bytes, or no object",
            found=f"{found.object.size} bytes",
            fix="The object is replaced: if it is not an older state of this image, choose another"
            " key.",
            severity=Severity.NOTE,
        )


@rule(
    "IMS705", Severity.NOTE, "Unfinished uploads take space in the bucket",
    why="Their parts are stored, and paid for, until they are completed or aborted.",
    fix="See them with imsprep uploads list, and remove them with imsprep uploads abort.",
    source='OBS API reference, "Listing Initiated Multipart Uploads"',
)  # fmt: skip
def unfinished(facts: Facts) -> Iterator[Evidence]:
    """Count the unfinished uploads of this object."""
    found = reached(facts)
    if found.unfinished is None:
        raise UnknownError(found.unfinished_refusal)
    if found.unfinished:
        yield Evidence(f"{counted(found.unfinished, 'unfinished upload')} of {found.key!r}")


@rule(
    "IMS706", Severity.WARNING, "The bucket's name has a dot",
    why="A certificate for *.obs… does not cover a name with one more dot, so TLS fails.",
    fix="Use a bucket without a dot in its name.",
    source='OBS API reference, "Creating a Bucket"; RFC 6125, 6.4.3',
)  # fmt: skip
def dotted_name(facts: Facts) -> Iterator[Evidence]:
    """Look for a dot in the bucket's name."""
    if facts.bucket is None:
        raise UnknownError(NOT_ONLINE)
    if "." in facts.bucket.bucket:
        yield Evidence("the name has a dot", found=facts.bucket.bucket)


@rule(
    "IMS710", Severity.ERROR, "The bucket lies in another region than the import",
    why="The service reads from buckets of its own region and answers IMG.0058, after the upload.",
    fix="Use a bucket in the region of the import, or import in the bucket's region.",
    source="API reference, Error Codes: IMG.0058, 2025-12-17; OBS API reference,"
    ' "Obtaining Bucket Metadata", 2024-03-05',
)  # fmt: skip
def bucket_region(facts: Facts) -> Iterator[Evidence]:
    """Compare where the bucket says it lies."""
    found = reached(facts)
    if found.asked_region is None:
        raise UnknownError("no region was given")
    if found.region is None or not _REGION.fullmatch(found.region):
        said = f"the store says {found.region!r}" if found.region else "the store does not say"
        raise UnknownError(f"{said}, which is not the name of a region" if found.region else said)
    if found.region != found.asked_region:
        yield Evidence(
            f"the bucket lies in {found.region}",
            expected=found.asked_region, found=found.region,
            fix=f"Use a bucket in {found.asked_region}, or import in {found.region}.",
        )  # fmt: skip


def region_of(facts: Facts) -> RegionFacts:
    """Return what the region's image service answered; UnknownError if it was not asked."""
    if facts.region is None:
        asked_nothing = facts.bucket is None
        raise UnknownError(NOT_ONLINE if asked_nothing else "the image service was not asked")
    return facts.region


@rule(
    "IMS707", Severity.ERROR, "The account may have no more private images",
    why="The import is refused with IMG.0015, after the whole upload.",
    fix="Delete an image that is not needed, or ask for a larger quota.",
    source="API reference, Error Codes: IMG.0015, 2025-12-17",
)  # fmt: skip
def quota(facts: Facts) -> Iterator[Evidence]:
    """Compare the number of private images with how many there may be."""
    found = region_of(facts)
    if found.quota is None:
        raise UnknownError(found.refusals[0] or "the service does not report the quota")
    used, limit = found.quota
    if used >= limit:
        yield Evidence(
            f"the account has {used} private images, and may have {limit}",
            expected=f"fewer than {limit} images", found=f"{used} images",
        )  # fmt: skip


@rule(
    "IMS711", Severity.ERROR, "The image service refuses the account",
    why="The import is refused too, or cannot be followed, after the whole upload.",
    fix="Do what the service says: keys, clock, and the right ims:images:list.",
    source='OTC API reference, "Permissions and Supported Actions", 2025-12-17',
)  # fmt: skip
def service_answers(facts: Facts) -> Iterator[Evidence]:
    """Look whether the service listed images."""
    found = region_of(facts)
    if found.refusal:
        yield Evidence(f"images cannot be listed: {found.refusal}")


@rule(
    "IMS712", Severity.WARNING, "An image of this name is there already",
    why="A service may refuse the name with IMG.0009, after the whole upload; whether names have to"
    " be unique is not documented.",
    fix="Choose another name, or remove the image that is there if nothing needs it. If the service"
    " takes the name a second time, only the ids distinguish the two.",
    source="API reference, Error Codes: IMG.0009, 2025-12-17",
)  # fmt: skip
def name_in_use(facts: Facts) -> Iterator[Evidence]:
    """Look for images of the name that was asked for."""
    found = region_of(facts)
    given(facts, "name")
    if found.refusal:
        raise UnknownError(found.refusal)
    if not found.images:
        return
    name, ids = found.images[0].name, ", ".join(i.image_id for i in found.images[:3])
    there = f"{name!r} is the name of {counted(len(found.images), 'image')}: {ids}"
    reused = [i.image_id for i in found.images if i.image_id in found.ours]
    if reused:
        made = "it" if len(found.images) == 1 else reused[0]
        yield Evidence(
            f"{there}; an earlier import of this file made {made}, and this one uses it again if"
            " the disk is still the same",
            found=name,
            title="An earlier import of this file made an image of this name",
            fix="If the disk changed, choose another name: there would be a second image of this"
            " one, or the service refuses it.",
            severity=Severity.NOTE,
        )
    else:
        yield Evidence(there, found=name)


@rule(
    "IMS708", Severity.ERROR, "os_version is not a value that the region lists at this moment",
    why="The service answers IMG.0056.",
    fix="Use a value of the region's list, as it is written there.",
    source='API reference, "Querying the OSs Supported by Images", Chinese edition, 2022-12-07;'
    " international, 2025-02-26: the list has no Windows",
)  # fmt: skip
def region_os_version(facts: Facts) -> Iterator[Evidence]:
    """Look the value up in the list of the region itself."""
    found = region_of(facts)
    value = given(facts, "os_version")
    if not found.os_versions:
        raise UnknownError(found.refusals[1] or "the service lists no values of os_version")
    if value in found.os_versions or facts.request.is_data_disk:
        return
    like = near(value, found.os_versions)
    hint = f"; of that system and version it lists {named(like)}" if like else ""
    yield Evidence(
        f"{value!r} is not among the {len(found.os_versions)} values that the region lists{hint}",
        expected=named(like, "or") if like else "a value of the region's list",
        found=f'"{value}"',
        severity=Severity.WARNING if facts.request.is_windows else None,
    )  # fmt: skip


@rule(
    "IMS709", Severity.ERROR, "The key may not write to the bucket",
    why="The upload fails at its first request.",
    fix="Give the key the rights to put objects into this bucket and to abort uploads.",
    source='OBS API reference, "Initiating a Multipart Upload", 2024-04-01',
)  # fmt: skip
def may_write(facts: Facts) -> Iterator[Evidence]:
    """Look at what came of an upload that was begun and ended at once."""
    found = reached(facts)
    if found.may_write is None:
        raise UnknownError(found.write_refusal or "a folder is not tried for writing")
    if not found.may_write:
        yield Evidence(f"bucket {found.bucket}: {found.write_refusal}")
