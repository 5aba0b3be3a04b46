"""What is learned of a bucket, and that a refusal is a fact and no error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import ServiceError, TransferError
from imsprep.store.bucket import BucketQuestion, look_at_bucket, without_upload
from imsprep.store.directory import DirectoryStore
from imsprep.store.object_ownership import marks, origin_of
from tests.support.upload.case import Wrapped

MINE, THEIRS = origin_of(Path("/images/disk.raw")), origin_of(Path("/images/other.raw"))


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    (tmp_path / "images").mkdir()
    return DirectoryStore(tmp_path / "images")


def refused(*_: Any, **__: Any) -> Any:
    raise ServiceError("AccessDenied: no")


def test_an_empty_bucket_has_nothing_to_say(store: DirectoryStore) -> None:
    found = look_at_bucket(store, BucketQuestion("images", "disk.raw", region="eu-de"))
    assert (found.refusal, found.object, found.strangers, found.unfinished) == (None, None, {}, 0)
    assert (found.storage_class, found.asked_region, found.may_write) == ("STANDARD", "eu-de", None)


def test_objects_of_another_file_are_strangers_under_every_key(store: DirectoryStore) -> None:
    store.put("disk.raw", b"x", marks("plan", MINE))
    store.put("disk.mf", b"y", marks("plan", THEIRS))
    question = BucketQuestion("images", "disk.raw", more_keys=["disk.mf"], origin=MINE)
    found = look_at_bucket(store, question)
    assert found.object is not None
    assert found.object.size == 1
    assert found.strangers == {"disk.mf": "imsprep made it of another file"}
    unasked = look_at_bucket(store, BucketQuestion("images", "disk.raw", more_keys=["disk.mf"]))
    assert unasked.strangers == {}, "without an origin nobody asks whose they are"


def test_unfinished_uploads_are_those_of_this_very_key(store: DirectoryStore) -> None:
    ids = {store.create("disk.raw", {}) for _ in range(2)}
    store.create("disk.raw.bak", {})
    found = look_at_bucket(store, BucketQuestion("images", "disk.raw"))
    assert (found.unfinished, set(found.upload_ids)) == (2, ids)
    first, second = found.upload_ids
    left = without_upload(found, first)
    assert (left.unfinished, left.upload_ids) == (1, (second,))
    assert without_upload(left, first) is left


def test_writing_is_tried_only_if_asked_and_leaves_nothing(store: DirectoryStore) -> None:
    question = BucketQuestion("images", "disk.raw", try_write=True)
    assert look_at_bucket(store, question).may_write is True
    assert store.list_uploads() == []
    assert store.list_objects() == []
    no = look_at_bucket(Wrapped(store, create=refused), question)
    assert (no.may_write, no.write_refusal) == (False, "AccessDenied: no")

    def silent(*_: Any) -> Any:
        raise TransferError("the connection broke")

    unknown = look_at_bucket(Wrapped(store, create=silent), question)
    assert (unknown.may_write, unknown.write_refusal) == (None, "the connection broke")


def test_a_refusal_is_a_fact_and_an_error_only_if_asked_for(store: DirectoryStore) -> None:
    question = BucketQuestion("images", "disk.raw")
    found = look_at_bucket(Wrapped(store, head=refused), question)
    assert found.refusal == "AccessDenied: no"
    with pytest.raises(ServiceError, match="AccessDenied"):
        look_at_bucket(Wrapped(store, head=refused), question, strict=True)
    listed = look_at_bucket(Wrapped(store, list_uploads=refused), question, strict=True)
    assert (listed.unfinished, listed.unfinished_refusal) == (None, "AccessDenied: no")
