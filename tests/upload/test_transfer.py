from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import ImageChangedError, ServiceError, TransferError
from imsprep.image.identity import Identity
from imsprep.store.object_ownership import OccupiedError
from imsprep.units import MIB
from imsprep.upload.journal import Journal, UploadEntry
from imsprep.upload.plan import plan_plain
from tests.support.upload.case import (
    ZERO_KEY,
    Case,
    Wrapped,
    broken_off,
)
from tests.support.upload.file import File


def test_an_image_arrives_whole_and_only_its_data_travels(case: Case) -> None:
    done = case.upload()
    assert case.content == case.path.read_bytes()
    assert (done.sent, done.copied, done.reused) == (case.plan.sent, case.plan.copied, 0)
    assert done.sent == 33 * MIB
    assert done.etag == case.store.head("web/disk.raw").etag
    assert not case.journal.path.exists()
    assert case.store.list_uploads() == []
    assert [o.key for o in case.store.list_objects()] == ["web/disk.raw"]


def test_the_same_again_sends_nothing(case: Case) -> None:
    case.upload()
    again = case.upload()
    assert again.skipped
    assert (again.sent, again.copied) == (0, 0)


@pytest.mark.slow
def test_other_content_of_the_same_size_is_not_skipped(case: Case) -> None:
    case.upload()
    with open(case.path, "r+b") as file:
        file.write(b"changed")
    assert not case.upload().skipped
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("changed", ["nothing", "image", "image, time set back", "object"])
def test_where_etags_do_not_count_only_the_upload_that_was_noted_here_does(
    small: Case, changed: str, encrypted: bool
) -> None:
    """With --force, and in a store that encrypts: it was completed and killed before its end."""

    def die(original: Callable[..., Any], *arguments: Any, **_: object) -> Any:
        raise KeyboardInterrupt

    options: dict[str, Any] = {"skip_same": encrypted}
    store, other = Wrapped(small.store), Journal(small.path.with_name("other.json"))
    if encrypted:
        store.etags_are_md5 = False
    dying = Wrapped(store, delete=die)
    with pytest.raises(KeyboardInterrupt):
        small.upload(dying, **options)
    if changed.startswith("image"):
        before_ns = small.path.stat().st_mtime_ns
        with open(small.path, "r+b") as file:
            file.write(b"changed")
        # The clock of file times may not have gone on.
        os.utime(small.path, ns=(before_ns, before_ns) if "back" in changed else (0, 0))
    if changed == "object":
        assert not replace(small, journal=other).upload(store, **options).skipped
    assert small.upload(store, **options).skipped == (changed == "nothing")
    assert small.content == small.path.read_bytes()
    assert not small.journal.path.exists()


