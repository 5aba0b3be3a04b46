"""Parts on their way: read once, sent a few at a time, limited, repeated."""

from __future__ import annotations

import mmap
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from imsprep.errors import ImageChangedError, ServiceError, TransferError
from imsprep.store.retry import RetryPolicy
from imsprep.system import buffers
from imsprep.units import MIB
from imsprep.upload.transfer import upload
from imsprep.upload.values import Destination, TransferPolicy
from tests.support.image.treedigest import tree_digest
from tests.support.upload.case import (
    Case,
    Wrapped,
    broken_off,
)
from tests.support.upload.file import File


@pytest.mark.slow
def test_data_is_read_once_for_digest_sum_and_body(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    pread_into = File.pread_into

    def count(file: File, offset: int, buffer: memoryview) -> None:
        read.append(len(buffer))
        pread_into(file, offset, buffer)

    monkeypatch.setattr(File, "pread_into", count)
    done = upload(
        File(case.path), case.plan,
        Destination(case.store, "a bucket", "disk.raw", case.journal, case.path),
        TransferPolicy(retry=RetryPolicy(limit_s=5, first_wait_s=0.0), with_digest=True), lambda **_: None,
    )  # fmt: skip
    assert sum(read) == case.plan.sent
    assert done.digest == tree_digest(case.path.read_bytes())


def test_what_was_not_read_has_no_digest(small: Case) -> None:
    """The upload that was noted had made the object, which is all that is known of it here."""

    def die(original: Callable[..., Any], *arguments: Any, **_: object) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.upload(Wrapped(small.store, delete=die), with_digest=True)
    done = small.upload(skip_same=False, with_digest=True)
    assert (done.skipped, done.digest) == (True, None)
    again = small.upload(with_digest=True)  # read again, to be compared
    assert (again.skipped, again.digest) == (True, tree_digest(small.path.read_bytes()))


def test_what_was_there_already_is_counted(case: Case) -> None:
    broken_off(case)
    done = case.upload()
    assert (done.sent, done.copied, done.reused) == (0, 0, case.plan.size)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_memory_is_used_again_only_when_the_store_has_the_part(
    case: Case, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts take some bytes and fail; meanwhile no body that is not acknowledged changes."""
    chance, lock = random.Random(seed), threading.Lock()
    sending: dict[tuple[str, int], tuple[memoryview, bytes]] = {}
    fails: dict[tuple[str, int], int] = {}
    fresh: list[mmap.mmap] = []
    real = mmap.mmap

    def mapped(file: int, *arguments: Any, **options: Any) -> mmap.mmap:
        memory = real(file, *arguments, **options)
        if file == -1:  # of no file: memory
            fresh.append(memory)
        return memory

    monkeypatch.setattr(mmap, "mmap", mapped)

    def unreliable(original: Callable[..., Any], *arguments: Any) -> Any:
        key, _, number, body = arguments[:4]
        with lock:
            sending.setdefault((key, number), (body, bytes(body)))
            left = fails.setdefault((key, number), chance.randrange(4))
            fails[key, number] = left - 1
        time.sleep(0.002 * chance.random())
        with lock:
            assert all(bytes(view) == sent for view, sent in sending.values())
        if left > 0:
            raise TransferError("the connection broke in the middle")
        etag = original(*arguments)
        with lock:
            del sending[key, number]
        return etag

    case.upload(Wrapped(case.store, upload_part=unreliable), jobs=chance.randint(1, 4))
    assert not sending
    assert len(fresh) < sum(not part.is_zero for part in case.plan.parts)
    assert case.content == case.path.read_bytes()


def test_memory_is_given_back_once_and_not_before_its_part_is_sent(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    free: list[mmap.mmap] = []
    take, release = buffers.Buffers.take, buffers.Buffers.release

    def taken(self: buffers.Buffers, size: int) -> mmap.mmap:
        memory = take(self, size)
        free[:] = [other for other in free if other is not memory]
        return memory

    def released(self: buffers.Buffers, memory: mmap.mmap) -> None:
        assert all(other is not memory for other in free)
        free.append(memory)
        release(self, memory)

    def send(original: Callable[..., Any], *arguments: Any) -> Any:
        assert all(other is not arguments[3].obj for other in free)
        return original(*arguments)

    monkeypatch.setattr(buffers.Buffers, "take", taken)
    monkeypatch.setattr(buffers.Buffers, "release", released)
    case.upload(Wrapped(case.store, upload_part=send), jobs=1)
    assert case.content == case.path.read_bytes()


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("held", [0, MIB])  # what is assembled with zeros has one MiB
def test_large_parts_are_read_as_they_are_sent(
    case: Case, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.upload.parts.send.HELD_IN_MEMORY", held)
    lost = []

    def half(original: Callable[..., Any], *arguments: Any) -> Any:
        if not lost:
            lost.append(arguments[3].read(3 * MIB))
            raise TransferError("the connection broke in the middle")
        return original(*arguments)

    done = case.upload(Wrapped(case.store, upload_part=half))
    assert lost
    assert (done.sent, done.copied) == (case.plan.sent, case.plan.copied)
    assert case.content == case.path.read_bytes()
    assert case.upload().skipped


@pytest.mark.slow
@pytest.mark.parametrize("held", [MIB, 32 * MIB])
def test_a_limit_holds_within_a_part_and_for_what_is_sent_again(
    case: Case, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.upload.parts.send.HELD_IN_MEMORY", held)
    waits: list[float] = []

    class Limit:
        def __init__(self, bytes_per_s: float, **_: object) -> None:
            assert bytes_per_s == 5.0

        def wait_for(self, count: int) -> None:
            waits.append(count)

    monkeypatch.setattr("imsprep.upload.parts.send.RateLimit", Limit)
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
    monkeypatch.setattr("imsprep.upload.parts.send.HELD_IN_MEMORY", MIB)

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


@pytest.mark.slow
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
