"""An upload that broke off continues where it can, and says why where it cannot."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import ReadError, ServiceError, TransferError
from imsprep.image.identity import Identity
from imsprep.store.directory import DirectoryStore
from imsprep.store.retry import RetryingStore, RetryPolicy
from imsprep.units import MIB
from imsprep.upload.cleanup import remove_leftovers
from imsprep.upload.journal import Journal, UploadEntry
from imsprep.upload.plan import plan_plain
from imsprep.upload.resume import ABORTED_ELSEWHERE, abort, begin, uploaded_before
from tests.support.running import slow
from tests.support.upload.case import (
    ZERO_KEY,
    Case,
    Wrapped,
    broken_off,
)

FRESH = UploadEntry("a bucket", "web/disk.raw", "", ZERO_KEY, "p", Identity(1, 2, 3, 4, 5))


@pytest.fixture
def bucket(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "bucket")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.for_file(tmp_path / "disk.raw")


def retrying(bucket: Any, **methods: Callable[..., Any]) -> RetryingStore:
    return RetryingStore(Wrapped(bucket, **methods), RetryPolicy(limit_s=5, first_wait_s=0.0))


def refuse(*arguments: Any) -> Any:
    raise ServiceError("403 no right", code="AccessDenied")


def ids(bucket: DirectoryStore) -> set[str]:
    return {upload.upload_id for upload in bucket.list_uploads()}


def test_an_upload_is_noted_before_it_is_begun_and_again_with_its_id(
    bucket: DirectoryStore, journal: Journal
) -> None:
    noted: list[UploadEntry | None] = []

    def create(original: Callable[..., str], *arguments: Any) -> str:
        noted.append(journal.load())
        return original(*arguments)

    before = int(time.time())
    other = bucket.create(FRESH.key, {})  # of another machine: it is not ours to abort
    prepared: list[UploadEntry] = []
    entry = begin(retrying(bucket, create=create), journal, FRESH, {"a": "b"}, prepared.append)
    (promise,) = noted
    assert promise is not None
    assert promise.upload_id == ""
    assert before <= promise.begun_at <= time.time()
    assert prepared == [entry] == [replace(FRESH, upload_id=entry.upload_id)]
    assert journal.load() == entry.sealed()
    assert ids(bucket) == {other, entry.upload_id}


@pytest.mark.parametrize(("apart_s", "ours"), [
    (0, True), (900, True), (-900, True), (901, False), (-901, False), (None, False),
])  # fmt: skip
def test_an_upload_is_of_a_note_if_it_was_begun_within_a_quarter_of_an_hour_of_it(
    bucket: DirectoryStore, apart_s: int | None, ours: bool
) -> None:
    promised = replace(FRESH, begun_at=1_700_000_000)
    moment = ""  # a store that does not say when
    if apart_s is not None:
        moment = datetime.fromtimestamp(promised.begun_at + apart_s, UTC).isoformat()

    def listed(original: Callable[..., Any], *arguments: Any) -> Any:
        return [upload._replace(initiated=moment) for upload in original(*arguments)]

    bucket.create(FRESH.key, {})
    with_a_part, longer = bucket.create(FRESH.key, {}), bucket.create(FRESH.key + "2", {})
    bucket.upload_part(FRESH.key, with_a_part, 1, b"x")
    kept = bucket.create(FRESH.key, {})
    abort(retrying(bucket, list_uploads=listed), promised, but=kept)
    assert len(ids(bucket)) == (3 if ours else 4)
    assert {with_a_part, longer, kept} <= ids(bucket)


def test_an_upload_with_an_id_is_aborted_and_no_other(bucket: DirectoryStore) -> None:
    mine, other = bucket.create(FRESH.key, {}), bucket.create(FRESH.key, {})
    abort(retrying(bucket), replace(FRESH, upload_id=mine, begun_at=int(time.time())))
    assert ids(bucket) == {other}
    abort(retrying(bucket, abort=refuse), replace(FRESH, upload_id=other))  # left to a person
    assert ids(bucket) == {other}


def test_a_refusal_to_begin_leaves_the_note_of_another_upload(
    bucket: DirectoryStore, journal: Journal
) -> None:
    earlier = replace(FRESH, target="another bucket", upload_id="7")
    journal.save(earlier)
    with pytest.raises(ServiceError, match="no right"):
        begin(retrying(bucket, create=refuse), journal, FRESH, {})
    assert journal.load() == earlier.sealed()


def test_what_is_noted_is_continued_or_the_reason_is_given(
    bucket: DirectoryStore, journal: Journal
) -> None:
    upload_id = bucket.create(FRESH.key, {})
    bucket.upload_part(FRESH.key, upload_id, 2, b"x")
    noted = replace(FRESH, upload_id=upload_id)
    store = retrying(bucket)
    uploaded, reason = uploaded_before(store, journal, noted, FRESH)
    assert (reason, list(uploaded or ())) == (None, [2])
    assert uploaded_before(store, journal, None, FRESH) == (None, None)
    assert uploaded_before(store, journal, FRESH, FRESH) == (None, None)
    other = uploaded_before(store, journal, noted, replace(FRESH, plan="q"))
    assert other == (None, "the plan of its parts is another one")
    bucket.abort(FRESH.key, upload_id)
    assert uploaded_before(store, journal, noted, FRESH) == (None, ABORTED_ELSEWHERE)
    with pytest.raises(ServiceError, match="no right"):
        uploaded_before(retrying(bucket, list_parts=refuse), journal, noted, FRESH)
    journal.path.write_bytes(b"{}")
    assert "is damaged" in str(uploaded_before(store, journal, None, FRESH)[1])


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