def test_an_image_that_changes_while_it_is_compared_is_not_called_the_same(
    small: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.upload()
    pread_into = File.pread_into

    def change(file: File, offset: int, buffer: memoryview) -> None:
        pread_into(file, offset, buffer)
        with open(small.path, "r+b") as written:
            written.write(os.urandom(8))
        os.utime(small.path, (0, 0))

    monkeypatch.setattr(File, "pread_into", change)
    with pytest.raises(ImageChangedError):
        small.upload(jobs=1)


@pytest.mark.parametrize("more", [-1, 1])
def test_a_plan_of_another_size_sends_nothing(case: Case, more: int) -> None:
    case.plan = plan_plain(case.path.stat().st_size + more)
    store = Wrapped(case.store)
    with pytest.raises(ImageChangedError, match="when its upload was planned"):
        case.upload(store)
    assert store.calls == []


def test_what_other_uploads_need_is_left_alone(case: Case) -> None:
    keys = ["imsprep-zeros/other", "imsprep-zeros/other-3", "web/disk.raw-3"]
    for key in keys:
        case.store.put(key, b"x")
        case.store.create(key, {})
    case.upload()
    assert [upload.key for upload in case.store.list_uploads()] == keys
    assert [found.key for found in case.store.list_objects()] == sorted([*keys, "web/disk.raw"])


def test_the_journal_of_an_upload_to_another_bucket_outlives_what_begins_nothing_here(
    small: Case,
) -> None:
    small.upload()
    entry = UploadEntry(
        "another bucket", "k", "u", ZERO_KEY, small.plan.digest, Identity.of(small.path)
    )
    small.journal.save(entry)
    assert small.upload().skipped
    assert small.journal.load() == entry.sealed()

    def refuse(original: Callable[..., Any], *arguments: Any) -> Any:
        raise ServiceError("403 not here", code="AccessDenied")

    small.store.delete("web/disk.raw")
    with pytest.raises(ServiceError, match="not here"):
        small.upload(Wrapped(small.store, create=refuse))
    assert small.journal.load() == entry.sealed()


@pytest.mark.slow
def test_a_plain_file_is_sent_as_it_is(case: Case) -> None:
    case.plan = plan_plain(case.path.stat().st_size)
    assert case.upload().sent == case.plan.size
    assert case.content == case.path.read_bytes()


def test_a_changed_image_makes_no_object(case: Case) -> None:
    def change(original: Callable[..., Any], *arguments: Any) -> Any:
        with open(case.path, "r+b") as file:
            file.write(os.urandom(8))
        return original(*arguments)

    with pytest.raises(ImageChangedError):
        case.upload(Wrapped(case.store, upload_part=change))
    assert case.store.list_objects() == []
    assert case.store.list_uploads() == []
    assert not case.journal.path.exists()


@pytest.mark.slow
def test_a_store_that_turns_out_to_encrypt_is_compared_by_size(case: Case) -> None:
    """A bucket's own encryption is known only from its answers; etags are then no MD5s."""

    class Encrypting(Wrapped):
        etags_are_md5 = True

    def turned(original: Callable[..., str], *arguments: Any) -> str:
        original(*arguments)
        store.etags_are_md5 = False
        return "f" * 32

    def listed(original: Callable[..., Any], *arguments: Any) -> Any:
        return [part._replace(etag="f" * 32) for part in original(*arguments)]

    def complete(original: Callable[..., Any], key: str, upload_id: str, parts: Any) -> Any:
        return original(key, upload_id, case.store.list_parts(key, upload_id))

    store = Encrypting(
        case.store, upload_part=turned, copy_part=turned, list_parts=listed, complete=complete
    )
    done = case.upload(store)
    assert case.content == case.path.read_bytes()
    assert not done.etags_compared
    assert case.upload(skip_same=False).etags_compared


@pytest.mark.slow
def test_a_store_that_gives_copies_composite_etags_is_compared_by_their_sizes(case: Case) -> None:
    """What is sent has MD5s all the same; the object's ETag cannot be computed."""

    def copy(original: Callable[..., str], *arguments: Any) -> str:
        return f"{original(*arguments)}-1"

    zeros = {part.number for part in case.plan.parts if part.is_zero}
    assert zeros

    def listed(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        return [
            part._replace(etag=f"{part.etag}-1") if key != "web/disk.raw" or part.number in zeros
            else part for part in original(key, *arguments)
        ]  # fmt: skip

    def complete(original: Callable[..., Any], key: str, upload_id: str, parts: Any) -> Any:
        return original(key, upload_id, case.store.list_parts(key, upload_id))

    done = case.upload(Wrapped(case.store, copy_part=copy, list_parts=listed, complete=complete))
    assert case.content == case.path.read_bytes()
    assert done.copied == sum(part.length for part in case.plan.parts if part.is_zero)


@pytest.mark.slow
def test_a_key_that_may_not_remove_ends_well_and_says_what_was_left(case: Case) -> None:
    def refuse(original: Callable[..., Any], key: str, **_: object) -> Any:
        raise ServiceError("403 may not delete", code="AccessDenied")

    done = case.upload(Wrapped(case.store, delete=refuse))
    assert done.left is not None
    assert "imsprep-zeros/" in done.left
    assert "may not delete" in done.left
    assert case.content == case.path.read_bytes()
    assert not case.journal.path.exists()


@pytest.mark.slow
def test_two_uploads_of_one_file_at_once_do_not_meet(case: Case) -> None:
    """They would share a journal: each would abort, or complete, what the other has begun."""
    told: list[str] = []

    def again(original: Callable[..., Any], *arguments: Any) -> Any:
        if not told:
            told.append("")
            with pytest.raises(TransferError) as caught:
                case.upload()
            told[0] = str(caught.value)
        return original(*arguments)

    case.upload(Wrapped(case.store, upload_part=again))
    assert told[0].startswith("another imsprep works on the upload of disk.raw (it holds ")
    assert case.content == case.path.read_bytes()
    assert case.store.list_uploads() == []
    assert sorted(path.name for path in case.path.parent.iterdir()) == ["bucket", "disk.raw"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"storage_class": "WARM"}, "storage class WARM, and quick import reads STANDARD"),
        ({"size": MIB - 1}, "with 1048575 bytes, expected 1048576; do not import it"),
    ],
)
def test_an_object_of_another_class_or_size_is_not_taken_for_done(
    small: Case, wrong: dict[str, Any], words: str
) -> None:
    """In a store that encrypts nothing else tells."""

    def head(original: Callable[..., Any], key: str) -> Any:
        found = original(key)
        return found and found._replace(**wrong)

    store = Wrapped(small.store, head=head)
    store.etags_are_md5 = False
    with pytest.raises(ServiceError, match=words):
        small.upload(store)


