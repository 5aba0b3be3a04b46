from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import ReadError, ServiceError, TransferError
from imsprep.store.contract import ObjectRange
from imsprep.store.directory import DirectoryStore, key_part, safe_name
from imsprep.store.md5_of_zeros import zero_md5
from imsprep.system.sparse import copy_data, data_ranges, write_sparse
from imsprep.units import GIB, KIB, MIB
from tests.support.store.suite import StoreSuite, pattern


class TestDirectoryStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DirectoryStore:
        return DirectoryStore(tmp_path / "bucket")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "bucket")


@pytest.mark.parametrize("key", ["../out", "/etc/x", "a/../../out", ".uploads/x", "..", ".", "a//b", "a/"])  # fmt: skip
def test_no_key_leaves_the_folder(store: DirectoryStore, tmp_path: Path, key: str) -> None:
    store.put(key, b"x")
    assert store.read(key, 0, 9) == b"x"
    assert [o.key for o in store.list_objects()] == [key]
    assert [p.name for p in tmp_path.iterdir()] == ["bucket"]


def test_objects_are_listed_while_other_uploads_come_and_go(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/b", b"x")
    store.create("disk.raw", {})
    scandir, looked_at = os.scandir, []

    def watched(path: Any = ".") -> Any:
        looked_at.append(os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    assert [o.key for o in store.list_objects()] == ["a/b"]
    assert looked_at
    # What lies there belongs to other uploads and may vanish at any moment.
    assert not any(".uploads" in path for path in looked_at)


@given(st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=40))
def test_a_piece_of_a_key_is_kept_in_its_file_name(piece: str) -> None:
    name = safe_name(piece)
    assert key_part(name) == piece
    assert name
    assert not name.startswith(".")
    assert "/" not in name
    assert "\0" not in name


@pytest.mark.parametrize("key", ["", "x" * 1025])
def test_a_key_has_1_to_1024_bytes(store: DirectoryStore, key: str) -> None:
    with pytest.raises(ServiceError, match="1 to 1024"):
        store.put(key, b"x")


def test_a_key_cannot_be_a_folder_too(store: DirectoryStore) -> None:
    store.put("a", b"x")
    with pytest.raises(ServiceError, match="another key"):
        store.put("a/b", b"x")
    store.put("c/d", b"x")
    assert store.head("c") is None
    with pytest.raises(ServiceError, match="another key"):
        store.put("c", b"x")


@pytest.mark.slow
def test_a_terabyte_of_zeros_takes_no_space_and_no_time(store: DirectoryStore) -> None:
    (store.folder).mkdir()
    with open(store.folder / "zeros", "wb") as file:
        file.truncate(5 * GIB)
    upload_id = store.create("disk.raw", {})
    for number in range(1, 206):
        store.copy_part("disk.raw", upload_id, number, ObjectRange("zeros", 0, 5 * GIB))
    store.complete("disk.raw", upload_id, store.list_parts("disk.raw", upload_id))
    stat = os.stat(store.folder / "disk.raw")
    assert stat.st_size == 205 * 5 * GIB
    assert stat.st_blocks * 512 < MIB


@pytest.mark.parametrize(("content", "later_ns"), [(b"new", 1), (b"longer", 0)])
def test_a_file_put_there_by_hand_is_an_object(
    store: DirectoryStore, content: bytes, later_ns: int
) -> None:
    """What is known of the object before does not hold for it, by whatever it can be told."""
    etag = store.put("disk.raw", b"old", {"imsprep-plan": "p"})
    path = store.folder / "disk.raw"
    for _ in range(2):
        time_ns = path.stat().st_mtime_ns + later_ns
        path.write_bytes(content)
        os.utime(path, ns=(0, time_ns))
        facts = store.head("disk.raw")
        assert facts is not None
        assert (facts.size, facts.metadata, facts.upload_id) == (len(content), {}, None)
        assert facts.etag.endswith("-0")
        assert facts.etag != etag
        etag, content = facts.etag, content if later_ns else content * 2


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, ReadError), (errno.EACCES, ReadError), (errno.ESTALE, TransferError)],
)
def test_only_what_a_file_system_may_get_over_is_worth_another_try(
    store: DirectoryStore,
    number: int,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload_id = store.create("k", {})

    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("imsprep.store.directory.write_sparse", fail)
    with pytest.raises(error, match=os.strerror(number)):
        store.upload_part("k", upload_id, 1, b"x")


def test_a_large_part_is_never_held_whole(store: DirectoryStore) -> None:
    class Long:
        left = 64 * MIB

        def seek(self, offset: int) -> None:
            self.left = 64 * MIB

        def read(self, count: int = -1) -> bytes:
            assert 0 < count <= 4 * MIB
            count = min(count, self.left)
            self.left -= count
            return bytes(count)

    body: Any = Long()
    upload_id = store.create("k", {})
    assert store.upload_part("k", upload_id, 1, body, zero_md5(64 * MIB)) == zero_md5(64 * MIB)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 200 * KIB)), max_size=6))
def test_writing_and_copying_sparsely_keeps_every_byte(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[bool, int]]
) -> None:
    data = b"".join(
        pattern(size, i) if full else bytes(size) for i, (full, size) in enumerate(pieces)
    )
    folder = tmp_path_factory.mktemp("sparse")
    with open(folder / "a", "w+b") as a, open(folder / "b", "w+b") as b:
        cut = len(data) // 3
        assert write_sparse(a.fileno(), data[:cut]) == cut
        assert write_sparse(a.fileno(), data[cut:], cut) == len(data)
        assert os.pread(a.fileno(), len(data) + 1, 0) == data
        b.truncate(len(data))
        copy_data(a.fileno(), 0, b.fileno(), 0, len(data))
        assert os.pread(b.fileno(), len(data) + 1, 0) == data
        for start, stop in data_ranges(a.fileno(), 0, len(data)):
            assert start < stop <= len(data)
        assert [*data_ranges(a.fileno(), 0, len(data))] or not any(data)
