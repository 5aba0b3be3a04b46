"""An object that is made while it is sent: what is sent, what is taken up again, what is refused."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import ImageChangedError, ServiceError, TransferError, UsageError
from imsprep.image.identity import Identity
from imsprep.store.directory import DirectoryStore
from imsprep.store.object_ownership import OccupiedError
from imsprep.store.retry import RetryPolicy
from imsprep.upload import stream as streaming
from imsprep.upload.journal import Journal
from imsprep.upload.partlog import PartLog
from imsprep.upload.stream import MadePart, NotTheSameError, stream
from imsprep.upload.values import Destination, TransferPolicy, Uploaded
from tests.support.store.suite import pattern
from tests.support.upload.case import Wrapped, broken, nameless

KEY = "web/disk.zvhd2"
LENGTH = 5000  # of a part, which is small enough to be written often
PARTS = {1: pattern(LENGTH, 1), 2: pattern(LENGTH, 2), 3: pattern(700, 3)}
SIZE = sum(map(len, PARTS.values()))


@dataclass
class Source:
    """Makes three parts of an image, the first one last, and says what it was asked for."""

    path: Path
    content: dict[int, bytes] = field(default_factory=lambda: dict(PARTS))
    plan: str = "a" * 64
    known: str = ""  # the facts that it can use
    made: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    on_made: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.identity = Identity.of(self.path)

    def parts(self, uploaded: Mapping[int, dict[str, object]]) -> Generator[MadePart]:
        for number in (2, 3, 1):
            data = self.content[number]
            note = {"digest": hashlib.md5(data).hexdigest()}
            if number in uploaded and number > 1:
                if uploaded[number] != note:
                    raise NotTheSameError(f"part {number}")
                yield MadePart(number, len(data), None, note)
                continue
            self.made.append(number)
            self.on_made()
            yield MadePart(
                number, len(data), memoryview(data), note, lambda n=number: self.released.append(n)
            )  # type: ignore[misc]  # of this part

    def facts(self) -> dict[str, object]:
        return {"digest": "of the disk"}

    def take_facts(self, facts: Mapping[str, object]) -> bool:
        return facts == {"digest": "of the disk"}

    def check_unchanged(self) -> None:
        if Identity.of(self.path) != self.identity:
            raise ImageChangedError(f"{self.path} changed")


@dataclass
class Case:
    """An image, a bucket, and what was told of the progress."""

    path: Path
    store: DirectoryStore
    told: dict[str, int] = field(default_factory=lambda: {"sent": 0, "copied": 0, "reused": 0})

    @property
    def journal(self) -> Journal:
        return Journal.for_file(self.path)

    def send(self, maker: Source | None = None, store: Any = None, **options: Any) -> Uploaded:
        quick = {"retry": RetryPolicy(limit_s=5, first_wait_s=0.0), "jobs": 1, **options}
        to = Destination(store or self.store, "a bucket", KEY, self.journal, self.path)
        return stream(maker or Source(self.path), to, TransferPolicy(**quick), self.note)

    def note(self, **counts: int) -> None:
        for name, count in counts.items():
            self.told[name] += count

    @property
    def object(self) -> bytes:
        return bytes(self.store.read(KEY, 0, SIZE + 1))

    def check_tidy(self) -> None:
        left = {path.name for path in self.path.parent.iterdir() if ".upload." in path.name}
        assert not {name for name in left if not name.endswith(".lock")}
        assert self.store.list_uploads() == []

    def break_off(self, number: int = 3, **options: Any) -> str:
        """Begin an upload whose process ends when it sends a part; return its id."""

        def die(original: Callable[..., str], key: str, id_: str, part: int, *more: Any) -> str:
            if part == number:
                raise KeyboardInterrupt
            return original(key, id_, part, *more)

        with pytest.raises(KeyboardInterrupt):
            self.send(store=Wrapped(self.store, upload_part=die), **options)
        entry = self.journal.load()
        assert entry is not None
        return entry.upload_id


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr("imsprep.store.directory_uploads.MIN_PART_SIZE", 1)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no machine goes down here
    path = tmp_path / "disk.raw"
    path.write_bytes(b"disk")
    return Case(path, DirectoryStore(tmp_path / "bucket"))


def test_the_object_is_its_parts_in_the_order_of_their_numbers(case: Case) -> None:
    maker = Source(case.path)
    done = case.send(maker)
    assert case.object == b"".join(PARTS.values())
    assert (done.key, done.size, done.sent, done.reused, done.parts) == (KEY, SIZE, SIZE, 0, 3)
    assert (done.skipped, done.restarted, done.etags_compared) == (False, None, True)
    assert case.told == {"sent": SIZE, "copied": 0, "reused": 0}
    assert sorted(maker.released) == [1, 2, 3]
    case.check_tidy()


def test_it_continues_with_the_parts_that_journal_log_and_store_agree_on(case: Case) -> None:
    case.break_off()
    maker = Source(case.path)
    done = case.send(maker)
    assert maker.made == [3, 1]
    assert (done.reused, done.sent, done.restarted) == (LENGTH, SIZE - LENGTH, None)
    assert case.object == b"".join(PARTS.values())
    case.check_tidy()


@pytest.mark.parametrize("other", [b"x" * LENGTH, b"x" * (LENGTH + 1)])
def test_a_part_that_the_store_holds_otherwise_is_sent_again(case: Case, other: bytes) -> None:
    upload_id = case.break_off()
    case.store.upload_part(KEY, upload_id, 2, other)
    done = case.send()
    assert (done.reused, done.sent, done.restarted) == (0, SIZE, None)
    assert case.object == b"".join(PARTS.values())


def test_a_part_that_no_line_of_the_log_names_is_sent_again(case: Case) -> None:
    upload_id = case.break_off()
    PartLog.for_upload(case.path, upload_id).remove()
    assert case.send().reused == 0
    case.check_tidy()


def test_notes_that_do_not_fit_the_image_start_it_over_and_say_so(case: Case) -> None:
    case.break_off()
    content = {**PARTS, 2: pattern(LENGTH, 9)}
    done = case.send(Source(case.path, content))
    assert done.restarted == "its part log does not fit the image (part 2)"
    assert (done.reused, done.sent) == (0, SIZE)
    assert case.object == b"".join(content.values())
    case.check_tidy()


@pytest.mark.parametrize("change", ["image", "plan"])
def test_an_upload_of_another_state_or_plan_is_left_and_its_rest_removed(
    case: Case, change: str
) -> None:
    case.break_off()
    if change == "image":
        case.path.write_bytes(b"another disk")
    done = case.send(Source(case.path, plan=("a" if change == "image" else "b") * 64))
    assert done.restarted is not None
    assert done.reused == 0
    case.check_tidy()


@pytest.mark.parametrize("options", [{}, {"skip_same": False}])
def test_the_same_again_sends_nothing_unless_it_is_to(case: Case, options: dict[str, Any]) -> None:
    first = case.send()
    again = case.send(**options)
    assert again.etag == first.etag
    assert (again.skipped, again.sent) == ((True, 0) if not options else (False, SIZE))
    case.check_tidy()


def test_an_object_that_was_completed_by_a_process_that_ended_is_known(case: Case) -> None:
    def completed(original: Callable[..., str], *arguments: Any) -> str:
        original(*arguments)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        case.send(store=Wrapped(case.store, complete=completed))
    maker = Source(case.path)
    done = case.send(maker, skip_same=False)
    assert (done.skipped, done.sent, done.reused, maker.made) == (True, 0, SIZE, [])
    case.check_tidy()


@pytest.mark.parametrize("named", [True, False])
def test_a_completion_whose_answer_is_lost_is_found_in_the_object(case: Case, named: bool) -> None:
    """By the upload that made it, or by its ETag where the store does not tell that."""
    lost: list[str] = []

    def complete(original: Callable[..., str], *arguments: Any) -> str:
        lost.append(original(*arguments))
        raise TransferError("the connection broke")

    methods: dict[str, Any] = {} if named else {"head": nameless}
    done = case.send(store=Wrapped(case.store, complete=complete, **methods))
    assert lost == [done.etag]
    case.check_tidy()


@pytest.mark.parametrize("ours", [False, True])  # what was there before
def test_an_object_that_came_while_the_parts_were_sent_stays(case: Case, ours: bool) -> None:
    if ours:
        case.send()
        case.path.write_bytes(b"another disk")
    quicker = Source(case.path, plan="b" * 64, on_made=lambda: case.store.put(KEY, b"quicker"))
    with pytest.raises(OccupiedError):
        case.send(quicker)
    assert case.object == b"quicker"


def test_an_object_of_somebody_else_is_replaced_only_when_asked(case: Case) -> None:
    case.store.put(KEY, b"theirs")
    maker = Source(case.path)
    with pytest.raises(OccupiedError):
        case.send(maker)
    assert (case.object, maker.made) == (b"theirs", [])
    case.send(replace=True)
    assert case.object == b"".join(PARTS.values())


def test_an_image_that_changes_meanwhile_makes_no_object(case: Case) -> None:
    changing = Source(case.path, on_made=lambda: os.utime(case.path, ns=(1, 1)))
    with pytest.raises(ImageChangedError):
        case.send(changing)
    assert case.store.head(KEY) is None
    case.check_tidy()


def test_an_image_that_changes_while_its_object_is_compared_is_not_called_the_same(
    case: Case,
) -> None:
    case.send()
    changing = Source(case.path, on_made=lambda: os.utime(case.path, ns=(1, 1)))
    with pytest.raises(ImageChangedError):
        case.send(changing)


def test_a_store_that_keeps_other_bytes_is_found_out(case: Case) -> None:
    def lying(original: Callable[..., Any], *arguments: Any) -> Any:
        return [p._replace(etag="0" * 32) if p.number == 2 else p for p in original(*arguments)]

    with pytest.raises(ServiceError, match="part 2"):
        case.send(store=Wrapped(case.store, list_parts=lying))
    assert case.store.head(KEY) is None


@pytest.mark.parametrize("number", [2, 3])
def test_a_store_that_lost_a_part_completes_nothing(case: Case, number: int) -> None:
    def losing(original: Callable[..., Any], *arguments: Any) -> Any:
        return [part for part in original(*arguments) if part.number != number]

    with pytest.raises(ServiceError, match="holds 2 parts, expected 3; nothing was completed"):
        case.send(store=Wrapped(case.store, list_parts=losing))
    assert case.store.head(KEY) is None


@pytest.mark.parametrize("name", ["disk.raw.upload.json", "disk.raw.upload.parts"])
def test_files_of_somebody_else_stay(case: Case, name: str) -> None:
    theirs = case.path.with_name(name)
    theirs.write_text("notes on an upload\n")
    with pytest.raises(UsageError, match=f"{name} was not written by imsprep"):
        case.send()
    assert theirs.read_text() == "notes on an upload\n"
    assert not case.store.list_uploads()


@pytest.mark.parametrize(("memory", "together"), [(1 << 28, 3), (LENGTH, 1)])
def test_no_more_parts_are_on_their_way_than_memory_has_room_for(
    case: Case, monkeypatch: pytest.MonkeyPatch, memory: int, together: int
) -> None:
    monkeypatch.setattr(streaming, "MEMORY", memory)
    there, on_their_way = threading.Barrier(together), list[int]()

    def send(original: Callable[..., str], key: str, id_: str, number: int, *more: Any) -> str:
        on_their_way.append(number)
        there.wait(10)
        assert len(on_their_way) <= together
        time.sleep(0.01)  # for one more, if it comes
        on_their_way.remove(number)
        return original(key, id_, number, *more)

    maker = Source(case.path, {number: pattern(LENGTH, number) for number in PARTS})
    case.send(maker, Wrapped(case.store, upload_part=send), jobs=3)
    assert sorted(maker.released) == [1, 2, 3]


def test_more_parts_than_a_store_takes_are_refused(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MAX_PART_NUMBER", 2)
    with pytest.raises(TransferError, match="part 3 is more than the store takes"):
        case.send()


def test_the_first_part_that_fails_ends_it_and_the_next_run_goes_on(case: Case) -> None:
    with pytest.raises(TransferError):
        case.send(store=Wrapped(case.store, upload_part=broken), retry=RetryPolicy(limit_s=0))
    assert case.journal.load() is not None
    assert case.send().restarted is None
    case.check_tidy()
