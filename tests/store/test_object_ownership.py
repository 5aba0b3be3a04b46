"""Whose object is it: imsprep knows its own, and of which file each was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.store.contract import ObjectFacts
from imsprep.store.object_ownership import (
    OccupiedError,
    check_free,
    is_of_plan,
    marks,
    origin_of,
    why_not_ours,
)

MINE, THEIRS = origin_of(Path("/a/disk.raw")), origin_of(Path("/b/disk.raw"))


def found(metadata: dict[str, str]) -> ObjectFacts:
    return ObjectFacts("disk.raw", 7, "e", "STANDARD", None, metadata)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({}, "imsprep did not make it"),
        ({"x": "y"}, "imsprep did not make it"),
        (dict(marks("plan", MINE)), None),
        (dict(marks("plan", THEIRS)), "imsprep made it of another file"),
        ({"imsprep-plan": "of a version that noted no origin"}, None),
    ],
)
def test_only_objects_of_this_file_may_be_replaced(
    metadata: dict[str, str], why: str | None
) -> None:
    assert why_not_ours(found(metadata), MINE) == why
    if why is None:
        check_free(found(metadata), MINE)
    else:
        with pytest.raises(OccupiedError, match=why):
            check_free(found(metadata), MINE)
    check_free(found(metadata), MINE, replace=True)


def test_a_free_key_is_free() -> None:
    check_free(None, MINE)


def test_one_file_has_one_origin_by_whatever_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {origin_of(p) for p in (Path("d"), tmp_path / "d", tmp_path / "link/d")}
    assert len(names) == 1
    assert "tmp" not in names.pop()


@pytest.mark.parametrize(
    ("etag", "plan", "same"),
    [("e", "plan", True), ("e", "p", False), ("f", "plan", False)],
)
def test_an_object_is_of_a_plan_by_its_etag_and_its_mark(etag: str, plan: str, same: bool) -> None:
    assert is_of_plan(plan, etag, found(dict(marks("plan", MINE)))) is same
    assert not is_of_plan(plan, etag, found({}))
