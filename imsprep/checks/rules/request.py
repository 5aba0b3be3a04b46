"""IMS5xx, request: what may stand in the body of the quick import call.

The limits that differ between sites are the site's; those that all sites share stand here.
"""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import QUICK_IMPORT, Evidence, UnknownError, rule
from imsprep.cloud.os_names import is_well_formed, named, near, newest
from imsprep.cloud.sites import MAX_MIN_DISK, SITES, Site, huawei_min_disk
from imsprep.ims.request import DATA_IMAGE
from imsprep.report import Severity
from imsprep.units import GIB, ceil_div, exact_size

ATTRIBUTES = 'API reference, "Image Attributes", 2025-12-17'

MAX_NAME = 128  # characters
MAX_DESCRIPTION = 1024  # characters

CHINESE = "\u4e00-\u9fff"


def given(facts: Facts, field: str) -> str:
    """Return a field of the request; UnknownError if it was not given."""
    value = getattr(facts.request, field)
    if value is None:
        raise UnknownError(f"no {field} given")
    return str(value)


@rule(
    "IMS501", Severity.ERROR, "The image name is empty or too long",
    why="The service refuses the request with IMG.0002 or IMG.0013.",
    fix="Give a name of 1 to 128 characters.",
    source=f"{ATTRIBUTES}: name",
)  # fmt: skip
def name_length(facts: Facts) -> Iterator[Evidence]:
    """Check the length of the name."""
    name = given(facts, "name")
    if not 1 <= len(name) <= MAX_NAME:
        yield Evidence(
            f"the name has {len(name)} characters",
            expected=f"1 to {MAX_NAME} characters", found=f"{len(name)} characters",
        )  # fmt: skip


@rule(
    "IMS502", Severity.ERROR, "The image name has characters that are not allowed",
    why="The service refuses the request with IMG.0003.",
    fix="Use letters, digits, hyphens, dots, underscores and inner spaces.",
    source=f"{ATTRIBUTES}: name; Chinese characters: Huawei Cloud, Chinese edition, 2022-12-07",
)  # fmt: skip
def name_characters(facts: Facts) -> Iterator[Evidence]:
    """Check the alphabet of the name; Chinese is an error only where no page allows it."""
    name = given(facts, "name")
    if name != name.strip(" "):
        yield Evidence("the name starts or ends with a space", found=repr(name))
    odd = _odd(name, "A-Za-z0-9._ -")
    if not odd:
        return
    if _odd(name, f"A-Za-z0-9._ {CHINESE}-"):
        yield Evidence(
            f"not allowed in a name: {odd}", expected="letters, digits, - . _ space", found=odd
        )
    elif not facts.site.chinese_names:
        title = facts.site.title
        yield Evidence(
            f"Chinese characters in names are not documented for {title}",
            expected="letters, digits, - . _ space", found=odd,
        )  # fmt: skip


@rule(
    "IMS503", Severity.ERROR, "The description is too long or has characters that are not allowed",
    why="The service refuses the request with IMG.0004 or IMG.0054.",
    fix="Use at most 1024 characters on one line, without < and >.",
    source=f"{QUICK_IMPORT}: description",
)  # fmt: skip
def description(facts: Facts) -> Iterator[Evidence]:
    """Check length and alphabet; the page's "only letters and digits" is contradicted by itself."""
    text = given(facts, "description")
    if len(text) > MAX_DESCRIPTION:
        yield Evidence(
            f"the description has {len(text)} characters",
            expected=f"at most {MAX_DESCRIPTION} characters", found=f"{len(text)} characters",
        )  # fmt: skip
    odd = sorted({c for c in text if c in "<>\r\n"})
    if odd:
        shown = " ".join(repr(c) for c in odd)
        yield Evidence(f"not allowed in a description: {shown}", found=shown)


@rule(
    "IMS504", Severity.ERROR, "Both tags and image_tags are given",
    why="The API page allows one of the two; which one the service would keep is not documented.",
    fix="Give all of them as tags, or all of them as image_tags.",
    source=f'{QUICK_IMPORT}: "Set either tags or image_tags"',
)  # fmt: skip
def both_kinds_of_tags(facts: Facts) -> Iterator[Evidence]:
    """Look for both fields."""
    if facts.request.tags and facts.request.image_tags:
        yield Evidence("tags and image_tags are both set", expected="one of them", found="both")


