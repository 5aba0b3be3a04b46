"""What is compared of an object that a store says is complete."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from imsprep.errors import ServiceError, TransferError
from imsprep.store.contract import ObjectFacts, Part
from imsprep.store.retry import RetryingStore, RetryPolicy
from imsprep.units import MIB
from imsprep.upload.complete import check_object, complete, is_gone
from tests.support.upload.case import Case, Wrapped, nameless


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


REFUSED = ServiceError("refused", code="InvalidPart")
GONE = ServiceError("gone", code="NoSuchUpload")
LOST = TransferError("no answer")


class Scripted:
    """A store that answers one request after another as it is written here."""

    def __init__(self, *answers: tuple[str, object]) -> None:
        self.left = list(answers)

    def _next(self, name: str) -> Any:
        asked, answer = self.left.pop(0)
        assert asked == name
        if isinstance(answer, Exception):
            raise answer
        return answer

    def complete(self, key: str, upload_id: str, parts: list[Part]) -> str:
        return str(self._next("complete"))

    def head(self, key: str) -> ObjectFacts | None:
        found: ObjectFacts | None = self._next("head")
        return found

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        found: list[Part] = self._next("list")
        return found


def completed(*answers: tuple[str, object], ours: bool = True, limit_s: float = 9.0) -> str:
    """Complete an upload against this script, all of which has to be used."""
    store = Scripted(*answers)
    now = iter(range(1000))
    policy = RetryPolicy(
        limit_s=limit_s, first_wait_s=0.0, jitter=lambda: 0.0, clock=lambda: float(next(now))
    )
    try:
        return complete(
            RetryingStore(store, policy), "disk.raw", "u-1", [], is_ours=lambda found: ours
        )
    finally:
        assert store.left == []


def made_by(upload_id: str | None, etag: str = "e-1") -> ObjectFacts:
    return ObjectFacts("disk.raw", 9, etag, "STANDARD", upload_id, {})


def test_an_answer_is_the_end_and_a_refusal_too() -> None:
    assert completed(("complete", "e-1")) == "e-1"
    with pytest.raises(ServiceError, match="refused"):
        completed(("complete", REFUSED))


def test_a_lost_answer_is_found_in_the_object_by_the_upload_that_made_it() -> None:
    assert completed(("complete", LOST), ("head", made_by("u-1"))) == "e-1"
    # Another upload's object says nothing; the upload is there still, so it is asked again.
    assert completed(
        ("complete", LOST), ("head", made_by("u-2")), ("list", []), ("complete", "e-3")
    ) == "e-3"  # fmt: skip
    # An object whose upload is not known says nothing as long as the upload is there.
    assert completed(
        ("complete", LOST), ("head", made_by(None)), ("list", []), ("complete", "e-4")
    ) == "e-4"  # fmt: skip
    assert completed(
        ("complete", LOST), ("head", None), ("list", []), ("complete", "e-5")
    ) == "e-5"  # fmt: skip


@pytest.mark.parametrize("code", ["NoSuchUpload", "404"])
def test_an_upload_that_is_gone_has_made_its_object_or_never_will(code: str) -> None:
    gone = ServiceError("gone", code=code)
    start = (("complete", LOST), ("head", made_by(None)), ("list", gone))
    assert completed(*start, ("head", made_by(None, "e-9"))) == "e-9"
    assert completed(*start, ("head", made_by("u-1", "e-8")), ours=False) == "e-8"
    for found in (None, made_by("u-2"), made_by("u-2", "e-2")):
        with pytest.raises(
            TransferError, match=r"'disk\.raw' is gone and no object of it is there"
        ):
            completed(*start, ("head", found))
    with pytest.raises(TransferError, match="no object of it is there; run again"):
        completed(*start, ("head", made_by(None)), ours=False)


def test_a_refusal_behind_a_lost_answer_may_mean_that_it_worked() -> None:
    start = (("complete", LOST), ("head", None), ("list", []), ("complete", REFUSED))
    assert completed(*start, ("head", made_by("u-1"))) == "e-1"
    assert completed(*start, ("head", None), ("list", []), ("head", made_by(None))) == "e-1"
    # It is neither there nor gone: it is asked again until the time is over.
    with pytest.raises(TransferError, match="no answer"):
        completed(*start, ("head", None), ("list", []), ("head", None), limit_s=2.0)
    assert completed(
        *start, ("head", None), ("list", []), ("head", made_by(None)), ("complete", "e-7"), ours=False
    ) == "e-7"  # fmt: skip


def test_a_refusal_of_the_list_is_no_sign_that_the_upload_is_gone() -> None:
    denied = ServiceError("denied", code="AccessDenied")
    with pytest.raises(ServiceError, match="denied"):
        completed(("complete", LOST), ("head", None), ("list", denied))
    assert [is_gone(error) for error in (GONE, denied, REFUSED)] == [True, False, False]


def test_the_time_for_a_lost_answer_ends() -> None:
    with pytest.raises(TransferError, match="no answer"):
        completed(("complete", LOST), ("head", None), ("list", []), limit_s=1.0)


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


def test_an_object_of_which_no_etag_is_given_is_refused_for_that() -> None:
    with pytest.raises(ServiceError, match=r"no ETag of the object 'disk\.raw'"):
        check(facts(etag=""))
    assert check(facts(etag=""), expected=None) == ""


def test_an_object_of_a_class_that_is_not_read_is_refused() -> None:
    with pytest.raises(ServiceError, match="has the storage class WARM"):
        check(facts(storage_class="WARM"))


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


@pytest.mark.slow
def test_a_completion_that_is_refused_at_once_is_an_error(case: Case) -> None:
    def refuse(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key == "web/disk.raw":
            raise ServiceError("403 no", code="AccessDenied")
        return original(key, *arguments)

    with pytest.raises(ServiceError, match="403 no"):
        case.upload(Wrapped(case.store, complete=refuse))


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


@pytest.mark.slow
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
    with pytest.raises(TransferError, match="is gone and no object of it is there; run again"):
        small.upload(store, skip_same=False)


@pytest.mark.slow
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
