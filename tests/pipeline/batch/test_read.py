"""A plan is read whole: all its mistakes at once, and nothing that two images would share."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.errors import ReadError, UsageError
from imsprep.options import ImportOptions
from imsprep.pipeline.batch.read import read_entries

BASE = ImportOptions(to="", site="otc")


def plan(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text)
    return path


def test_entries_have_absolute_paths_and_the_plan_s_own_names(tmp_path: Path) -> None:
    text = "images:\n- image: a/disk.raw\n  name: one\n  to: local:cloud\n"
    (entry,) = read_entries(plan(tmp_path, text), BASE)
    assert (entry.image, entry.shown, entry.name) == (f"{tmp_path}/a/disk.raw", "a/disk.raw", "one")
    assert entry.options.to == f"local:{tmp_path}/cloud"


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    text = (
        "images:\n- image: 1.raw\n  name: one\n  to: ftp:x\n- image: 2.raw\n  name: two\n"
        "  to: local:cloud\n  site: moon\n- image: 3.raw\n  to: local:cloud\n"
    )
    with pytest.raises(UsageError) as told:
        read_entries(plan(tmp_path, text), BASE)
    said = str(told.value)
    assert "1.raw: cannot upload to 'ftp:x'" in said
    assert "2.raw: unknown site 'moon'" in said
    assert "3.raw: it needs a 'name'" in said


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("image: 1.raw\n  name: n", "image: 2.raw\n  name: n", "the name"),
        ("image: 1.raw\n  name: a", "image: 1.raw\n  name: b", "the image"),
        ("image: 1.raw\n  name: a", "image: 1.qcow2\n  name: b", "the manifest"),
        ("image: x/1.raw\n  name: a", "image: y/1.raw\n  name: b", "the object"),
    ],
)
def test_two_images_share_nothing(tmp_path: Path, first: str, second: str, shared: str) -> None:
    text = f"defaults:\n  to: local:cloud\nimages:\n- {first}\n- {second}\n"
    with pytest.raises(UsageError, match=shared):
        read_entries(plan(tmp_path, text), BASE)


def test_what_is_no_plan_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    with pytest.raises(ReadError, match="No such file"):
        read_entries(path, BASE)
    path.write_bytes(b"images: \xff")
    with pytest.raises(UsageError, match="byte 8 is not UTF-8"):
        read_entries(path, BASE)
    with path.open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(UsageError, match="is not a plan: it has"):
        read_entries(path, BASE)
