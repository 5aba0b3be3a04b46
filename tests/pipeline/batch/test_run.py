"""A whole batch: what is checked, what is imported, and what the journal and its watcher hear."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import FindingsError, ServiceError, TransferError, UsageError
from imsprep.image.identity import Identity
from imsprep.options import BatchOptions
from imsprep.pipeline.batch import run
from imsprep.pipeline.batch.run import run_plan
from imsprep.pipeline.batch.values import (
    DONE,
    FAILED,
    INTERRUPTED,
    PLANNED,
    REFUSED,
    WAITING,
    BatchEntry,
    BatchSummary,
    Outcome,
)
from imsprep.progress import Event
from imsprep.system.locking import locked
from tests.support.pipeline.batch_outcomes import done, entry


@dataclass
class Heard:
    """What a watcher hears, by the names of its calls."""

    calls: list[tuple[object, ...]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*arguments: object, **options: object) -> None:
            self.calls.append((name, *arguments, *options.values()))

        return note

    def of(self, name: str) -> list[tuple[object, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


@dataclass
class Batch:
    """Three entries, what a check says of each, and what was imported of them."""

    folder: Path
    refused: set[str] = field(default_factory=set)
    room: int | None = None
    imported: list[str] = field(default_factory=list)
    checked: list[tuple[str, bool]] = field(default_factory=list)
    heard: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        for number in range(3):
            (self.folder / f"{number}.raw").write_bytes(b"x" * 512)

    @property
    def plan(self) -> Path:
        return self.folder / "plan.yaml"

    def check(self, one: BatchEntry, *, connect: object, ask_bucket: bool) -> Outcome:
        self.checked.append((one.shown, ask_bucket))
        if one.shown in self.refused:
            return Outcome.of_error(one, REFUSED, FindingsError("it is empty"))
        body = {"name": one.name}
        return Outcome(
            one.shown, one.name, PLANNED, size=512, body=body, warnings=2, room=self.room
        )

    def work(self, one: BatchEntry, *, context: object) -> Outcome:
        self.imported.append(one.shown)
        return replace(done(one), identity=Identity.of(Path(one.image)))

    @property
    def interruptions(self) -> list[Any]:
        return list(self.heard.of("interrupted"))

    def run(self, **options: Any) -> list[Outcome]:
        entries = [entry(number, self.folder) for number in range(3)]
        asked = BatchOptions(**options)
        return list(run_plan(self.plan, entries, asked, nobody, self.heard))


def nobody(*_: object) -> AbstractContextManager[Any]:
    raise AssertionError("nobody is to be asked")


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    made = Batch(tmp_path)
    monkeypatch.setattr(run, "check_entry", made.check)
    monkeypatch.setattr(run, "import_entry", made.work)
    return made


def states(outcomes: list[Outcome]) -> list[str]:
    return [one.state for one in outcomes]


def test_all_are_checked_and_then_all_imported(batch: Batch) -> None:
    outcomes = batch.run()
    assert states(outcomes) == [DONE] * 3
    assert [one.image for one in outcomes] == ["0.raw", "1.raw", "2.raw"]
    assert [one.warnings for one in outcomes] == [2] * 3, "of the check"
    assert sorted(batch.checked) == [(f"{n}.raw", True) for n in range(3)]
    assert sorted(batch.imported) == ["0.raw", "1.raw", "2.raw"]
    names = [call[0] for call in batch.heard.calls]
    assert names == ["checking", *["checked"] * 3, "working", *["began"] * 3, *["ended"] * 3]
    assert batch.heard.of("checking") == [(3,)]
    assert sorted(batch.heard.of("checked")) == [(1,), (2,), (3,)]
    assert batch.heard.of("working") == [(0, 3)]
    assert {heard[1].warnings for heard in batch.heard.of("ended")} == {2}  # type: ignore[attr-defined]  # an Outcome


def test_what_an_earlier_run_did_is_neither_checked_nor_imported(batch: Batch) -> None:
    batch.run()
    batch.checked.clear()
    batch.imported.clear()
    (batch.folder / "1.raw").write_bytes(b"another")
    outcomes = batch.run()
    assert states(outcomes) == [DONE] * 3
    assert [one.earlier for one in outcomes] == [True, False, True]
    assert batch.checked == [("1.raw", True)]
    assert batch.imported == ["1.raw"]
    assert batch.heard.of("working")[-1] == (2, 1)


def test_one_that_is_refused_keeps_the_others_waiting(batch: Batch) -> None:
    batch.refused = {"1.raw"}
    outcomes = batch.run()
    assert states(outcomes) == [WAITING, REFUSED, WAITING]
    assert outcomes[0].body == {}
    assert batch.imported == []
    assert batch.heard.of("refused") == [([outcomes[1]], False)]
    assert batch.heard.of("working") == [(0, 0)]


def test_the_others_go_on_if_that_is_asked_for(batch: Batch) -> None:
    batch.refused = {"1.raw"}
    outcomes = batch.run(skip_failing=True)
    assert states(outcomes) == [DONE, REFUSED, DONE]
    assert sorted(batch.imported) == ["0.raw", "2.raw"]
    assert batch.heard.of("refused") == [([outcomes[1]], True)]


def test_a_dry_run_asks_nobody_and_leaves_nothing(batch: Batch) -> None:
    outcomes = batch.run(dry_run=True)
    assert states(outcomes) == [PLANNED] * 3
    assert outcomes[0].body == {"name": "n0"}
    assert sorted(batch.checked) == [(f"{n}.raw", False) for n in range(3)]
    assert sorted(path.name for path in batch.folder.iterdir()) == ["0.raw", "1.raw", "2.raw"]


def test_a_dry_run_tells_what_is_done_already(batch: Batch) -> None:
    batch.run()
    assert states(batch.run(dry_run=True)) == [DONE] * 3


def test_one_that_fails_is_noted_and_worked_on_again(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: BatchEntry, *, context: object) -> Outcome:
        if one.shown == "1.raw":
            return Outcome.of_error(one, FAILED, ServiceError("no"))
        return batch.work(one, context=context)

    monkeypatch.setattr(run, "import_entry", work)
    assert states(batch.run()) == [DONE, FAILED, DONE]
    monkeypatch.setattr(run, "import_entry", batch.work)
    assert states(batch.run()) == [DONE] * 3
    assert batch.imported.count("1.raw") == 1


def test_an_interruption_passes_through_and_what_is_known_by_then_is_heard(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: BatchEntry, *, context: object) -> Outcome:
        if one.shown == "1.raw":
            raise KeyboardInterrupt
        return batch.work(one, context=context)

    monkeypatch.setattr(run, "import_entry", work)
    with pytest.raises(KeyboardInterrupt):
        batch.run(jobs=1)
    [(summary,)] = batch.heard.of("interrupted")
    assert isinstance(summary, BatchSummary)
    assert states(list(summary.outcomes)) == [DONE, INTERRUPTED, WAITING]
    assert summary.outcomes[1].warnings == 2, "of the check"


def test_a_quota_that_is_too_small_is_warned_of_before_the_work(batch: Batch) -> None:
    batch.room = 2
    batch.run()
    names = [call[0] for call in batch.heard.calls]
    assert names.index("warn") < names.index("working")
    assert "the quota has room for 2 more" in str(batch.heard.of("warn"))


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (2, 2), (None, 3)])
def test_so_many_images_are_worked_on_at_a_time(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, jobs: int | None, most: int
) -> None:
    together = threading.Barrier(most)

    def work(one: BatchEntry, *, context: object) -> Outcome:
        if one.shown != "2.raw" or most != 2:
            together.wait(5)
        return batch.work(one, context=context)

    monkeypatch.setattr(run, "import_entry", work)
    assert states(batch.run(jobs=jobs)) == [DONE] * 3


def test_what_an_entry_tells_is_heard(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(one: BatchEntry, *, context: Any) -> Outcome:
        context.news(one, "a line")
        context.moved(one, Event("upload", 9))
        return batch.work(one, context=context)

    monkeypatch.setattr(run, "import_entry", work)
    batch.run(jobs=1)
    first = entry(0, batch.folder)
    assert batch.heard.of("news")[0] == (first, "a line")
    assert batch.heard.of("moved")[0] == (first, Event("upload", 9))


def test_an_interruption_tells_what_is_known_by_then(batch: Batch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    batch.refused = {"0.raw"}
    vars(batch.heard)["ended"] = interrupt  # heard when the first is done
    with pytest.raises(KeyboardInterrupt):
        batch.run(skip_failing=True, jobs=1)
    [(summary,)] = batch.interruptions
    assert summary.plan == str(batch.plan)
    assert states(summary.outcomes) == [REFUSED, DONE, WAITING]
    vars(batch.heard)["working"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        batch.run(skip_failing=True, jobs=1)
    assert states(batch.interruptions[1][0].outcomes) == [REFUSED, DONE, WAITING]


def test_what_is_at_work_at_an_interruption_is_called_interrupted(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run.loop.run

    def running(entries: Any, *arguments: Any, watching: Any, **options: Any) -> Any:
        if not batch.heard.of("working"):
            return real(entries, *arguments, watching=watching, **options)
        watching.began(entries[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(run.loop, "run", running)
    with pytest.raises(KeyboardInterrupt):
        batch.run()
    [(summary,)] = batch.interruptions
    assert states(summary.outcomes) == [INTERRUPTED, WAITING, WAITING]


def test_two_batches_of_one_plan_do_not_run_together(batch: Batch) -> None:
    with (
        locked(Path(f"{batch.plan}.batch.lock"), "x"),
        pytest.raises(TransferError, match="another imsprep works on the plan"),
    ):
        batch.run()
    assert batch.checked == []


def test_a_cluster_is_not_given_what_only_this_process_can_do(batch: Batch) -> None:
    with pytest.raises(UsageError, match="also needs `endpoint`"):
        batch.run(scheduler="tcp://127.0.0.1:1")
    assert batch.checked == []