@rule(
    "IMS508", Severity.ERROR, "os_version is missing",
    why="A system disk image needs it; the service answers IMG.0159.",
    fix='Give os_version, for example "Ubuntu 18.04 server 64bit".',
    source=f"{QUICK_IMPORT}: os_version is mandatory for a system disk",
)  # fmt: skip
def os_version_missing(facts: Facts) -> Iterator[Evidence]:
    """Look for a complete request for a system disk without os_version."""
    if facts.request.is_data_disk or facts.request.os_version:
        return
    if not facts.request.final and facts.request.os_version is None:
        raise UnknownError("no os_version given")
    yield Evidence("a system disk image needs os_version", expected="a value of the site's list")


@rule(
    "IMS509", Severity.WARNING, "os_version is not in the lists that are published for the site",
    why="The lists are dated and differ by region. A value that the region does not know is refused"
    " with IMG.0056; what its list does not have is registered as Other.",
    fix="Ask the region: imsprep os-versions --online; what it does not list is registered as"
    " Other.",
    source='API reference, "Values of Related Parameters": OTC 2025-12-17, Huawei Cloud 2022-12-07;'
    ' OTC user guide, "External Image File Formats and Supported OSs", about 2024',
    said_by=("IMS604", "IMS708"),
    settled_by=("IMS708",),
)  # fmt: skip
def os_version_unknown(facts: Facts) -> Iterator[Evidence]:
    """Look the value up in every list of the site; what is near is of the same version."""
    value = given(facts, "os_version")
    if facts.request.is_data_disk or not value or value in facts.site.listed:
        return
    lists, like = facts.site.all_lists, near(value, facts.site.listed)
    others = [site for site in SITES.values() if value in site.listed]
    dates = " and ".join(one.date for one in lists if one.date)
    place = f"{facts.site.title} ({dates})" if dates else facts.site.title
    form = "" if is_well_formed(value) else _FORM
    hint = f"; listed of that system and version: {named(like)}" if like else _nothing_like(facts)
    yield Evidence(
        f"{value!r} is in no list of {place}{_listed_by(others)}{hint}{form}",
        expected=named(like, "or") if like
        else f"a value that `imsprep os-versions --site {facts.site.key}` lists",
        found=f'"{value}"',
        fix=_known_os_version(like, others),
    )  # fmt: skip


def _listed_by(others: list[Site]) -> str:
    """Return which other sites list the very value."""
    if not others:
        return ""
    keys = " and ".join(site.key for site in others)
    return f"; {keys} {'list' if len(others) > 1 else 'lists'} exactly this value"


def _known_os_version(like: tuple[str, ...], others: list[Site]) -> str:
    """Return how to come to a value that is known: another site's, a near one, the region's own."""
    ask = "ask the region: imsprep os-versions --online"
    which = ", whichever the image holds" if len(like) > 1 else ""
    own = f"{ask}; what it does not list is registered as Other"
    own = f"use os_version {named(like, 'or')}{which}, or {ask}" if like else own
    if others:
        own = f"choose the site {others[0].key} if the image is for {others[0].title}; else {own}"
    return f"{own[0].upper()}{own[1:]}."


_FORM = "; listed values have a name, a version, and 64bit or 32bit, and `local:` takes no other"


def _nothing_like(facts: Facts) -> str:
    """Return what is said of a system that no list has, or only by its version."""
    value = str(facts.request.os_version)
    for one in facts.site.all_lists:
        for system, versions in one.bare.items():
            bare = near(value, [f"{system} {version}" for version in versions])
            if bare:
                return (
                    f"; the user guide lists {named(bare)} as systems that an image may hold, and"
                    " no page says how the request spells them"
                )
    latest = newest(str(facts.request.os_version), facts.site.listed)
    most = f'; the newest of that system is "{latest}"' if latest else ""
    return f"; nothing of that system and version is listed{most}"


@rule(
    "IMS510", Severity.ERROR, "min_disk is out of range",
    why="The service refuses the request (IMG.0055).",
    fix="Choose a size within the range of the site and the operating system.",
    source=f"{QUICK_IMPORT}: Linux 10 to 1024, Windows 20 to 1024; OTC, 2025-12-17: 1 to 1024",
)  # fmt: skip
def min_disk_range(facts: Facts) -> Iterator[Evidence]:
    """Check the range of the site; what only another site's page forbids is a warning."""
    value = int(given(facts, "min_disk"))
    request, site = facts.request, facts.site
    windows = request.is_windows
    smallest = site.min_disk_from(data_disk=request.is_data_disk, windows=windows)
    strict = huawei_min_disk(windows=windows)
    system = "Windows" if windows else "Linux"
    if not smallest <= value <= MAX_MIN_DISK:
        yield Evidence(
            f"min_disk {value} for {system} on {site.key}",
            expected=f"{smallest} to {MAX_MIN_DISK} GB",
            found=f"{value} GB",
            fix=f"{_enough(facts, facts.virtual_size or 0)}." if value < smallest else None,
        )
    elif value < strict:
        yield Evidence(
            f"{site.source} ({site.date}) allows {value} GB, the Huawei Cloud page (2024-08-09)"
            f" wants at least {strict} GB for {system}; the site's own page counts, as far as is"
            " known",
            expected=f"{strict} GB or more",
            found=f"{value} GB",
            title="min_disk is below what another site's page allows",
            why="Should the site hold to that page too, it refuses the request (IMG.0055).",
            fix=f"{_enough(facts, facts.virtual_size or 0)}, or try {value} GB as it is.",
            severity=Severity.WARNING,
        )