def test_an_object_that_imsprep_did_not_make_is_replaced_only_when_asked(small: Case) -> None:
    small.store.put("web/disk.raw", b"somebody's")
    with pytest.raises(OccupiedError, match=r"\(10 bytes\), and imsprep did not make it"):
        small.upload()
    assert small.content == b"somebody's"
    assert small.store.list_uploads() == []
    small.upload(replace=True)
    assert small.content == small.path.read_bytes()


def test_a_later_state_of_a_file_replaces_its_object_and_another_file_s_does_not(
    small: Case, tmp_path: Path
) -> None:
    small.upload()
    with open(small.path, "r+b") as file:
        file.write(b"changed")
    small.upload()
    assert small.content == small.path.read_bytes()
    other = tmp_path / "other" / "disk.raw"
    other.parent.mkdir()
    other.write_bytes(b"x" * MIB)
    second = replace(small, path=other, journal=Journal.for_file(other))
    with pytest.raises(OccupiedError, match="made it of another file"):
        second.upload()
    assert small.content == small.path.read_bytes()
    other.write_bytes(small.path.read_bytes())  # the same content is no loss
    assert second.upload().skipped


@pytest.mark.parametrize("ours", [False, True])  # what was there before
def test_an_object_that_came_while_the_parts_were_sent_stays(small: Case, ours: bool) -> None:
    if ours:
        small.upload()
        small.path.write_bytes(b"later".ljust(MIB, b"x"))

    def upload_part(original: Callable[..., Any], *arguments: Any) -> Any:
        small.store.put("web/disk.raw", b"quicker")
        return original(*arguments)

    with pytest.raises(OccupiedError):
        small.upload(Wrapped(small.store, upload_part=upload_part))
    assert small.content == b"quicker"


@pytest.mark.slow
def test_an_object_of_another_class_is_refused_by_every_run(case: Case) -> None:
    def cold(original: Callable[..., Any], key: str) -> Any:
        found = original(key)
        return found and found._replace(storage_class="COLD")

    for _ in range(3):
        with pytest.raises(ServiceError, match="storage class COLD"):
            case.upload(Wrapped(case.store, head=cold))
        assert not case.journal.path.exists()
        assert [o.key for o in case.store.list_objects()] == ["web/disk.raw"]
        assert case.store.list_uploads() == []


def test_a_part_that_is_not_planned_ends_the_upload_before_it_is_completed(case: Case) -> None:
    upload_id = broken_off(case)
    case.store.upload_part("web/disk.raw", upload_id, 99, b"of another program")
    count = len(case.plan.parts)
    words = f"holds {count + 1} parts, expected {count}; nothing was completed"
    with pytest.raises(ServiceError, match=words):
        case.upload()
    assert case.store.head("web/disk.raw") is None
