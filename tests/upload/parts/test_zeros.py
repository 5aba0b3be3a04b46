"""Zeros in the bucket: made, copied, proved, removed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from imsprep.errors import ServiceError, TransferError
from imsprep.units import MIB
from tests.support.upload.case import (
    Case,
    Wrapped,
    assembled,
    broken_off,
    nameless,
)


def test_a_store_that_lies_about_a_copy_is_found_out(case: Case) -> None:
    with pytest.raises(ServiceError, match="MD5"):
        case.upload(Wrapped(case.store, copy_part=lambda original, *a: original(*a)[::-1]))
    assert case.store.head("web/disk.raw") is None


def test_a_store_that_copies_too_little_is_found_out(case: Case) -> None:
    def short(original: Callable[..., str], *a: Any) -> str:
        etag = original(*a)
        original(*a[:-1], a[-1]._replace(length=a[-1].length - 1))
        return etag

    with pytest.raises(ServiceError):
        case.upload(Wrapped(case.store, copy_part=short))
    assert case.store.head("web/disk.raw") is None


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


def test_the_answer_to_a_part_of_zeros_is_compared(case: Case) -> None:
    """The zero object was made rightly, and what is listed is right too."""

    def copy(original: Callable[..., str], key: str, *arguments: Any) -> str:
        etag = original(key, *arguments)
        number, source = arguments[1], arguments[2]
        zero_part = key == "web/disk.raw" and case.plan.parts[number - 1].is_zero
        return "0" * 32 if zero_part and source.key.startswith("imsprep-zeros/") else etag

    with pytest.raises(
        ServiceError, match=r"the store says that part .* expected .*send the zeros"
    ):
        case.upload(Wrapped(case.store, copy_part=copy))
    assert case.store.head("web/disk.raw") is None


@pytest.mark.slow
@pytest.mark.parametrize("left", [None, 5 * MIB])
def test_a_zero_object_that_is_gone_or_not_grown_is_made_again(
    case: Case, left: int | None
) -> None:
    upload_id = broken_off(case)
    for found in case.store.list_objects("imsprep-zeros/"):
        case.store.delete(found.key)
        if left is not None:
            case.store.put(found.key, bytes(left))
    zeros = next(part for part in case.plan.parts if part.is_zero)
    case.store.upload_part("web/disk.raw", upload_id, zeros.number, b"x" * zeros.length)
    assert case.upload().copied == zeros.length
    assert case.content == case.path.read_bytes()


@pytest.mark.slow
def test_a_zero_object_that_is_gone_is_made_again_for_a_assembled_part(case: Case) -> None:
    upload_id = broken_off(case)
    for found in case.store.list_objects("imsprep-zeros/"):
        case.store.delete(found.key)
    (file,) = (case.store.uploads / upload_id).glob(f"{assembled(case).number:05}-*")
    file.unlink()
    assert case.upload().sent == assembled(case).sent
    assert case.content == case.path.read_bytes()


def test_a_assembled_part_sends_its_data_alone(case: Case) -> None:
    sizes: list[int] = []

    def size(original: Callable[..., Any], *arguments: Any) -> Any:
        sizes.append(len(arguments[3]))
        return original(*arguments)

    case.upload(Wrapped(case.store, upload_part=size))
    assert sum(sizes) == case.plan.sent
    assert assembled(case).sent == MIB
    assert case.content == case.path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("etag", ["0" * 32, "0" * 32 + "-2"])
def test_a_assembled_part_that_nothing_proves_is_sent_whole(case: Case, etag: str) -> None:
    number = assembled(case).number

    def other(original: Callable[..., str], key: str, upload_id: str, n: int, *more: Any) -> str:
        found = original(key, upload_id, n, *more)
        return etag if (key, n) == ("web/disk.raw", number) else found

    done = case.upload(Wrapped(case.store, copy_part=other))
    assert done.sent == case.plan.sent + assembled(case).zeros
    assert case.content == case.path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["create", "copy_part", "upload_part", "complete"])
def test_a_store_that_does_not_let_a_part_be_assembled_gets_it_whole(
    case: Case, method: str
) -> None:
    def refuse(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key.startswith("imsprep-zeros/") and key.endswith(f"-{assembled(case).number}"):
            raise ServiceError("no", code="AccessDenied")
        return original(key, *arguments)

    done = case.upload(Wrapped(case.store, **{method: refuse}))
    assert done.sent == case.plan.sent + assembled(case).zeros
    assert case.content == case.path.read_bytes()


@pytest.mark.slow
def test_a_part_is_assembled_only_when_the_zeros_are_there(case: Case) -> None:
    made: list[int] = []

    def seed(original: Callable[..., Any], *arguments: Any) -> Any:
        threading.Event().wait(0.5)  # the parts have gone on meanwhile as far as they can
        return original(*arguments)

    def begin(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key.startswith("imsprep-zeros/") and key.endswith(f"-{assembled(case).number}"):
            zeros = case.store.head(key.rpartition("-")[0])
            made.append(zeros.size if zeros else 0)
        return original(key, *arguments)

    done = case.upload(Wrapped(case.store, put=seed, create=begin))
    assert made == [case.plan.zero_size]
    assert done.sent == case.plan.sent


def test_zeros_are_removed_with_all_their_versions(case: Case) -> None:
    """They were made by replacing smaller ones, which a bucket with versioning keeps."""
    removed: dict[str, object] = {}

    def delete(original: Callable[..., Any], key: str, **options: Any) -> Any:
        removed[key] = options["versions"]
        return original(key, **options)

    case.upload(Wrapped(case.store, delete=delete))
    assert len(removed) > 1  # the zero object, and what was assembled with it
    assert set(removed.values()) == {True}
    assert all(key.startswith("imsprep-zeros/") for key in removed)


@pytest.mark.parametrize("named", [False, True])
def test_a_lost_completion_of_an_assembled_part_is_resolved_too(case: Case, named: bool) -> None:
    lost = []

    def lose(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        answer = original(key, *arguments)
        if key.endswith(f"-{assembled(case).number}") and not lost:
            lost.append(key)
            raise TransferError("the connection broke")
        return answer

    store = Wrapped(case.store, complete=lose, **({} if named else {"head": nameless}))
    done = case.upload(store)
    assert lost
    assert done.sent == case.plan.sent
    assert case.content == case.path.read_bytes()
