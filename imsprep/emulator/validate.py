"""Check the body of a quick import as the service's documents say, and answer with their codes.

Written from the documents and apart from `checks.rules.request`, so that each is a test of the
other. Which code stands for which fault is documented for most; where nothing states it, the choice
is ours and marked "inferred". Unknown keys are accepted: no document speaks of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from imsprep.cloud.os_names import is_well_formed, named, near
from imsprep.cloud.sites import Site
from imsprep.ims.error_codes import CODES

MAX_NAME = 128
MAX_DESCRIPTION = 1024
MAX_TAGS = 10
MAX_TAG_KEY = 36
MAX_TAG_VALUE = 43
MAX_KEY_BYTES = 1024  # OBS: the key of an object, in UTF-8
MAX_DISK_GIB = 1024  # every site and variant

_HAN = "\u4e00-\u9fff"  # sites that document it take Chinese characters in names and tags
_NAME = r"[A-Za-z0-9\-._ {han}]+"
_TAG_KEY = r"[A-Za-z0-9_\-{han}]+"
_TAG_VALUE = r"[A-Za-z0-9_.\-{han}]*"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

TYPES = {
    "name": str,
    "description": str,
    "os_version": str,
    "os_type": str,
    "image_url": str,
    "min_disk": int,
    "type": str,
    "license_type": str,
    "enterprise_project_id": str,
    "architecture": str,
    "hw_firmware_type": str,
    "tags": list,
    "image_tags": list,
}


class Body(TypedDict, total=False):
    """The body of a quick import that was checked."""

    name: str | None
    description: str | None
    os_version: str | None
    os_type: str | None
    image_url: str | None
    min_disk: int | None
    type: str | None
    license_type: str | None
    enterprise_project_id: str | None
    architecture: str | None
    hw_firmware_type: str | None
    tags: list[str] | None
    image_tags: list[dict[str, str]] | None


class RefusedError(Exception):
    """The service says no: an IMG code, its message, and the HTTP status."""

    def __init__(self, code: str, detail: str = "", *, status: int = 400) -> None:
        self.code, self.status = code, status
        known = CODES[code].meaning if code in CODES else ""
        self.message = f"{known} {detail}".strip()
        super().__init__(f"{code} {self.message}")


def check_body(body: object, site: Site, *, any_os_version: bool = False) -> Body:
    """Return a body; raise RefusedError with its first fault, by what `site` documents.

    `any_os_version` takes well-formed values that are not on the site's list, which ages.
    """
    if not isinstance(body, Mapping):
        raise RefusedError("IMG.0001", "A JSON object is expected.")
    if not body:
        raise RefusedError("IMG.0007")
    for name, kind in TYPES.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise RefusedError("IMG.0001", f"{name} has the wrong type.")
    typed = cast(Body, body)
    _check_name(typed, site)
    _check_kind(typed, site, any_os_version)
    _check_min_disk(typed, site)
    _check_tags(typed.get("tags") or (), typed.get("image_tags") or (), site)
    split_image_url(typed.get("image_url"))
    return typed


def is_data_disk(body: Mapping[str, object]) -> bool:
    """Return whether the body asks for a data disk image."""
    return body.get("type") == "DataImage"


def os_type_of(body: Body) -> str:
    """Return Linux or Windows: as given for a data disk, by the OS version for a system disk."""
    if is_data_disk(body):
        return body.get("os_type") or "Linux"
    return "Windows" if str(body.get("os_version")).startswith("Windows") else "Linux"


def split_image_url(value: object) -> tuple[str, str]:
    """Return bucket and key of `bucket:key`, or raise RefusedError."""
    if not isinstance(value, str) or ":" not in value or "://" in value:
        raise RefusedError("IMG.0017")
    bucket, _, key = value.partition(":")
    if not bucket:
        raise RefusedError("IMG.0068")
    dots = any(pair in bucket for pair in ("..", ".-", "-."))
    if not _BUCKET.fullmatch(bucket) or dots or re.fullmatch(r"\d+(\.\d+){3}", bucket):
        raise RefusedError("IMG.0109")
    if any(c.isspace() for c in key):
        raise RefusedError("IMG.0175")
    if not key or not _is_text(key) or len(key.encode()) > MAX_KEY_BYTES:
        raise RefusedError("IMG.0017")
    return bucket, key


def _is_text(value: str) -> bool:
    """Return whether a string can be written as UTF-8; JSON may hold half a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fits(pattern: str, text: str, site: Site) -> bool:
    """Return whether a text is of the alphabet that the site documents."""
    return re.fullmatch(pattern.format(han=_HAN if site.chinese_names else ""), text) is not None


