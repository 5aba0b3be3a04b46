"""Threads of an upload: how the block ends, with an error, an interruption, or well."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from imsprep.errors import TransferError
from imsprep.store.contract import ObjectStore
from imsprep.store.retry import RetryingStore, RetryPolicy
from imsprep.upload.parts.pool import workers


@pytest.fixture
def store() -> RetryingStore:
    return RetryingStore(cast(ObjectStore, None), RetryPolicy())


def test_work_that_is_waited_for_is_done_and_nothing_is_stopped(store: RetryingStore) -> None:
    with workers(store, 2) as pool:
        assert [one.result() for one in [pool.submit(abs, -n) for n in range(20)]] == list(
            range(20)
        )
    assert not store.stopped


def test_an_error_ends_waits_and_drops_what_was_not_begun(store: RetryingStore) -> None:
    begun, waited = threading.Event(), list[Exception]()

    def wait() -> None:
        begun.set()
        try:
            store.wait(600)
        except TransferError as error:
            waited.append(error)

    dropped: Any = None
    with pytest.raises(KeyError), workers(store, 1) as pool:  # noqa: PT012 - the error is ours
        pool.submit(wait)
        dropped = pool.submit(waited.append, ValueError())
        assert begun.wait(20)
        raise KeyError
    assert store.stopped
    assert [str(error) for error in waited] == ["the upload was stopped"]
    assert dropped.cancelled()


def test_an_interruption_does_not_wait_for_a_part_on_its_way(store: RetryingStore) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def send() -> None:
        begun.set()
        goes_on.wait(60)

    try:
        with pytest.raises(KeyboardInterrupt), workers(store, 1) as pool:  # noqa: PT012 - as above
            sent = pool.submit(send)
            assert begun.wait(20)
            raise KeyboardInterrupt
        assert not sent.done()
    finally:
        goes_on.set()
