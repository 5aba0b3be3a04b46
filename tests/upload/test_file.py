"""From a file to an object: where it is empty, nothing is sent, and nothing foreign is replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import UsageError
from imsprep.options import UploadOptions
from imsprep.store.directory import DirectoryStore
from imsprep.store.object_ownership import OccupiedError
from imsprep.store.target import Bucket, parse_target
from imsprep.units import MIB
from imsprep.upload.file import plan_file, send_file
from imsprep.upload.plan import PartPlan


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """16 MiB, of which the first and the last are data."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.write(b"a" * MIB)
        file.truncate(15 * MIB)
        file.seek(15 * MIB)
        file.write(b"z" * MIB)
    return path


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    target = parse_target(f"local:{tmp_path}/cloud")
    return Bucket(target, DirectoryStore(tmp_path / "cloud" / "images"))


class Watch:
    """Follows an upload."""

    def __init__(self) -> None:
        self.plan: PartPlan | None = None
        self.bytes = 0

    @contextlib.contextmanager
    def __call__(self, plan: PartPlan) -> Iterator[Any]:
        self.plan = plan

        def count(*, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
            self.bytes += sent + copied + reused

        yield count


def test_a_file_becomes_the_same_object_and_its_zeros_are_copied(
    image: Path, bucket: Bucket
) -> None:
    watch = Watch()
    done = send_file(image, bucket, UploadOptions(), watch)
    assert bucket.store.read("disk.raw", 0, 17 * MIB) == image.read_bytes()
    assert watch.plan == plan_file(image, UploadOptions())
    assert watch.bytes == 16 * MIB == done.sent + done.copied
    assert done.copied > 0


def test_without_copies_all_of_it_travels_under_the_key_that_was_asked_for(
    image: Path, bucket: Bucket
) -> None:
    options = UploadOptions(copy_zeros=False, key="web/a.raw")
    done = send_file(image, bucket, options, Watch())
    assert (done.key, done.sent, done.copied) == ("web/a.raw", 16 * MIB, 0)
    assert plan_file(image, options).copied == 0


def test_a_foreign_object_is_found_before_the_scan(
    image: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.store.put("disk.raw", b"foreign")
    monkeypatch.setattr("imsprep.upload.file.scan", lambda *_: pytest.fail("it was scanned"))
    with pytest.raises(OccupiedError, match="imsprep did not make it"):
        send_file(image, bucket, UploadOptions(), Watch())
    monkeypatch.undo()
    send_file(image, bucket, UploadOptions(replace=True), Watch())
    assert bucket.store.read("disk.raw", 0, 4) == b"aaaa"


def test_an_object_is_never_the_file_itself(tmp_path: Path, bucket: Bucket) -> None:
    inside = tmp_path / "cloud" / "images" / "disk.raw"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"data" * 1024)
    with pytest.raises(UsageError, match="itself"):
        send_file(inside, bucket, UploadOptions(), Watch())
    assert inside.read_bytes() == b"data" * 1024
