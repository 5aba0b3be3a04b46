from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imsprep.errors import ImageChangedError, ReadError, ServiceError, TransferError, UsageError
from imsprep.image.blockmap import BlockMap
from imsprep.image.file import Identity
from imsprep.store.directory import DirectoryStore
from imsprep.store.ownership import OccupiedError
from imsprep.store.retry import RetryPolicy
from imsprep.units import MIB
from imsprep.upload.body import window
from imsprep.upload.cleanup import remove_leftovers
from imsprep.upload.destination import Destination, TransferPolicy
from imsprep.upload.journal import Entry, Journal
from imsprep.upload.plan import PartPlan, PlannedPart, plan_parts, plan_plain
from imsprep.upload.transfer import Uploaded, upload
from tests.support.running import slow
from tests.support.store_suite import pattern
from tests.support.treedigest import tree_digest
from tests.support.upload_file import File

# Blocks of 1 MiB: data and runs of zeros long enough for parts of their own.
LAYOUT = [1] * 6 + [0] * 20 + [1] * 25 + [0] * 10 + [1] + [0] * 12 + [1]
ZERO_KEY = "imsprep-zeros/" + "0" * 32


@dataclass
class Case:
    """An image, its plan, and a bucket."""

    path: Path
    plan: PartPlan
    store: Any
    journal: Journal

    def upload(self, store: Any = None, **options: Any) -> Uploaded:
        quick = RetryPolicy(limit_s=5, first_wait_s=0.0)
        return upload(
            File(self.path),
            self.plan,
            Destination(store or self.store, "a bucket", "web/disk.raw", self.journal, self.path),
            TransferPolicy(**{"retry": quick, **options}),
            lambda **_: None,
        )

    @property
    def content(self) -> bytes:
        return bytes(self.store.read("web/disk.raw", 0, self.plan.size + 1))


@functools.cache
def block(number: int) -> bytes:
    return pattern(MIB, number)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(len(LAYOUT) * MIB)
        for n, full in enumerate(LAYOUT):
            if full:
                os.pwrite(file.fileno(), block(n), n * MIB)
    flags = np.array(LAYOUT, dtype=bool)
    plan = plan_parts(BlockMap.from_flags(len(LAYOUT) * MIB, MIB, flags), part_size=10 * MIB)
    return Case(path, plan, DirectoryStore(tmp_path / "bucket"), Journal.for_file(path))


@pytest.fixture
def small(case: Case) -> Case:
    """An image of which everything is sent, in one part."""
    os.truncate(case.path, MIB)
    case.plan = plan_plain(MIB)
    return case


class Wrapped:
    """A store that does something else at one of its methods."""

    def __init__(self, store: Any, **methods: Callable[..., Any]) -> None:
        self._store, self._methods = store, methods
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._store, name)
        if not callable(original):
            return original

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if name in self._methods:
                return self._methods[name](original, *arguments)
            return original(*arguments)

        return call


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


def test_other_content_of_the_same_size_is_not_skipped(case: Case) -> None:
    case.upload()
    with open(case.path, "r+b") as file:
        file.write(b"changed")
    assert not case.upload().skipped
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("changed", ["nothing", "image", "object"])
def test_where_etags_do_not_count_only_the_upload_that_was_noted_here_does(
    small: Case, changed: str, encrypted: bool
) -> None:
    """With --force, and in a store that encrypts: it was completed and killed before its end."""

    def die(original: Callable[..., Any], *arguments: Any) -> Any:
        raise KeyboardInterrupt

    options: dict[str, Any] = {"skip_same": encrypted}
    store, other = Wrapped(small.store), Journal(small.path.with_name("other.json"))
    if encrypted:
        store.etags_are_md5 = False
    dying = Wrapped(store, delete=die)
    with pytest.raises(KeyboardInterrupt):
        small.upload(dying, **options)
    if changed == "image":
        with open(small.path, "r+b") as file:
            file.write(b"changed")
        os.utime(small.path, (0, 0))  # the clock of file times may not have gone on
    if changed == "object":
        assert not replace(small, journal=other).upload(store, **options).skipped
    assert small.upload(store, **options).skipped == (changed == "nothing")
    assert small.content == small.path.read_bytes()
    assert not small.journal.path.exists()