@rule(
    "IMS511", Severity.ERROR, "min_disk is smaller than the disk in the image",
    why="The import fails, or a disk made from the image lacks its end. The pages say that"
    " min_disk must be greater than the size of the image file (or of the disk in it).",
    fix="Raise min_disk.",
    source=f"{QUICK_IMPORT}: min_disk; OTC user guide, 2025-12-17: not less than the disk",
)  # fmt: skip
def min_disk_too_small(facts: Facts) -> Iterator[Evidence]:
    """Compare with the virtual size and the file size; equality is where the pages disagree."""
    value = int(given(facts, "min_disk"))
    if facts.virtual_size is None:
        raise UnknownError(f"the virtual size of a {facts.format} file is not read")
    sent = 0 if facts.to_be_packed else facts.file_size
    for what, size in (("disk", facts.virtual_size), ("file", sent)):
        if size > MAX_MIN_DISK * GIB:
            return  # IMS107 and IMS108 speak of what no min_disk can hold
        if value * GIB < size:
            yield Evidence(
                f"min_disk {value} is {value * GIB} bytes, {_has(facts, what, size)}",
                expected=f"{_least(facts, size)} to {MAX_MIN_DISK} GB", found=f"{value} GB",
                fix=f"{_enough(facts, size)}{_also_allowed(facts, size)}.",
            )  # fmt: skip
            return
    made = facts.packed_size
    if made is not None and value * GIB == made and not facts.request.is_data_disk:
        enough = value < MAX_MIN_DISK
        disk = "disk" if made == facts.virtual_size else "packed disk"
        yield Evidence(
            f"min_disk {value} is exactly the {disk}'s size: the console's table says \"not less"
            ' than", the API page says "greater than"',
            expected=f"{value + 1} GB to satisfy both" if enough else "a smaller disk",
            found=f"{value} GB",
            title="min_disk is exactly the size of the disk",
            fix=f"{_enough(facts, made)}, if the import is refused." if enough
            else f"If the import is refused, make the disk smaller: {MAX_MIN_DISK} GB is the most.",
            severity=Severity.WARNING,
        )  # fmt: skip


@rule(
    "IMS513", Severity.ERROR, "type is not a value that quick import knows",
    why="The service answers IMG.0024 or IMG.0117.",
    fix="Use ECS or BMS for a system disk, DataImage for a data disk.",
    source=f"{QUICK_IMPORT}: type",
)  # fmt: skip
def type_value(facts: Facts) -> Iterator[Evidence]:
    """Check the value of type."""
    yield from _choice(facts, "type", ("ECS", "BMS", DATA_IMAGE))


@rule(
    "IMS514", Severity.ERROR, "architecture is not a value that quick import knows",
    why="The service answers IMG.0212.",
    fix="Use x86 or arm.",
    source=f"{QUICK_IMPORT}: architecture",
)  # fmt: skip
def architecture_value(facts: Facts) -> Iterator[Evidence]:
    """Check the value of architecture."""
    yield from _choice(facts, "architecture", ("x86", "arm"))


@rule(
    "IMS515", Severity.ERROR, "hw_firmware_type is wrong, or does not go with the architecture",
    why="The service answers IMG.0141; an Arm server boots by UEFI only.",
    fix="Use bios or uefi; with architecture arm leave it out or use uefi.",
    source="OTC API reference, 2025-12-17: hw_firmware_type",
)  # fmt: skip
def firmware_value(facts: Facts) -> Iterator[Evidence]:
    """Check the value, alone and together with the architecture."""
    yield from _choice(facts, "hw_firmware_type", ("bios", "uefi"))
    if facts.request.architecture == "arm" and facts.request.hw_firmware_type == "bios":
        yield Evidence("arm boots by UEFI only", expected="uefi", found="bios")