def _check_name(body: Body, site: Site) -> None:
    name, description = body.get("name"), body.get("description") or ""
    if not name:
        raise RefusedError("IMG.0013")
    if len(name) > MAX_NAME:
        raise RefusedError("IMG.0002")
    if name != name.strip(" ") or not _fits(_NAME, name, site):
        raise RefusedError("IMG.0003")
    if len(description) > MAX_DESCRIPTION:
        raise RefusedError("IMG.0004")
    if any(c in description for c in "\r\n<>") or not _is_text(description):
        raise RefusedError("IMG.0054")


def _check_kind(body: Body, site: Site, any_os_version: bool) -> None:
    huawei = site.key.startswith("huawei")
    kind = body.get("type")
    if kind is not None and kind not in ("ECS", "BMS", "DataImage"):
        raise RefusedError("IMG.0157" if huawei else "IMG.0024")
    if body.get("os_type") not in (None, "Linux", "Windows"):
        raise RefusedError("IMG.0122")
    if is_data_disk(body):
        pass
    elif not (version := body.get("os_version")):
        # Huawei Cloud has a code for it; for the others it is a value that is not on the list.
        raise RefusedError("IMG.0159" if huawei else "IMG.0056")
    elif version not in site.listed:
        _check_unlisted(version, site, any_os_version=any_os_version)
    _check_foreign(body)
    _check_boot(body)
    if huawei:  # on the other sites it is no parameter
        _check_licence(body)


def _check_unlisted(value: str, site: Site, *, any_os_version: bool) -> None:
    """Refuse a value that no list has, unless any value of their form is to be taken."""
    if any_os_version and is_well_formed(value):
        return
    like = near(value, site.listed)
    hint = f"Listed of that system and version: {named(like)}." if like else ""
    if any_os_version:
        hint = f"A name and 64bit or 32bit are expected. {hint}".rstrip()
    raise RefusedError("IMG.0056", hint)


def _check_foreign(body: Mapping[str, object]) -> None:
    """Refuse a parameter of the other table; the code is inferred, and so is that "" is none.

    The Go SDK sends an empty os_version with every data disk.
    """
    names: tuple[str, ...] = ("os_type",)
    if is_data_disk(body):
        names = ("os_version", "architecture", "hw_firmware_type", "license_type")
    for name in names:
        if body.get(name) not in (None, ""):
            raise RefusedError("IMG.0001", f"{name} is not a parameter of this kind of image.")


def _check_boot(body: Body) -> None:
    if body.get("architecture") not in (None, "x86", "arm"):
        raise RefusedError("IMG.0212")
    firmware = body.get("hw_firmware_type")
    if firmware not in (None, "bios", "uefi"):
        raise RefusedError("IMG.0141")
    if body.get("architecture") == "arm" and firmware == "bios":
        raise RefusedError("IMG.0141", "An Arm image boots by UEFI only.")  # code inferred
    project = body.get("enterprise_project_id")
    if project and project != "0" and not _UUID.fullmatch(project):
        raise RefusedError("IMG.0155")


def _check_licence(body: Body) -> None:
    licence = body.get("license_type")
    if licence is not None and (
        licence not in ("platform", "byol") or os_type_of(body) != "Windows"
    ):
        raise RefusedError(
            "IMG.0001", "license_type is platform or byol, for Windows."
        )  # code inferred


def _check_min_disk(body: Body, site: Site) -> None:
    size = body.get("min_disk")
    windows = os_type_of(body) == "Windows"
    least = site.min_disk_from(data_disk=is_data_disk(body), windows=windows)
    if size is None or not least <= size <= MAX_DISK_GIB:
        raise RefusedError(
            "IMG.0055", f"min_disk is {least} to {MAX_DISK_GIB} GB."
        )  # code inferred


def _check_tags(tags: Sequence[object], image_tags: Sequence[object], site: Site) -> None:
    if tags and image_tags:
        raise RefusedError("IMG.0115", "Set either tags or image_tags.")  # code inferred
    pairs: list[tuple[str, str]] = []
    for tag in tags:
        if not isinstance(tag, str):
            raise RefusedError("IMG.0001", "A tag is a string.")
        pairs.append(tag.partition(".")[::2])
    for tag in image_tags:
        if not isinstance(tag, Mapping) or not all(
            isinstance(tag.get(k), str) for k in ("key", "value")
        ):
            raise RefusedError("IMG.0001", "An image tag is an object with key and value.")
        # "Spaces at the edges are deleted by the system" (OTC, image tag format).
        pairs.append((tag["key"].strip(" "), tag["value"].strip(" ")))
    if len(pairs) > MAX_TAGS:
        raise RefusedError("IMG.0116")
    for key, value in pairs:
        fits = len(key) <= MAX_TAG_KEY and len(value) <= MAX_TAG_VALUE
        if not fits or not _fits(_TAG_KEY, key, site) or not _fits(_TAG_VALUE, value, site):
            raise RefusedError("IMG.0115")
    if len({key for key, _ in pairs}) != len(pairs):
        raise RefusedError("IMG.0115", "A tag key may be given once.")
