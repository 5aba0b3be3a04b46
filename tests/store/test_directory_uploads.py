"""Unfinished uploads of a folder: kept, found and removed whole, whatever ends a process."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import ReadError, ServiceError
from imsprep.store.contract import ObjectRange, Part
from imsprep.store.directory import DirectoryStore
from imsprep.units import MIB
from tests.support.store.suite import md5


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "bucket")


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
        store.copy_part("k", upload_id, 1, ObjectRange("source", 0, 7))
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


@pytest.mark.parametrize("aborted", [True, False])
def test_a_part_that_goes_while_it_is_listed(
    aborted: bool, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = store.create("k", {})
    for number in (1, 2):
        store.upload_part("k", upload_id, number, b"old")
    glob, seen = Path.glob, []

    def listed(folder: Path, pattern: str) -> list[Path]:
        found = list(glob(folder, pattern))
        if not seen and pattern == "[0-9]*-*":
            seen.append(folder)
            if aborted:
                store.abort("k", upload_id)
            else:
                next(path for path in found if path.name.startswith("00002")).unlink()
        return found

    monkeypatch.setattr(Path, "glob", listed)
    if aborted:
        with pytest.raises(ServiceError):
            store.list_parts("k", upload_id)
    else:
        assert [part.number for part in store.list_parts("k", upload_id)] == [1]
    assert seen


def test_a_link_among_the_parts_is_none(store: DirectoryStore) -> None:
    upload_id = store.create("k", {})
    store.upload_part("k", upload_id, 1, b"part")
    (store.uploads / upload_id / "00002-0123").symlink_to("gone")
    assert [part.number for part in store.list_parts("k", upload_id)] == [1]


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