@rule(
    "IMS516", Severity.ERROR, "license_type is wrong, or given for a system without a licence",
    why="The field is for Windows only; its values are platform and byol.",
    fix="Leave it out, or use platform or byol with a Windows os_version.",
    source=f"{QUICK_IMPORT}: license_type",
)  # fmt: skip
def license_value(facts: Facts) -> Iterator[Evidence]:
    """Check the value, and that the guest is Windows; where it is no parameter, IMS602 says so."""
    if "license_type" not in facts.site.fields:
        return
    yield from _choice(facts, "license_type", ("platform", "byol"))
    if not facts.request.is_windows:
        found = facts.request.os_version or facts.request.os_type or "no Windows os_version"
        yield Evidence("license_type is only for Windows", expected="a Windows image", found=found)


@rule(
    "IMS517", Severity.ERROR, "enterprise_project_id is neither 0 nor a UUID",
    why="The service answers IMG.0155.",
    fix="Use 0 for the default project, or the project's UUID.",
    source=f"{QUICK_IMPORT}: enterprise_project_id",
)  # fmt: skip
def enterprise_project(facts: Facts) -> Iterator[Evidence]:
    """Check the form of the id."""
    value = given(facts, "enterprise_project_id")
    if value in ("", "0"):
        return
    try:
        well_formed = str(uuid.UUID(value)) == value.lower()
    except ValueError:
        well_formed = False
    if not well_formed:
        yield Evidence(f"{value!r} is not a UUID", expected="0 or a UUID", found=value)


@rule(
    "IMS521", Severity.ERROR, "A field is given that the kind of image does not have",
    why="The API page lists it only for the other kind of image; what the service does with it is"
    " not documented.",
    fix="Leave the field out.",
    source=f"{QUICK_IMPORT}: the two tables of parameters",
)  # fmt: skip
def foreign_fields(facts: Facts) -> Iterator[Evidence]:
    """Look for fields of the other variant."""
    names: tuple[str, ...] = ("os_type",)
    if facts.request.is_data_disk:
        names = ("os_version", "architecture", "hw_firmware_type", "license_type")
    kind = "data disk" if facts.request.is_data_disk else "system disk"
    for name in names:
        if getattr(facts.request, name) not in (None, ""):
            yield Evidence(f"{name} is not a parameter of a {kind} image", found=name)


@rule(
    "IMS522", Severity.ERROR, "os_type is neither Linux nor Windows",
    why="The service answers IMG.0122.",
    fix="Use Linux or Windows.",
    source=f"{QUICK_IMPORT}: os_type of a data disk",
)  # fmt: skip
def os_type_value(facts: Facts) -> Iterator[Evidence]:
    """Check the value of os_type."""
    yield from _choice(facts, "os_type", ("Linux", "Windows"))


def _has(facts: Facts, what: str, size: int) -> str:
    """Write how large the disk or file is, and the disk before it is packed if that is another."""
    source = facts.source_size
    if what == "disk" and source not in (None, size):
        return f"the disk has {exact_size(source)}, and the ZVHD2 made of it {exact_size(size)}"
    return f"the {what} has {exact_size(size)}"


def _least(facts: Facts, size: int) -> int:
    """Return the smallest min_disk that holds `size` bytes and is in the site's range."""
    smallest = facts.site.min_disk_from(
        data_disk=facts.request.is_data_disk, windows=facts.request.is_windows
    )
    return max(ceil_div(size, GIB), smallest)


def _also_allowed(facts: Facts, size: int) -> str:
    """Return the smaller min_disk that one page allows, where another page asks for more."""
    least = _least(facts, size)
    all_pages = facts.site.min_disk_for(
        size, data_disk=facts.request.is_data_disk, windows=facts.request.is_windows
    )
    if least >= all_pages:
        return ""
    return f" (a page of {facts.site.key} allows {least})"


def _enough(facts: Facts, size: int) -> str:
    """Return the fix for `size` bytes: a value against which no rule has anything."""
    least = facts.site.min_disk_for(
        size, data_disk=facts.request.is_data_disk, windows=facts.request.is_windows
    )
    return f"Use min_disk {least}, which satisfies every page"


def _choice(facts: Facts, field: str, values: tuple[str, ...]) -> Iterator[Evidence]:
    value = given(facts, field)
    if value not in values:
        near = difflib.get_close_matches(value.lower(), [v.lower() for v in values], n=1)
        exact = next((v for v in values if near and v.lower() == near[0]), None)
        hint = f"; did you mean {exact}?" if exact else ""
        yield Evidence(f"{field} is {value!r}{hint}", expected=" or ".join(values), found=value)


def _odd(text: str, allowed: str) -> str:
    """Return the characters outside the class `allowed`, each once, so that they can be read."""
    return " ".join(repr(c) for c in dict.fromkeys(re.findall(f"[^{allowed}]", text)))