def test_an_image_that_changes_while_it_is_compared_is_not_called_the_same(
    small: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.upload()
    pread = File.pread

    def change(file: File, offset: int, length: int) -> bytes:
        data = pread(file, offset, length)
        with open(small.path, "r+b") as written:
            written.write(os.urandom(8))
        os.utime(small.path, (0, 0))
        return data

    monkeypatch.setattr(File, "pread", change)
    with pytest.raises(ImageChangedError):
        small.upload(jobs=1)


@pytest.mark.parametrize("more", [-1, 1])
def test_a_plan_of_another_size_sends_nothing(case: Case, more: int) -> None:
    case.plan = plan_plain(case.path.stat().st_size + more)
    store = Wrapped(case.store)
    with pytest.raises(ImageChangedError, match="planned for"):
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
    entry = Entry("another bucket", "k", "u", ZERO_KEY, small.plan.digest, Identity.of(small.path))
    small.journal.save(entry)
    assert small.upload().skipped
    assert small.journal.load() == entry.sealed()

    def refuse(original: Callable[..., Any], *arguments: Any) -> Any:
        raise ServiceError("403 not here", code="AccessDenied")

    small.store.delete("web/disk.raw")
    with pytest.raises(ServiceError, match="not here"):
        small.upload(Wrapped(small.store, create=refuse))
    assert small.journal.load() == entry.sealed()


def test_data_is_read_once_for_digest_sum_and_body(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    pread = File.pread

    def count(file: File, offset: int, length: int) -> bytes:
        read.append(length)
        return pread(file, offset, length)

    monkeypatch.setattr(File, "pread", count)
    done = upload(
        File(case.path), case.plan,
        Destination(case.store, "a bucket", "disk.raw", case.journal, case.path),
        TransferPolicy(with_digest=True), lambda **_: None,
    )  # fmt: skip
    assert sum(read) == case.plan.sent
    assert done.digest == tree_digest(case.path.read_bytes())


def test_a_plain_file_is_sent_as_it_is(case: Case) -> None:
    case.plan = plan_plain(case.path.stat().st_size)
    assert case.upload().sent == case.plan.size
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("method", ["upload_part", "copy_part", "put", "complete", "list_parts", "create", "delete"])  # fmt: skip
@pytest.mark.parametrize("after", [0, slow(1), 2, slow(3)])
@pytest.mark.parametrize("acted", [False, True])
def test_broken_off_anywhere_it_continues_with_the_same_object(
    case: Case, method: str, after: int, acted: bool
) -> None:
    countdown = [after]

    def die(original: Callable[..., Any], *arguments: Any) -> Any:
        countdown[0] -= 1
        if countdown[0] < 0:
            if acted:
                original(*arguments)
            raise KeyboardInterrupt
        return original(*arguments)

    broken = Wrapped(case.store, **{method: die})
    try:
        first = case.upload(broken, jobs=1)
    except KeyboardInterrupt:
        first = None
    done = case.upload(jobs=1)
    assert case.content == case.path.read_bytes()
    if first is None and not done.skipped:
        assert done.sent + done.reused + done.copied == case.plan.size
    # The zero object is completed first, then what a part is composed of.
    if (method, after) in (("complete", 2), ("list_parts", 1)):
        assert done.sent == 0
    assert not case.journal.path.exists()
    # Only what was begun a moment before the journal could note it may be left.
    left = [o.key for o in case.store.list_objects() if o.key != "web/disk.raw"]
    assert left == []
    if (method, acted) != ("create", True):
        assert case.store.list_uploads() == []


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


def test_a_changed_image_starts_anew_and_says_why(case: Case) -> None:
    def die(original: Callable[..., Any], *arguments: Any) -> Any:
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


def broken_off(case: Case) -> str:
    """Begin an upload that ends before it is completed; return its id."""

    def die(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key == "web/disk.raw":
            raise KeyboardInterrupt
        return original(key, *arguments)

    with pytest.raises(KeyboardInterrupt):
        case.upload(Wrapped(case.store, complete=die))
    entry = case.journal.load()
    assert entry is not None
    return entry.upload_id


def test_a_part_that_is_wrong_in_the_store_is_sent_again(case: Case) -> None:
    upload_id = broken_off(case)
    first = case.plan.parts[0]
    case.store.upload_part("web/disk.raw", upload_id, 1, bytes(first.length))
    assert case.upload().sent == first.length
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("journal", [b"", b'{"upload_id": ', b'{"schema": 99, "zero_key": 1}', b'["upload_id"]', b'\xff "zero_key"', b'{"zero_key": 1}' + b'[' * 100_000])  # fmt: skip
def test_a_broken_journal_is_not_believed(case: Case, journal: bytes) -> None:
    case.journal.path.write_bytes(journal)
    assert "upload.json is damaged or of another version" in str(case.upload().restarted)
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("theirs", [b"{", b"[]", b'{"schema": 1}', b"\xff", b"notes\n", b'[' * 100_000])  # fmt: skip
def test_a_file_of_somebody_else_is_no_journal_and_stays(case: Case, theirs: bytes) -> None:
    case.journal.path.write_bytes(theirs)
    with pytest.raises(UsageError, match=r"disk\.raw\.upload\.json was not written by imsprep"):
        case.upload()
    assert case.journal.path.read_bytes() == theirs
    assert not case.store.list_objects()
    assert not case.store.list_uploads()


def test_a_journal_that_cannot_be_written_leaves_no_upload(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its parts would be paid for, and nobody would know of them."""

    sync = os.fsync

    def full(descriptor: int) -> None:
        if "disk.raw.upload.json" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    store = Wrapped(case.store)
    with monkeypatch.context() as patch:
        patch.setattr("imsprep.system.atomic.os.fsync", full)
        with pytest.raises(ReadError, match="No space left on device; free some space"):
            case.upload(store)
    assert "upload_part" not in store.calls
    assert case.store.list_uploads() == []
    assert sorted(path.name for path in case.path.parent.iterdir()) == ["bucket", "disk.raw"]
    assert case.upload().restarted is None


def nameless(original: Callable[..., Any], key: str) -> Any:
    """Answer as a store that does not say which upload made an object."""
    found = original(key)
    return found and found._replace(upload_id=None)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("acted", [False, True])
def test_a_completion_without_an_answer_is_resolved(small: Case, acted: bool, named: bool) -> None:
    failed = []

    def lose(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key == "web/disk.raw" and not failed:
            failed.append(key)
            if acted:
                original(key, *arguments)
            raise TransferError("the connection broke")
        return original(key, *arguments)

    store = Wrapped(small.store, complete=lose, **({} if named else {"head": nameless}))
    small.upload(store)
    assert small.content == small.path.read_bytes()
    assert failed


def test_a_completion_that_is_never_answered_is_given_up_and_can_be_done_later(
    small: Case,
) -> None:
    def lose(original: Callable[..., Any], *arguments: Any) -> Any:
        raise TransferError("the connection broke")

    store, seconds = Wrapped(small.store, complete=lose), itertools.count()
    retry = RetryPolicy(limit_s=20, first_wait_s=0.0, clock=lambda: float(next(seconds)))
    with pytest.raises(TransferError, match="the connection broke"):
        small.upload(store, retry=retry)
    assert store.calls.count("complete") > 1
    assert small.upload().reused == MIB
    assert small.content == small.path.read_bytes()


def test_a_store_that_lies_about_a_copy_is_found_out(case: Case) -> None:
    with pytest.raises(ServiceError, match="MD5"):
        case.upload(Wrapped(case.store, copy_part=lambda original, *a: original(*a)[::-1]))
    assert case.store.head("web/disk.raw") is None


def test_a_store_that_copies_too_little_is_found_out(case: Case) -> None:
    def short(original: Callable[..., str], *a: Any) -> str:
        etag = original(*a)
        original(*a[:-1], a[-1] - 1)
        return etag

    with pytest.raises(ServiceError):
        case.upload(Wrapped(case.store, copy_part=short))
    assert case.store.head("web/disk.raw") is None


def test_a_store_that_loses_a_part_is_found_out(case: Case) -> None:
    lossy = Wrapped(case.store, list_parts=lambda original, *a: original(*a)[:-1])
    with pytest.raises(ServiceError):
        case.upload(lossy)
    assert case.store.head("web/disk.raw") is None


def test_a_store_that_gives_another_etag_is_found_out(case: Case) -> None:
    def other(original: Callable[..., Any], key: str, *a: Any) -> Any:
        return original(key, *a) if key != "web/disk.raw" else original(key, *a)[::-1]

    with pytest.raises(ServiceError, match="do not import it"):
        case.upload(Wrapped(case.store, complete=other))


def test_what_fails_now_and_then_is_repeated(case: Case) -> None:
    lock, calls = threading.Lock(), [0]

    def flaky(original: Callable[..., Any], *arguments: Any) -> Any:
        with lock:
            calls[0] += 1
            fail = calls[0] % 3 == 0
        if fail:
            raise TransferError("503")
        return original(*arguments)

    done = case.upload(Wrapped(case.store, upload_part=flaky, copy_part=flaky, head=flaky))
    assert done.retries >= 3
    assert case.content == case.path.read_bytes()


def test_nothing_is_retried_for_ever(case: Case) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    def fail(original: Callable[..., Any], *arguments: Any) -> Any:
        raise TransferError("503")

    retry = RetryPolicy(limit_s=20, first_wait_s=0.0, clock=clock)
    with pytest.raises(TransferError, match="every attempt failed for 20 s in all; run again"):
        case.upload(Wrapped(case.store, upload_part=fail), retry=retry)
    assert case.upload().reused >= 0
    assert case.content == case.path.read_bytes()


def test_what_the_store_refuses_is_not_retried(case: Case) -> None:
    def refuse(original: Callable[..., Any], *arguments: Any) -> Any:
        raise ServiceError("403", code="AccessDenied")

    store = Wrapped(case.store, upload_part=refuse)
    with pytest.raises(ServiceError, match="403"):
        case.upload(store, jobs=1)
    assert store.calls.count("upload_part") == 1


def test_at_most_the_parts_in_flight_are_sent_twice(case: Case) -> None:
    sent: list[int] = []

    def count(original: Callable[..., Any], *arguments: Any) -> Any:
        sent.append(arguments[2])
        if len(sent) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    store = Wrapped(case.store, upload_part=count)
    with pytest.raises(KeyboardInterrupt):
        case.upload(store, jobs=2)
    case.upload(store, jobs=2)
    assert len(sent) - len(set(sent)) <= 2
    assert case.content == case.path.read_bytes()


def test_the_journal_holds_what_is_needed_and_no_more(case: Case) -> None:
    seen = []

    def look(original: Callable[..., Any], *arguments: Any) -> Any:
        seen.append(case.journal.load())
        return original(*arguments)

    case.upload(Wrapped(case.store, upload_part=look))
    entry = seen[0]
    assert entry is not None
    assert set(entry.__dataclass_fields__) == {"target", "key", "upload_id", "zero_key", "plan", "identity", "seal"}  # fmt: skip
    assert entry.identity == Identity.of(case.path)


@pytest.mark.parametrize("acted", [False, True])
def test_a_lost_completion_of_the_zero_object_is_resolved_too(case: Case, acted: bool) -> None:
    failed = []

    def lose(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key.startswith("imsprep-zeros/") and not failed:
            failed.append(key)
            if acted:
                original(key, *arguments)
            raise TransferError("the connection broke")
        return original(key, *arguments)

    case.upload(Wrapped(case.store, complete=lose))
    assert failed
    assert case.content == case.path.read_bytes()


def test_large_parts_are_read_as_they_are_sent(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imsprep.upload.transfer.HELD_IN_MEMORY", MIB)
    lost = []

    def half(original: Callable[..., Any], *arguments: Any) -> Any:
        if not lost:
            lost.append(arguments[3].read(3 * MIB))
            raise TransferError("the connection broke in the middle")
        return original(*arguments)

    case.upload(Wrapped(case.store, upload_part=half))
    assert lost
    assert case.content == case.path.read_bytes()
    assert case.upload().skipped


def test_a_window_is_a_file_over_its_range() -> None:
    data = pattern(5 * MIB)
    file = window(lambda offset, length: data[offset : offset + length], 100, 3 * MIB)
    assert file.read() == data[100 : 100 + 3 * MIB]
    assert (file.seek(-10, 2), file.read(100)) == (3 * MIB - 10, data[3 * MIB + 90 : 3 * MIB + 100])
    assert (file.seek(5), file.read(3), file.tell()) == (5, data[105:108], 8)


def test_an_upload_goes_on_after_another_mount_but_not_with_another_file(tmp_path: Path) -> None:
    identity = Identity(1, 2, 3, 4, 5)
    entry = Entry("local:x", "k", "u", ZERO_KEY, "p", identity)
    assert entry.reason_against(replace(entry, identity=replace(identity, device=9))) is None
    for field in ("inode", "size", "mtime_ns", "ctime_ns"):
        other = replace(entry, identity=replace(identity, **{field: 9}))
        assert "changed" in str(entry.reason_against(other))
    for field, words in (("target", "'k' in local:x"), ("key", "'k' in local:x"), ("plan", "plan")):
        assert words in str(entry.reason_against(replace(entry, **{field: "other"})))


@pytest.mark.parametrize("held", [MIB, 32 * MIB])
def test_a_limit_holds_within_a_part_and_for_what_is_sent_again(
    case: Case, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.upload.transfer.HELD_IN_MEMORY", held)
    waits: list[float] = []

    class Limit:
        def __init__(self, bytes_per_s: float, **_: object) -> None:
            assert bytes_per_s == 5.0

        def wait_for(self, count: int) -> None:
            waits.append(count)

    monkeypatch.setattr("imsprep.upload.transfer.RateLimit", Limit)
    failed = []

    def fail_late(original: Callable[..., Any], *arguments: Any) -> Any:
        etag = original(*arguments)
        if not failed:
            failed.append(etag)
            raise TransferError("the connection broke behind the last byte")
        return etag

    case.upload(Wrapped(case.store, upload_part=fail_late), bytes_per_s=5.0, jobs=1)
    assert sum(waits) == case.plan.sent + case.plan.parts[0].length
    assert max(waits) <= 64 * 1024
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("bytes_per_s", [None, 1e12])
def test_a_large_part_that_changes_before_it_is_sent_again_is_not_sent_for_ever(
    case: Case, bytes_per_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.upload.transfer.HELD_IN_MEMORY", MIB)

    def change(original: Callable[..., Any], *arguments: Any) -> Any:
        with open(case.path, "r+b") as file:
            file.write(os.urandom(MIB))
        return original(*arguments)

    store = Wrapped(case.store, upload_part=change)
    options: dict[str, Any] = {"jobs": 1, "bytes_per_s": bytes_per_s}
    with pytest.raises(ImageChangedError):
        case.upload(store, retry=RetryPolicy(limit_s=1e9, first_wait_s=0.0), **options)
    assert case.store.list_objects() == []


def test_an_interruption_waits_for_no_part_that_is_on_its_way(case: Case) -> None:
    end, calls = threading.Event(), []

    def hang(original: Callable[..., Any], *arguments: Any) -> Any:
        calls.append(arguments[2])
        if len(calls) == 2:
            raise KeyboardInterrupt
        end.wait(60)
        return original(*arguments)

    with pytest.raises(KeyboardInterrupt):
        case.upload(Wrapped(case.store, upload_part=hang), jobs=2)
    assert not end.is_set()
    end.set()


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


@pytest.mark.parametrize(("acted", "named"), [(False, True), (True, True), (True, False)])
def test_a_refused_second_completion_may_mean_that_the_first_has_worked(
    small: Case, acted: bool, named: bool
) -> None:
    """The first answer is lost, and the object is listed only after the second was refused."""
    calls: list[str] = []

    def complete(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key != "web/disk.raw":
            return original(key, *arguments)
        calls.append(key)
        if len(calls) == 1:
            if acted:
                original(key, *arguments)
            raise TransferError("the connection broke")
        return original(key, *arguments)

    def late(original: Callable[..., Any], key: str) -> Any:
        return None if len(calls) == 1 else (original(key) if named else nameless(original, key))

    def listed(original: Callable[..., Any], *arguments: Any) -> Any:
        # Where the upload does not name its object, it is also listed for long.
        return [] if len(calls) == 1 or (calls and not named) else original(*arguments)

    small.upload(Wrapped(small.store, complete=complete, head=late, list_parts=listed))
    assert small.content == small.path.read_bytes()
    assert len(calls) == 2


def test_a_completion_that_is_refused_at_once_is_an_error(case: Case) -> None:
    def refuse(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key == "web/disk.raw":
            raise ServiceError("403 no", code="AccessDenied")
        return original(key, *arguments)

    with pytest.raises(ServiceError, match="403 no"):
        case.upload(Wrapped(case.store, complete=refuse))


@pytest.mark.parametrize("method", ["upload_part", "copy_part"])
@pytest.mark.parametrize("etag", ["0" * 32, "0" * 32 + "-2", ""])
def test_only_a_copy_may_have_a_composite_etag(case: Case, method: str, etag: str) -> None:
    def other(original: Callable[..., str], *arguments: Any) -> str:
        original(*arguments)
        return etag

    store = Wrapped(case.store, **{method: other})
    if method == "copy_part" and "-" in etag:
        case.upload(store)
        assert case.content == case.path.read_bytes()
        return
    with pytest.raises(ServiceError, match="expected"):
        case.upload(store)
    assert case.store.head("web/disk.raw") is None


@pytest.mark.parametrize("last", [False, True])
def test_a_store_that_lists_what_was_replaced_is_asked_for_what_is_right(
    small: Case, last: bool
) -> None:
    def listed(original: Callable[..., Any], *arguments: Any) -> Any:
        held = original(*arguments)
        stale = [part._replace(etag="0" * 32, size=part.size + 1) for part in held]
        return [*held, *stale] if last else [*stale, *held]

    small.upload(Wrapped(small.store, list_parts=listed))
    assert small.content == small.path.read_bytes()


def test_a_part_that_was_never_planned_is_noticed(case: Case) -> None:
    def listed(original: Callable[..., Any], key: str, upload_id: str) -> Any:
        held = original(key, upload_id)
        return [*held, held[-1]._replace(number=len(held) + 1)] if key == "web/disk.raw" else held

    with pytest.raises(ServiceError, match="nothing was completed"):
        case.upload(Wrapped(case.store, list_parts=listed))


@pytest.mark.parametrize("kind", ["zeros", "composed", "data"])
@pytest.mark.parametrize("wrong", ["size", "etag"])
def test_what_the_store_lists_is_compared_with_the_plan(case: Case, kind: str, wrong: str) -> None:
    """The answers were right; only the list tells that a part is another one."""
    zeros = next(part for part in case.plan.parts if part.is_zero)
    number = {"zeros": zeros.number, "composed": composed(case).number, "data": 1}[kind]

    def listed(original: Callable[..., Any], key: str, upload_id: str) -> Any:
        parts = original(key, upload_id)
        if key != "web/disk.raw":
            return parts
        other = {"size": parts[number - 1].size - 1} if wrong == "size" else {"etag": "0" * 32}
        return [part._replace(**other) if part.number == number else part for part in parts]

    with pytest.raises(ServiceError, match=f"part {number} has .* nothing was completed"):
        case.upload(Wrapped(case.store, list_parts=listed))
    assert case.store.head("web/disk.raw") is None


def test_the_answer_to_a_part_of_zeros_is_compared(case: Case) -> None:
    """The zero object was made rightly, and what is listed is right too."""

    def copy(original: Callable[..., str], key: str, *arguments: Any) -> str:
        etag = original(key, *arguments)
        number, source = arguments[1], arguments[2]
        zero_part = key == "web/disk.raw" and case.plan.parts[number - 1].is_zero
        return "0" * 32 if zero_part and source.startswith("imsprep-zeros/") else etag

    with pytest.raises(
        ServiceError, match=r"the store says that part .* expected .*send the zeros"
    ):
        case.upload(Wrapped(case.store, copy_part=copy))
    assert case.store.head("web/disk.raw") is None


def test_a_refused_question_does_not_throw_away_what_was_sent(case: Case) -> None:
    broken_off(case)

    def refuse(original: Callable[..., Any], *arguments: Any) -> Any:
        raise ServiceError("403 the token expired", code="AccessDenied")

    with pytest.raises(ServiceError, match="expired"):
        case.upload(Wrapped(case.store, list_parts=refuse))
    assert case.upload().sent == 0


def test_a_zero_object_that_is_gone_is_made_again(case: Case) -> None:
    upload_id = broken_off(case)
    for found in case.store.list_objects("imsprep-zeros/"):
        case.store.delete(found.key)
    zeros = next(part for part in case.plan.parts if part.is_zero)
    case.store.upload_part("web/disk.raw", upload_id, zeros.number, b"x" * zeros.length)
    assert case.upload().copied == zeros.length
    assert case.content == case.path.read_bytes()


def test_a_zero_object_that_is_gone_is_made_again_for_a_composed_part(case: Case) -> None:
    upload_id = broken_off(case)
    for found in case.store.list_objects("imsprep-zeros/"):
        case.store.delete(found.key)
    (file,) = (case.store._uploads / upload_id).glob(f"{composed(case).number:05}-*")
    file.unlink()
    assert case.upload().sent == composed(case).sent
    assert case.content == case.path.read_bytes()


def composed(case: Case) -> PlannedPart:
    return next(part for part in case.plan.parts if part.zeros and not part.is_zero)


def test_a_composed_part_sends_its_data_alone(case: Case) -> None:
    sizes: list[int] = []

    def size(original: Callable[..., Any], *arguments: Any) -> Any:
        sizes.append(len(arguments[3]))
        return original(*arguments)

    case.upload(Wrapped(case.store, upload_part=size))
    assert sum(sizes) == case.plan.sent
    assert composed(case).sent == MIB
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("etag", ["0" * 32, "0" * 32 + "-2"])
def test_a_composed_part_that_nothing_proves_is_sent_whole(case: Case, etag: str) -> None:
    number = composed(case).number

    def other(original: Callable[..., str], key: str, upload_id: str, n: int, *more: Any) -> str:
        found = original(key, upload_id, n, *more)
        return etag if (key, n) == ("web/disk.raw", number) else found

    done = case.upload(Wrapped(case.store, copy_part=other))
    assert done.sent == case.plan.sent + composed(case).zeros
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("method", ["create", "copy_part", "upload_part", "complete"])
def test_a_store_that_does_not_let_a_part_be_composed_gets_it_whole(
    case: Case, method: str
) -> None:
    def refuse(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key.startswith("imsprep-zeros/") and key.endswith(f"-{composed(case).number}"):
            raise ServiceError("no", code="AccessDenied")
        return original(key, *arguments)

    done = case.upload(Wrapped(case.store, **{method: refuse}))
    assert done.sent == case.plan.sent + composed(case).zeros
    assert case.content == case.path.read_bytes()


def test_a_key_that_may_not_remove_ends_well_and_says_what_was_left(case: Case) -> None:
    def refuse(original: Callable[..., Any], key: str) -> Any:
        raise ServiceError("403 may not delete", code="AccessDenied")

    done = case.upload(Wrapped(case.store, delete=refuse))
    assert done.left is not None
    assert "imsprep-zeros/" in done.left
    assert "may not delete" in done.left
    assert case.content == case.path.read_bytes()
    assert not case.journal.path.exists()


def test_copies_do_not_wait_for_what_is_sent(case: Case) -> None:
    copied = threading.Event()

    def copy(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        etag = original(key, *arguments)
        if key == "web/disk.raw":
            copied.set()
        return etag

    def send(original: Callable[..., Any], *arguments: Any) -> Any:
        assert copied.wait(20), "the first part was sent before any was copied"
        return original(*arguments)

    case.upload(Wrapped(case.store, copy_part=copy, upload_part=send), jobs=1)
    assert case.content == case.path.read_bytes()


def test_the_failure_that_is_told_is_the_one_that_ended_it(case: Case) -> None:
    """Others fail because of it, while they wait for the zeros or for their turn."""

    def seed(original: Callable[..., Any], *arguments: Any) -> Any:
        raise ServiceError("no zeros here")

    with pytest.raises(ServiceError, match="no zeros here"):
        case.upload(Wrapped(case.store, put=seed), bytes_per_s=1e6)


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


def test_what_may_not_be_asked_after_a_lost_completion_is_not_taken_for_gone(small: Case) -> None:
    lost: list[str] = []

    def lose(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        lost.append(key)
        raise TransferError("no answer")

    def listed(original: Callable[..., Any], *arguments: Any) -> Any:
        if lost:
            raise ServiceError("403 the token expired", code="AccessDenied")
        return original(*arguments)

    with pytest.raises(ServiceError, match="expired"):
        small.upload(Wrapped(small.store, complete=lose, list_parts=listed))
    assert small.upload().reused == MIB


def test_after_a_lost_completion_another_s_object_is_not_taken_for_ours(case: Case) -> None:
    case.store.put("web/disk.raw", b"of somebody else")
    tries: list[str] = []

    def complete(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        tries.append(key)
        if tries.count("web/disk.raw") == 1 and key == "web/disk.raw":
            raise TransferError("no answer")
        return original(key, *arguments)

    done = case.upload(Wrapped(case.store, complete=complete), replace=True)
    assert tries.count("web/disk.raw") == 2
    assert done.etag == case.store.head("web/disk.raw").etag
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("encrypted", [False, True])
def test_after_a_lost_completion_another_state_of_the_image_is_not_taken_for_ours(
    small: Case, encrypted: bool
) -> None:
    """It has the same plan, the store tells no uploads, and this one is gone."""
    small.upload()
    with open(small.path, "r+b") as file:
        file.write(b"changed")

    def complete(original: Callable[..., Any], key: str, upload_id: str, parts: Any) -> Any:
        small.store.abort(key, upload_id)
        raise TransferError("no answer")

    store = Wrapped(small.store, complete=complete, head=nameless)
    if encrypted:
        store.etags_are_md5 = False
    with pytest.raises(TransferError, match="is gone and no object of it is there, run again"):
        small.upload(store, skip_same=False)


@pytest.mark.parametrize(("names_uploads", "refused"), [(True, 0), (False, 0), (True, 1)])
def test_after_a_lost_completion_the_same_object_of_before_leaves_no_upload(
    case: Case, names_uploads: bool, refused: int
) -> None:
    """With --force: the object that is there is equal, and not the one that was to be made."""
    case.upload()
    answers = [TransferError("no answer"), *[ServiceError("not now")] * refused]

    def complete(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key == "web/disk.raw" and answers:
            raise answers.pop(0)
        return original(key, *arguments)

    def head(original: Callable[..., Any], key: str) -> Any:
        found = original(key)
        return found if names_uploads or found is None else found._replace(upload_id=None)

    case.upload(Wrapped(case.store, complete=complete, head=head), skip_same=False)
    assert answers == []
    assert case.store.list_uploads() == []
    assert case.content == case.path.read_bytes()


def test_a_part_is_composed_only_when_the_zeros_are_there(case: Case) -> None:
    made: list[int] = []

    def seed(original: Callable[..., Any], *arguments: Any) -> Any:
        threading.Event().wait(0.5)  # the parts have gone on meanwhile as far as they can
        return original(*arguments)

    def begin(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key.startswith("imsprep-zeros/") and key.endswith(f"-{composed(case).number}"):
            zeros = case.store.head(key.rpartition("-")[0])
            made.append(zeros.size if zeros else 0)
        return original(key, *arguments)

    done = case.upload(Wrapped(case.store, put=seed, create=begin))
    assert made == [case.plan.zero_size]
    assert done.sent == case.plan.sent


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


def test_an_object_that_came_while_the_parts_were_sent_stays(small: Case) -> None:
    def upload_part(original: Callable[..., Any], *arguments: Any) -> Any:
        small.store.put("web/disk.raw", b"quicker")
        return original(*arguments)

    with pytest.raises(OccupiedError):
        small.upload(Wrapped(small.store, upload_part=upload_part))
    assert small.content == b"quicker"


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


@pytest.mark.parametrize(
    "change",
    [
        {"zero_key": ""},
        {"zero_key": "somebody/"},
        {"zero_key": "imsprep-zeros/"},
        {"key": "theirs.bin", "upload_id": "THEIRS"},
        {"upload_id": "THEIRS"},
        {"upload_id": None},
        {"identity": []},
        {"target": 7},
    ],
)
def test_nothing_that_a_changed_journal_names_is_touched(
    case: Case, change: dict[str, Any]
) -> None:
    theirs = case.store.create("theirs.bin", {})
    for key in ("-kept", "somebody/-kept", "imsprep-zeros/-kept"):
        case.store.put(key, b"kept")
    with pytest.raises(TransferError):
        case.upload(Wrapped(case.store, complete=broken))
    noted = json.loads(case.journal.path.read_text())
    change = {k: theirs if v == "THEIRS" else v for k, v in change.items()}
    case.journal.path.write_text(json.dumps({**noted, **change}))
    done = case.upload()
    assert "is damaged or of another version" in (done.restarted or "")
    assert case.content == case.path.read_bytes()
    kept = {"-kept", "somebody/-kept", "imsprep-zeros/-kept"}
    assert kept <= {o.key for o in case.store.list_objects()}
    assert theirs in {u.upload_id for u in case.store.list_uploads()}


def broken(*arguments: Any) -> Any:
    raise TransferError("no answer")
