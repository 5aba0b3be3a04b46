"""What the store lists of an upload is compared with what was planned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from imsprep.errors import ServiceError
from imsprep.upload.parts.verify import check_etag
from tests.support.upload.case import (
    Case,
    Wrapped,
    assembled,
    broken_off,
)


@pytest.mark.slow
def test_a_part_that_is_wrong_in_the_store_is_sent_again(case: Case) -> None:
    upload_id = broken_off(case)
    first = case.plan.parts[0]
    case.store.upload_part("web/disk.raw", upload_id, 1, bytes(first.length))
    assert case.upload().sent == first.length
    assert case.content == case.path.read_bytes()


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


@pytest.mark.slow
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


@pytest.mark.parametrize("copied", [False, True])
def test_to_send_the_zeros_is_advised_where_a_copy_is_wrong(case: Case, copied: bool) -> None:
    with pytest.raises(ServiceError, match="nothing was completed") as caught:
        check_etag(case.store, "part 1", "0" * 32, "1" * 32, copied=copied)
    assert ("copy_zeros" in caught.value.remedies) == copied
    assert ("send the zeros" in str(caught.value)) == copied


def test_a_part_that_was_never_planned_is_noticed(case: Case) -> None:
    def listed(original: Callable[..., Any], key: str, upload_id: str) -> Any:
        held = original(key, upload_id)
        return [*held, held[-1]._replace(number=len(held) + 1)] if key == "web/disk.raw" else held

    with pytest.raises(ServiceError, match="nothing was completed"):
        case.upload(Wrapped(case.store, list_parts=listed))


@pytest.mark.parametrize("kind", ["zeros", "assembled", "data"])
@pytest.mark.parametrize("wrong", ["size", "etag"])
def test_what_the_store_lists_is_compared_with_the_plan(case: Case, kind: str, wrong: str) -> None:
    """The answers were right; only the list tells that a part is another one."""
    zeros = next(part for part in case.plan.parts if part.is_zero)
    number = {"zeros": zeros.number, "assembled": assembled(case).number, "data": 1}[kind]

    def listed(original: Callable[..., Any], key: str, upload_id: str) -> Any:
        parts = original(key, upload_id)
        if key != "web/disk.raw":
            return parts
        other = {"size": parts[number - 1].size - 1} if wrong == "size" else {"etag": "0" * 32}
        return [part._replace(**other) if part.number == number else part for part in parts]

    with pytest.raises(ServiceError, match=f"part {number} has .* nothing was completed"):
        case.upload(Wrapped(case.store, list_parts=listed))
    assert case.store.head("web/disk.raw") is None
