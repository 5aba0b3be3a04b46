from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import ReadError, ServiceError, TransferError
from imsprep.store.contract import Part
from imsprep.store.directory import DirectoryStore, key_part, safe_name
from imsprep.store.md5_of_zeros import zero_md5
from imsprep.system.sparse import copy_data, data_ranges, write_sparse
from imsprep.units import GIB, KIB, MIB
from tests.support.store.suite import StoreSuite, md5, pattern


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
        store.copy_part("disk.raw", upload_id, number, "zeros", 0, 5 * GIB)
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


@pytest.mark.parametrize("fails", ["os.replace", "imsprep.store.directory.atomic.write_json"])
def test_a_completion_that_fails_leaves_the_old_object_and_the_parts(
    store: DirectoryStore, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("k", b"old", {"a": "b"})
    before = store.head("k")
    upload_id = store.create("k", {})
    etag = store.upload_part("k", upload_id, 1, b"new")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fails, full)
        with pytest.raises(ReadError, match="No space"):
            store.complete("k", upload_id, [Part(1, 3, etag)])
    assert store.read("k", 0, 9) == b"old"
    assert store.head("k") == before
    store.complete("k", upload_id, store.list_parts("k", upload_id))
    assert store.read("k", 0, 9) == b"new"
    store.delete("k")
    assert list(store.records.iterdir()) == []


@pytest.mark.parametrize("copied", [False, True])
def test_a_part_is_on_the_disk_before_it_has_its_name(
    store: DirectoryStore, copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name alone says what is in it, also to the next run."""
    store.put("source", b"content")
    upload_id = store.create("k", {})
    steps: list[bytes] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (steps.append(os.pread(file, 9, 0)), sync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (steps.append(b"named"), replace(*names)))
    if copied:
        store.copy_part("k", upload_id, 1, "source", 0, 7)
    else:
        store.upload_part("k", upload_id, 1, b"content")
    assert steps == [b"content", b"named"]


@pytest.mark.parametrize(("at", "left"), [("os.replace", b"old"), ("pathlib.Path.unlink", b"new")])
def test_killed_while_it_replaces_a_part_it_leaves_one_of_both(
    store: DirectoryStore, at: str, left: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = store.create("k", {})
    store.upload_part("k", upload_id, 1, b"old")
    (old,) = (store.uploads / upload_id).iterdir()
    os.utime(old, (0, 0))

    def killed(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(at, killed)
        with pytest.raises(KeyboardInterrupt):
            store.upload_part("k", upload_id, 1, b"new")
    parts = [Part(1, 3, md5(left))]
    assert store.list_parts("k", upload_id) == parts
    store.complete("k", upload_id, parts)
    assert store.read("k", 0, 9) == left


def test_an_upload_is_found_by_its_key_and_its_very_id(store: DirectoryStore) -> None:
    upload_id = store.create("k", {})
    for key, name in (("other", upload_id), ("k", f"../.uploads/{upload_id}"), ("k", "")):
        with pytest.raises(ServiceError) as refused:
            store.list_parts(key, name)
        assert refused.value.code == "NoSuchUpload"
        store.abort(key, name)
    assert store.list_parts("k", upload_id) == []


def test_an_upload_that_is_aborted_while_a_part_comes_is_gone(store: DirectoryStore) -> None:
    upload_id = store.create("k", {})

    class Body:
        def seek(self, offset: int) -> None:
            store.abort("k", upload_id)

        def read(self, count: int = -1) -> bytes:
            return b""

    body: Any = Body()
    with pytest.raises(ServiceError) as refused:
        store.upload_part("k", upload_id, 1, body)
    assert refused.value.code == "NoSuchUpload"


def test_a_part_is_taken_once(store: DirectoryStore) -> None:
    upload_id = store.create("k", {})
    parts = [Part(1, 5 * MIB, store.upload_part("k", upload_id, 1, bytes(5 * MIB)))]
    with pytest.raises(ServiceError, match="order"):
        store.complete("k", upload_id, parts * 2)


# Begins and aborts an upload in the folder argv[1], and dies before its argv[2]-th step.
KILLED = """
import os, sys
from pathlib import Path
from imsprep.store.directory import DirectoryStore
folder, left = Path(sys.argv[1]), int(sys.argv[2])
def step(event, arguments):
    global left
    left -= event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
    if not left:
        os._exit(9)
store = DirectoryStore(folder)
sys.addaudithook(step)
upload_id = store.create("k", {})
store.upload_part("k", upload_id, 1, b"part")
store.abort("k", upload_id)
"""


@pytest.mark.slow
def test_wherever_a_process_is_killed_what_is_left_of_an_upload_is_listed_and_can_be_removed(
    tmp_path: Path,
) -> None:
    for number in range(1, 100):
        folder = tmp_path / str(number)
        code = subprocess.run([sys.executable, "-c", KILLED, folder, str(number)]).returncode
        uploads, store = folder / ".uploads", DirectoryStore(folder)
        held = [path for path in uploads.glob("*") if path.suffix != ".part"]
        listed = store.list_uploads()
        assert {path.stem for path in held} == {upload.upload_id for upload in listed}
        for upload in listed:
            store.abort(upload.key, upload.upload_id)
        assert [path for path in uploads.glob("*") if path.suffix != ".part"] == []
        if code == 0:
            break
        assert code == 9
    assert 10 < number < 99


def test_an_upload_whose_removal_was_interrupted_is_unknown_but_for_removing(
    store: DirectoryStore,
) -> None:
    upload_id = store.create("k", {})
    (store.uploads / upload_id).rmdir()
    for step in (
        lambda: store.upload_part("k", upload_id, 1, b"x"),
        lambda: store.list_parts("k", upload_id),
        lambda: store.complete("k", upload_id, [Part(1, 1, md5(b"x"))]),
    ):
        with pytest.raises(ServiceError) as refused:
            step()
        assert refused.value.code == "NoSuchUpload"


def test_a_part_that_comes_while_an_upload_is_removed_does_not_keep_it(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = store.create("k", {})
    rmdir = os.rmdir

    def late(*arguments: Any, **options: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            (store.uploads / upload_id / ".2.late").write_bytes(b"x")
        rmdir(*arguments, **options)

    monkeypatch.setattr(os, "rmdir", late)
    store.abort("k", upload_id)
    assert store.list_uploads() == []
    assert list(store.uploads.iterdir()) == []


def test_an_upload_stays_listed_while_a_part_of_it_cannot_be_removed(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = store.create("k", {})

    def not_empty(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    with monkeypatch.context() as patch:
        # As when another process makes a part in a folder that was just listed to be removed.
        patch.setattr(os, "rmdir", not_empty)
        store.abort("k", upload_id)
    assert [upload.upload_id for upload in store.list_uploads()] == [upload_id]
    store.abort("k", upload_id)
    assert store.list_uploads() == list(store.uploads.iterdir()) == []


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
