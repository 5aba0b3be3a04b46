"""What is compared of an object that a store says is complete."""

from __future__ import annotations

import pytest

from imsprep.errors import ServiceError
from imsprep.store.contract import ObjectFacts
from imsprep.store.retry import RetryingStore, RetryPolicy
from imsprep.upload.complete import check_object


class One:
    """A store with one object, or none."""

    def __init__(self, found: ObjectFacts | None) -> None:
        self.found = found

    def head(self, key: str) -> ObjectFacts | None:
        return self.found


def check(
    found: ObjectFacts | None, *, size: int = 9, etag: str = "e-1", expected: str | None = "e-1"
) -> str:
    store = RetryingStore(One(found), RetryPolicy())
    return check_object(store, "disk.raw", size=size, etag=etag, expected=expected)


def facts(size: int = 9, etag: str = "e-1", storage_class: str = "STANDARD") -> ObjectFacts:
    return ObjectFacts("disk.raw", size, etag, storage_class, None, {})


def test_an_object_as_it_was_computed_here_is_taken() -> None:
    assert check(facts()) == "e-1"
    # Where ETags are no MD5s nothing is expected, and the sizes remain.
    assert check(facts(etag="other"), expected=None) == "other"


@pytest.mark.parametrize("found", [None, facts(size=8), facts(size=10)])
def test_an_object_of_another_size_is_refused(found: ObjectFacts | None) -> None:
    with pytest.raises(ServiceError, match="expected 9; do not import it"):
        check(found, expected=None)


@pytest.mark.parametrize(("there", "answered"), [("other", "e-1"), ("e-1", "other"), ("x", "x")])
def test_an_etag_that_was_not_computed_here_is_refused(there: str, answered: str) -> None:
    with pytest.raises(ServiceError, match="expected e-1; do not import it"):
        check(facts(etag=there), etag=answered)


def test_an_object_of_a_class_that_is_not_read_is_refused() -> None:
    with pytest.raises(ServiceError, match="has the storage class WARM"):
        check(facts(storage_class="WARM"))
