"""Which images a query asks for."""

from __future__ import annotations

from typing import Any

import pytest

from imsprep.emulator.listing import MAX_LIMIT, select
from imsprep.emulator.validate import RefusedError

IMAGES: list[dict[str, Any]] = [
    {"id": f"i{n}", "name": name, "created_at": f"2026-01-0{n}", "updated_at": "", "status": "active",
     "min_disk": n, "disk_format": "zvhd2", "protected": n == 2, "tags": ["a.b"] if n == 1 else []}
    for n, name in enumerate(("web", "db", "mail"), 1)
]  # fmt: skip


def ids(*query: tuple[str, str]) -> list[object]:
    return [image["id"] for image in select(IMAGES, query)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ([], ["i3", "i2", "i1"]),
        ([("sort_key", "name"), ("sort_dir", "asc")], ["i2", "i3", "i1"]),
        ([("limit", "2")], ["i3", "i2"]),
        ([("limit", "99999999999")], ["i3", "i2", "i1"]),
        ([("marker", "i3")], ["i2", "i1"]),
        ([("marker", "i3"), ("limit", "1")], ["i2"]),
        ([("name", "db")], ["i2"]),
        ([("protected", "true")], ["i2"]),
        ([("tag", "a.b")], ["i1"]),
        ([("member_status", "accepted")], ["i3", "i2", "i1"]),
        ([("no_such_member", "x")], []),
    ],
)
def test_filters_order_and_pages(query: list[tuple[str, str]], found: list[str]) -> None:
    assert ids(*query) == found


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("limit", "-1", "IMG.0001"), ("limit", "²", "IMG.0001"), ("marker", "i9", "IMG.0144"),
        ("sort_key", "secret", "IMG.0001"), ("sort_dir", "up", "IMG.0001"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(name: str, value: str, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        ids((name, value))
    assert caught.value.code == code


def test_an_answer_has_at_most_so_many_images() -> None:
    many = [{**IMAGES[0], "id": f"{n:04}"} for n in range(MAX_LIMIT + 1)]
    assert len(select(many, [])) == MAX_LIMIT
