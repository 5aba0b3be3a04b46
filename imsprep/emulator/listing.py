"""Which images a query asks for: filters, order and pages, as "Querying Images" documents them."""

from __future__ import annotations

from collections.abc import Iterable

from imsprep.emulator.validate import RefusedError

MAX_LIMIT = 500  # images in one answer; the documents name no other default (inferred)
_SORTED_BY = ("name", "created_at", "updated_at", "status", "id", "min_disk", "disk_format")
# What a filter of the documents names otherwise than the image does, or what is not kept here.
_IGNORED = {"enterprise_project_id", "member_status", "flavor_id", "__whole_image"}


def select(
    images: list[dict[str, object]], query: Iterable[tuple[str, str]]
) -> list[dict[str, object]]:
    """Return the images that a query asks for, the newest first unless it says otherwise.

    A filter that no image of this emulator has matches none. Raises RefusedError for a limit, a
    marker or an order that cannot be.
    """
    limit, marker, key, direction = MAX_LIMIT, None, "created_at", "desc"
    for name, value in query:
        if name == "limit":
            limit = _limit(value)
        elif name == "marker":
            marker = value
        elif name == "sort_key":
            key = value
        elif name == "sort_dir":
            direction = value
        elif name == "tag":
            images = [image for image in images if value in _listed(image["tags"])]
        elif name not in _IGNORED:
            images = [image for image in images if _text(image.get(name)) == value]
    if key not in _SORTED_BY or direction not in ("asc", "desc"):
        raise RefusedError("IMG.0001", "sort_key or sort_dir is wrong.")
    images = sorted(images, key=lambda i: (str(i[key]), i["id"]), reverse=direction == "desc")
    return _after(images, marker)[:limit]


def _after(images: list[dict[str, object]], marker: str | None) -> list[dict[str, object]]:
    if marker is None:
        return images
    for at, image in enumerate(images):
        if image["id"] == marker:
            return images[at + 1 :]
    raise RefusedError("IMG.0144", "The marker is not an image of this list.")


def _limit(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise RefusedError("IMG.0001", "limit must be a number of images.")
    return min(int(value[:9]), MAX_LIMIT)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    """Return a member as it stands in a query: booleans are true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
