"""The manifest: what it says of an import, and which import it is about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from imsprep.errors import (
    ReadError,
    UsageError,
)
from imsprep.image.file import Sharing
from imsprep.image.identity import Identity
from imsprep.pipeline import manifest
from imsprep.pipeline import manifest as manifests
from imsprep.pipeline.manifest import (
    DONE,
    STARTED,
    UPLOADED,
    Manifest,
    ManifestImage,
    SentObject,
)
from tests.support.image.treedigest import tree_digest
from tests.support.ims.imscloud import KEY, REQUEST, sha256
from tests.support.pipeline.import_place import Place, schema

IDENTITY = Identity(device=1, inode=2, size=512, mtime_ns=4, ctime_ns=5)
IMAGE = ManifestImage("disk.raw", 512, IDENTITY, 512)
BODY = {"name": "web01", "min_disk": 10}
SENT = SentObject("image", "disk.raw", "images", "disk.raw", 512, "e", None, 512)
MADE = Manifest(UPLOADED, IMAGE, (SENT,), BODY, "https://ims", times={UPLOADED: "t0"})


def test_what_is_written_is_read_in_every_state(tmp_path: Path) -> None:
    path = manifest.path_for(tmp_path / "disk.raw")
    started = replace(MADE, job_id="j", images_before=("old",)).at(STARTED, "t1")
    for one in (MADE, started, replace(started, image_id="i").at(DONE, "t2")):
        manifest.write(path, one)
        assert manifest.read(path) == one
    assert one.times == {UPLOADED: "t0", STARTED: "t1", DONE: "t2"}


@pytest.mark.parametrize("changes", [{"identity": replace(IDENTITY, device=9)}, {"data_bytes": 1}])
def test_it_is_about_the_same_file_on_another_mount_or_scanned_otherwise(
    changes: dict[str, Any],
) -> None:
    assert MADE.is_about(replace(IMAGE, **changes), BODY, "https://ims")


@pytest.mark.parametrize("member", ["inode", "size", "mtime_ns", "ctime_ns", "name"])
def test_it_is_not_about_another_file_or_another_state_of_it(member: str) -> None:
    if member == "name":
        image = replace(IMAGE, name="other.raw")
    else:
        image = replace(IMAGE, identity=replace(IDENTITY, **{member: 99}))
    assert not MADE.is_about(image, BODY, "https://ims")


def test_it_is_not_about_another_request_or_another_service() -> None:
    assert not MADE.is_about(IMAGE, {**BODY, "min_disk": 20}, "https://ims")
    assert not MADE.is_about(IMAGE, BODY, "https://other")


@pytest.mark.slow
def test_the_manifest_tells_it_all_and_fits_its_schema(place: Place) -> None:
    with place.emulator() as go:
        done = go()
    written = json.loads(done.manifest.read_text())
    jsonschema.validate(written, schema())
    assert done.manifest.name == "disk.imsprep.json"
    assert (written["state"], written["image_id"], written["job_id"]) == (
        "done",
        done.image_id,
        done.job_id,
    )
    assert written["request"] == REQUEST.as_body()
    for sent, path in zip(written["objects"], done.files, strict=True):
        assert sent["sha256"] == (sha256(path.read_bytes()) if path.suffix == ".mf" else None)
        assert sent["size"] == path.stat().st_size
    assert written["image"]["digest"] == tree_digest(place.prepared.image.read_bytes())
    assert list(written["times"]) == sorted(written["times"])
    assert KEY.secret_key not in done.manifest.read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 2}', '{"schema": 1}'])
def test_a_manifest_that_cannot_be_used_is_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "disk.imsprep.json"
    path.write_text(text)
    assert manifests.read(path) is None


def test_a_manifest_survives_writing_and_reading(tmp_path: Path) -> None:
    sent = SentObject("image", "disk.raw", "b", "k", 5, "e", None, 3)
    sharing = Sharing("unknown", "a network file system")
    mode = {"firmware": None, "from": None, "disk": ["bios"]}
    image = replace(IMAGE, sharing=sharing, boot_mode=mode, digest="tree1:0")
    made = Manifest("uploaded", image, (sent,), {"name": "x"}, "u", job_id="j").at("started", "t")
    path = tmp_path / "m.json"
    manifests.write(path, made)
    assert manifests.read(path) == made


# As version 0.9 wrote it; what it does not know of an image is left out.
_OLD = """{"earlier": [{"image": {"data_bytes": 3, "identity": {"ctime_ns": 5, "device": 1, "inode": 2,
"mtime_ns": 4, "size": 5}, "name": "disk.raw", "size": 5}, "image_id": "i0", "images_before": [],
"objects": [], "request": {"name": "old"}, "service": "u", "state": "done", "times": {}}],
"findings": [{"rule": "IMS102"}], "image": {"boot_mode": {"disk": ["bios"], "firmware": null,
"from": null}, "data_bytes": 3, "digest": "tree1:0", "identity": {"ctime_ns": 5, "device": 1,
"inode": 2, "mtime_ns": 4, "size": 5, "later": 6}, "name": "disk.raw", "sharing": {"why": "",
"writers": "none"}, "size": 5}, "images_before": [], "imsprep": "0.9", "job_id": "j", "objects":
[{"bucket": "b", "etag": "e", "file": "disk.raw", "key": "k", "role": "image", "sent": 3, "sha256":
null, "size": 5}], "request": {"name": "x"}, "schema": 1, "service": "u", "state": "started",
"times": {"started": "t"}}"""


def test_a_manifest_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.imsprep.json"
    path.write_text(_OLD)
    manifests.check_replaceable(path, tmp_path / "disk.raw")
    found = manifests.read(path)
    assert found is not None
    mode = {"disk": ["bios"], "firmware": None, "from": None}
    identity = Identity(device=1, inode=2, size=5, mtime_ns=4, ctime_ns=5)
    image = ManifestImage("disk.raw", 5, identity, 3, Sharing("none"), mode, "tree1:0")
    assert (found.image, found.job_id) == (image, "j")
    [earlier] = found.earlier
    assert (earlier.image, earlier.image_id) == (ManifestImage("disk.raw", 5, identity, 3), "i0")


@pytest.mark.parametrize(
    "change",
    [
        {"state": "odd"},
        {"state": 7},
        {"schema": 2},
        {"job_id": 5},
        {"job_id": None, "image_id": None, "state": "started"},
        {"image_id": None},
        {"objects": "none"},
        {"image": {"name": "disk.raw"}},
        {"image": {"name": "../disk.raw", "size": 1, "identity": {}}},
        {"request": []},
        None,
    ],
)
def test_a_damaged_manifest_makes_no_second_image(
    place: Place, change: dict[str, Any] | None
) -> None:
    path = place.folder / "local/disk.imsprep.json"
    with place.emulator() as go:
        go()
        whole = json.loads(path.read_text())
        del whole["checksum"]
        damaged = json.dumps({**whole, **change}) if change else "[" * 100_000
        path.write_text(damaged)
        with pytest.raises((ReadError, UsageError), match=r"disk\.imsprep\.json"):
            go()
        assert path.read_text() == damaged
        assert len(place.running.board.images()) == 1
    assert {o.key for o in place.store.list_objects()} == {"disk.raw", "disk.mf"}


@pytest.mark.parametrize(
    ("was", "is_now"),
    [('"min_disk": ', '"min_disk": 1'), ('"size": ', '"size": 1'), ('"mtime_ns": ', '"mtime_ns": 2'),
     ('"service": "', '"service": "x'), ('"state": "done"', '"state": "failed"'), ("}\n", "}\n}")],
)  # fmt: skip
def test_a_flipped_digit_of_a_manifest_makes_no_second_image(
    place: Place, was: str, is_now: str
) -> None:
    path = place.folder / "local/disk.imsprep.json"
    with place.emulator() as go:
        go()
        text = path.read_text()
        assert was in text
        path.write_text(text.replace(was, is_now, 1))
        with pytest.raises((ReadError, UsageError), match=r"look for (the|its) image"):
            go()
        assert len(place.running.board.images()) == 1
