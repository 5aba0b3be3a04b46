"""The manifest: what it says of an import, and which import it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imsprep.pipeline import manifest
from imsprep.pipeline.manifest import DONE, STARTED, UPLOADED, Manifest, SentObject

IDENTITY = {"device": 1, "inode": 2, "size": 512, "mtime_ns": 4, "ctime_ns": 5}
IMAGE = {"name": "disk.raw", "size": 512, "data_bytes": 512, "identity": IDENTITY}
BODY = {"name": "web01", "min_disk": 10}
SENT = SentObject("image", "disk.raw", "images", "disk.raw", 512, "e", None, 512)
MADE = Manifest(UPLOADED, IMAGE, (SENT,), BODY, "https://ims", times={UPLOADED: "t0"})


def test_what_is_written_is_read_in_every_state(tmp_path: Path) -> None:
    path = manifest.path_for(tmp_path / "disk.raw")
    started = MADE.at(STARTED, "t1", job_id="j", images_before=("old",))
    for one in (MADE, started, started.at(DONE, "t2", image_id="i")):
        manifest.write(path, one)
        assert manifest.read(path) == one
    assert one.times == {UPLOADED: "t0", STARTED: "t1", DONE: "t2"}


@pytest.mark.parametrize("changes", [{"device": 9}, {"data_bytes": 1}])
def test_it_is_about_the_same_file_on_another_mount_or_scanned_otherwise(
    changes: dict[str, Any],
) -> None:
    image = {**IMAGE, **{k: v for k, v in changes.items() if k in IMAGE}}
    image["identity"] = {**IDENTITY, **{k: v for k, v in changes.items() if k in IDENTITY}}
    assert MADE.is_about(image, BODY, "https://ims")


@pytest.mark.parametrize("member", ["inode", "size", "mtime_ns", "ctime_ns", "name"])
def test_it_is_not_about_another_file_or_another_state_of_it(member: str) -> None:
    image = {**IMAGE, "name": "other.raw"} if member == "name" else dict(IMAGE)
    if member in IDENTITY:
        image["identity"] = {**IDENTITY, member: 99}
    assert not MADE.is_about(image, BODY, "https://ims")


def test_it_is_not_about_another_request_or_another_service() -> None:
    assert not MADE.is_about(IMAGE, {**BODY, "min_disk": 20}, "https://ims")
    assert not MADE.is_about(IMAGE, BODY, "https://other")
