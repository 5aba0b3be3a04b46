"""An upload that broke off continues where it can, and says why where it cannot."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import ReadError, ServiceError, TransferError
from imsprep.image.file import Identity
from imsprep.units import MIB
from imsprep.upload.cleanup import remove_leftovers
from imsprep.upload.journal import UploadEntry
from imsprep.upload.plan import plan_plain
from tests.support.running import slow
from tests.support.upload_case import (
    ZERO_KEY,
    Case,
    Wrapped,
    broken_off,
)


@pytest.mark.parametrize("method", ["upload_part", "copy_part", "put", "complete", "list_parts", "create", "delete"])  # fmt: skip
@pytest.mark.parametrize("after", [0, slow(1), 2, slow(3)])
@pytest.mark.parametrize("acted", [False, True])
def test_broken_off_anywhere_it_continues_with_the_same_object(
    case: Case, method: str, after: int, acted: bool
) -> None:
    countdown = [after]

    def die(original: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        countdown[0] -= 1
        if countdown[0] < 0:
            if acted:
                original(*arguments, **options)
            raise KeyboardInterrupt
        return original(*arguments, **options)

    broken = Wrapped(case.store, **{method: die})
    try:
        first = case.upload(broken, jobs=1)
    except KeyboardInterrupt:
        first = None
    done = case.upload(jobs=1)
    assert case.content == case.path.read_bytes()
    if first is None and not done.skipped:
        assert done.sent + done.reused + done.copied == case.plan.size
    # The zero object is completed first, then what a part is assembled of.
    if (method, after) in (("complete", 2), ("list_parts", 1)):
        assert done.sent == 0
    assert not case.journal.path.exists()
    left = [o.key for o in case.store.list_objects() if o.key != "web/disk.raw"]
    assert left == []
    assert case.store.list_uploads() == []


def test_only_an_upload_that_can_be_of_the_killed_run_is_aborted(case: Case) -> None:
    """One that was begun and not noted: without a part, of that key, and of that time."""
    with_a_part = case.store.create("web/disk.raw", {})
    case.store.upload_part("web/disk.raw", with_a_part, 1, b"x")
    of_another_key = case.store.create("web/disk.raw.old", {})
    older = case.store.create("web/disk.raw", {})

    def die(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        original(key, *arguments)
        raise KeyboardInterrupt

    def listed(original: Callable[..., Any], *arguments: Any) -> Any:
        found = original(*arguments)
        return [
            u._replace(initiated="2020-01-01T00:00:00Z") if u.upload_id == older else u
            for u in found
        ]

    with pytest.raises(KeyboardInterrupt):
        case.upload(Wrapped(case.store, create=die))
    assert len(case.store.list_uploads()) == 4
    case.upload(Wrapped(case.store, list_uploads=listed))
    left = {upload.upload_id for upload in case.store.list_uploads()}
    assert left == {with_a_part, of_another_key, older}


def test_an_upload_whose_answer_was_lost_is_aborted(case: Case) -> None:
    lost = [True]

    def lose(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        upload_id = original(key, *arguments)
        if key == "web/disk.raw" and lost:
            lost.pop()
            raise TransferError("the line broke")
        return upload_id

    assert case.upload(Wrapped(case.store, create=lose)).retries == 1
    assert case.store.list_uploads() == []


def test_a_refusal_to_begin_leaves_no_journal(case: Case) -> None:
    def refuse(original: Callable[..., Any], *arguments: Any) -> Any:
        raise ServiceError("403 no right to write", code="AccessDenied")

    with pytest.raises(ServiceError, match="no right"):
        case.upload(Wrapped(case.store, create=refuse))
    assert not case.journal.path.exists()


def test_a_changed_image_starts_anew_and_says_why(case: Case) -> None:
    def die(original: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        case.upload(
            Wrapped(
                case.store, complete=lambda o, k, *a: die(o) if k == "web/disk.raw" else o(k, *a)
            )
        )
    with open(case.path, "r+b") as file:
        file.write(b"changed")
    done = case.upload()
    assert done.restarted == "the image changed since that upload was begun"
    assert case.content == case.path.read_bytes()
    assert case.store.list_uploads() == []


@pytest.mark.parametrize("room", [0, 1])
def test_a_journal_that_cannot_be_written_leaves_no_upload(
    case: Case, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Else its parts would be paid for, and nobody would know of them.

    It is written before the upload is begun and when its id is known.
    """
    sync, saved = os.fsync, []

    def full(descriptor: int) -> None:
        if "disk.raw.upload.json" in os.readlink(f"/proc/self/fd/{descriptor}"):
            saved.append(descriptor)
            if len(saved) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    store = Wrapped(case.store)
    with monkeypatch.context() as patch:
        patch.setattr("imsprep.system.atomic.os.fsync", full)
        with pytest.raises(ReadError, match="No space left on device; free some space"):
            case.upload(store)
    assert "upload_part" not in store.calls
    assert store.calls.count("create") == room
    assert case.store.list_uploads() == []
    left = {path.name for path in case.path.parent.iterdir()} - {"bucket"}
    assert left == {"disk.raw"} | ({"disk.raw.upload.json"} if room else set())
    assert case.upload().restarted is None


def test_an_upload_goes_on_after_another_mount_but_not_with_another_file(tmp_path: Path) -> None:
    identity = Identity(1, 2, 3, 4, 5)
    entry = UploadEntry("local:x", "k", "u", ZERO_KEY, "p", identity)
    assert entry.reason_against(replace(entry, identity=replace(identity, device=9))) is None
    for field in ("inode", "size", "mtime_ns", "ctime_ns"):
        other = replace(entry, identity=replace(identity, **{field: 9}))
        assert "changed" in str(entry.reason_against(other))
    for field, words in (("target", "'k' in local:x"), ("key", "'k' in local:x"), ("plan", "plan")):
        assert words in str(entry.reason_against(replace(entry, **{field: "other"})))


def test_a_refused_question_does_not_throw_away_what_was_sent(case: Case) -> None:
    broken_off(case)

    def refuse(original: Callable[..., Any], *arguments: Any) -> Any:
        raise ServiceError("403 the token expired", code="AccessDenied")

    with pytest.raises(ServiceError, match="expired"):
        case.upload(Wrapped(case.store, list_parts=refuse))
    assert case.upload().sent == 0


def test_another_plan_starts_anew_and_says_why(case: Case) -> None:
    def refuse(original: Callable[..., Any], *arguments: Any) -> Any:
        raise ServiceError("not today")

    with pytest.raises(ServiceError, match="not today"):
        case.upload(Wrapped(case.store, complete=refuse))
    case.plan = plan_plain(case.path.stat().st_size, part_size=11 * MIB)
    done = case.upload()
    assert done.restarted == "the plan of its parts is another one"
    assert (done.sent, done.reused) == (case.plan.size, 0)
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("method", ["upload_part", "copy_part", "list_parts", "complete"])
def test_aborted_by_somebody_else_it_ends_and_the_next_run_starts_anew(
    case: Case, method: str
) -> None:
    def abort(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key == "web/disk.raw":
            remove_leftovers(case.store, "", key=None)
        return original(key, *arguments)

    with pytest.raises(ServiceError):
        case.upload(Wrapped(case.store, **{method: abort}))
    assert case.store.head("web/disk.raw") is None
    done = case.upload()
    assert (
        done.restarted
        == "the store no longer has the upload: it was aborted or completed elsewhere"
    )
    assert case.content == case.path.read_bytes()
    assert [o.key for o in case.store.list_objects()] == ["web/disk.raw"]
    assert case.store.list_uploads() == []
