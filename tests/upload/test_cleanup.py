"""What is found of uploads that never ended, and what is removed of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.store.directory import DirectoryStore
from imsprep.upload.cleanup import find_leftovers, remove_leftovers
from imsprep.upload.journal import ZEROS

ZERO = ZEROS + "0" * 32
FOREIGN = (f"{ZEROS}readme", f"{ZERO}0", f"{ZERO}-x", f"{ZERO}-7.raw", f"{ZEROS}{'g' * 32}")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """A bucket with uploads of two keys, zero objects of both kinds, and others' objects."""
    store = DirectoryStore(tmp_path / "bucket")
    store.create("web/disk.raw", {})
    store.create("other.raw", {})
    store.create(f"{ZERO}-7", {})  # growing
    store.create(f"{ZERO}-7x", {})
    store.put(ZERO, bytes(8))
    for key in (*FOREIGN, "web/disk.mf"):
        store.put(key, b"x")
    return store


def test_only_what_imsprep_named_is_found(store: DirectoryStore, tmp_path: Path) -> None:
    part = tmp_path / ".disk.zvhd2.1a2b3c4d.part"
    part.write_text("half a container")
    found = find_leftovers(store, "", [tmp_path])
    assert sorted(upload.key for upload in found.uploads) == ["other.raw", "web/disk.raw"]
    assert found.zero_keys == (ZERO, f"{ZERO}-7")
    said = found.as_dict()
    assert said["zero_objects"] == [ZERO, f"{ZERO}-7"]
    assert [one.key for one in find_leftovers(store, "web/").uploads] == ["web/disk.raw"]


def test_one_key_is_removed_alone(store: DirectoryStore) -> None:
    gone = remove_leftovers(store, "", key="other.raw")
    assert [upload.key for upload in gone.uploads] == ["other.raw"]
    assert gone.zero_keys == ()
    left = find_leftovers(store, "")
    assert [upload.key for upload in left.uploads] == ["web/disk.raw"]
    assert left.zero_keys == (ZERO, f"{ZERO}-7")


def test_all_is_removed_but_what_others_put_there(store: DirectoryStore) -> None:
    remove_leftovers(store, "", key=None)
    left = find_leftovers(store, "")
    assert (left.uploads, left.zero_keys) == ((), ())
    assert [upload.key for upload in store.list_uploads("")] == [f"{ZERO}-7x"]
    assert {found.key for found in store.list_objects()} == {*FOREIGN, "web/disk.mf"}
