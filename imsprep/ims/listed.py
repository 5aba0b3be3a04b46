"""What the service lists: images, values of `os_version`, the quota, read from its answers.

Read leniently: an entry that is not as documented counts as none. But what is no list at all is
not taken for an empty one, which would hide an image that is there; then None is returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class CloudImage(NamedTuple):
    """An image as the service lists it."""

    image_id: str
    name: str
    status: str  # queued, saving, active, killed, deleted
    origin: str | None  # `file,bucket:key` if it was made from an object


def images(body: object, name: str) -> list[CloudImage] | None:
    """Return the images of exactly this name; None if the answer is no list of images."""
    if not isinstance(body, Mapping) or "images" not in body:
        return None
    listed = body["images"]
    if listed is None:  # an empty list in some languages
        return []
    if not isinstance(listed, list):
        return None
    found = []
    for entry in _mappings(listed):
        image_id, origin = entry.get("id"), entry.get("__data_origin")
        if (
            entry.get("name") == name
            and isinstance(image_id, str)
            and image_id
            and image_id.isprintable()
        ):
            origin = origin if isinstance(origin, str) else None
            found.append(CloudImage(image_id, name, str(entry.get("status")), origin))
    return found


def os_versions(body: object) -> list[str]:
    """Return the values of `os_version`, in the order of the answer."""
    groups = _mappings(body)
    values = (v.get("os_version") for g in groups for v in _mappings(g.get("version_list")))
    return [value for value in values if isinstance(value, str) and value]


def image_quota(body: object) -> tuple[int, int] | None:
    """Return how many private images there are and how many there may be.

    None where that is not given as two numbers; OpenStack's services write -1 for no limit.
    """
    quotas = body.get("quotas") if isinstance(body, Mapping) else None
    resources = quotas.get("resources") if isinstance(quotas, Mapping) else None
    for resource in _mappings(resources):
        used, limit = _count(resource.get("used")), _count(resource.get("quota"))
        if resource.get("type") == "image" and used is not None and limit is not None:
            return used, limit
    return None


def project_ids(body: object) -> list[str]:
    """Return the ids of the projects in an answer of IAM."""
    listed = body.get("projects") if isinstance(body, Mapping) else None
    ids = (project.get("id") for project in _mappings(listed))
    return [value for value in ids if isinstance(value, str) and value]


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    """Yield the objects of a list; nothing for what is no list."""
    yield from (entry for entry in (value if isinstance(value, list) else ())
                if isinstance(entry, Mapping))  # fmt: skip


def _count(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return value
