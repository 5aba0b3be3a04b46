"""The batch's loop, its journal and its exit code, without a cloud."""

from __future__ import annotations

import itertools
import json
import pickle
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from imsprep.checks.reporters.text import Style
from imsprep.errors import ReadError, ServiceError, UsageError
from imsprep.image.file import Identity
from imsprep.options import ImportOptions
from imsprep.pipeline.batch.journal import BatchJournal
from imsprep.pipeline.batch.report import render, schema
from imsprep.pipeline.batch.values import (
    DONE,
    FAILED,
    REFUSED,
    WAITING,
    BatchEntry,
    BatchSummary,
    Outcome,
    Watching,
    in_plan,
    merged,
    run,
    short_of_room,
)
from imsprep.report import Finding, Severity

OPTIONS = ImportOptions(to="local:c", name="n", ignore=("IMS405",))
CODES = (1, 2, 3, 4, 5, 6, 7)


def entry(number: int = 1, folder: Path = Path("/x")) -> BatchEntry:
    return BatchEntry(str(folder / f"{number}.raw"), f"{number}.raw", f"n{number}", OPTIONS)


def done(one: BatchEntry) -> Outcome:
    return Outcome(one.shown, one.name, DONE, image_id=f"id-{one.shown}")


def failed(code: int) -> Outcome:
    return Outcome("a", "a", FAILED, exit_code=code, message="m", kind="K")


@pytest.mark.parametrize("jobs", [1, 3, 20])
def test_so_many_at_a_time_and_no_more(jobs: int) -> None:
    at_work, most = 0, 0

    def began(one: BatchEntry) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)

    def ended(one: BatchEntry, outcome: Outcome) -> None:
        nonlocal at_work
        at_work -= 1

    entries = [entry(n) for n in range(10)]
    with ThreadPoolExecutor(10) as pool:
        outcomes = run(entries, done, pool, jobs=jobs, watching=Watching(began, ended))
    assert (most, at_work) == (min(jobs, 10), 0)
    assert {o.image for o in outcomes.values()} == {u.shown for u in entries}


def test_one_that_is_lost_does_not_stop_the_others() -> None:
    def work(one: BatchEntry) -> Outcome:
        if one.shown == "2.raw":
            raise ConnectionError("the worker is gone")
        return done(one)

    with ThreadPoolExecutor(2) as pool:
        outcomes = run([entry(n) for n in range(4)], work, pool, jobs=2, watching=Watching())
    assert [o.state for o in outcomes.values()].count(DONE) == 3
    lost = outcomes["2.raw"]
    assert (lost.state, lost.exit_code) == (FAILED, 5)
    assert "ConnectionError: the worker is gone" in str(lost.message)


class Cancelling(Executor):
    """An executor that takes everything back, as a cluster whose scheduler ends."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_a_cluster_that_goes_away_fails_what_it_had() -> None:
    outcomes = run([entry(1), entry(2)], done, Cancelling(), jobs=2, watching=Watching())
    assert {o.exit_code for o in outcomes.values()} == {5}


def test_what_happens_is_told_in_order_and_now_and_then_in_between() -> None:
    told: list[str] = []
    go_on = threading.Event()

    def on_tick() -> None:
        told.append("passing")
        go_on.set()

    def work(one: BatchEntry) -> Outcome:
        go_on.wait(timeout=20)
        return done(one)

    watching = Watching(
        lambda u: told.append(f"began {u.shown}"),
        lambda u, o: told.append(f"ended {u.shown} {o.state}"),
        on_tick,
        interval_s=0.01,
    )
    with ThreadPoolExecutor(1) as pool:
        run([entry(1)], work, pool, jobs=1, watching=watching)
    assert [t for t in told if t != "passing"] == ["began 1.raw", "ended 1.raw done"]
    assert "passing" in told


def test_the_exit_code_is_that_of_the_worst_and_5_or_7_mean_run_again() -> None:
    for count in range(len(CODES) + 1):
        for codes in itertools.combinations(CODES, count):
            outcomes = (done(entry()), *(failed(code) for code in codes))
            code = BatchSummary("p", outcomes).exit_code
            assert code in codes or (code, codes) == (0, ())
            if code in (5, 7):
                assert set(codes) <= {5, 7}


def test_every_exit_code_has_its_place_in_the_order() -> None:
    for code in CODES:
        assert BatchSummary("p", (failed(code), done(entry()))).exit_code == code


def test_a_unit_and_an_outcome_can_travel() -> None:
    finding = Finding("IMS101", Severity.ERROR, "disk", "t", "m")
    outcome = Outcome("a", "n", REFUSED, findings=(finding,), identity={"inode": 1})
    for value in (entry(), outcome):
        assert pickle.loads(pickle.dumps(value)) == value


def test_the_last_word_is_that_of_the_work_with_the_findings_of_the_check() -> None:
    finding = Finding("IMS101", Severity.NOTE, "disk", "t", "m")
    checked = [
        Outcome("1.raw", "n1", WAITING, findings=(finding,)),
        Outcome("2.raw", "n2", REFUSED, exit_code=1),
    ]
    first, second = merged(checked, {"1.raw": done(entry(1))})
    assert (first.state, first.findings) == (DONE, (finding,))
    assert second is checked[1]


def test_a_quota_that_is_too_small_is_told_for_each_service() -> None:
    entries = [BatchEntry("/x", f"{n}", "n", replace(OPTIONS, site="otc", region=r)) for n, r in enumerate(("a", "a", "b", "c"))]  # fmt: skip
    rooms = {"0": 5, "1": 1, "2": 1, "3": None}
    checked = {shown: Outcome(shown, "n", WAITING, room=room) for shown, room in rooms.items()}
    [said] = short_of_room(entries, checked)
    assert said.startswith("otc a: 2 images are to be imported, and the quota has room for 1 more")
    assert list(short_of_room(entries[2:], checked)) == []


@pytest.fixture
def image(tmp_path: Path) -> BatchEntry:
    (tmp_path / "1.raw").write_bytes(b"x" * 512)
    return entry(1, tmp_path)


def note_done(journal: BatchJournal, one: BatchEntry) -> None:
    identity = Identity.of(one.image).as_dict()
    outcome = Outcome(one.shown, one.name, DONE, image_id="i-1", job_id="j-1", size=512, identity=identity)  # fmt: skip
    journal.ended(one, outcome)


def test_what_is_done_is_known_by_the_next_run(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    assert journal.done(image) is None
    journal.begun(image)
    assert BatchJournal.for_plan(tmp_path / "plan.yaml").done(image) is None
    note_done(journal, image)
    again = BatchJournal.for_plan(tmp_path / "plan.yaml").done(image)
    assert again == Outcome("1.raw", "n1", DONE, image_id="i-1", job_id="j-1", size=512, earlier=True)  # fmt: skip


def test_another_entry_or_another_file_is_not_done(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, image)
    other = BatchEntry(image.image, image.shown, image.name, replace(OPTIONS, name="m"))
    assert journal.done(other) is None
    Path(image.image).write_bytes(b"y" * 512)
    assert journal.done(image) is None


def test_a_done_image_whose_file_was_removed_stays_done(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, image)
    Path(image.image).unlink()
    assert journal.done(image) is not None


def test_a_done_image_that_cannot_be_looked_at_is_told(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, image)
    there = BatchEntry(f"{image.image}/below", image.shown, image.name, image.options)
    with pytest.raises(ReadError, match="Not a directory"):
        journal.done(there)


def test_a_failure_is_noted_and_worked_on_again(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    journal.ended(image, Outcome.of_error(image, FAILED, ServiceError("refused")))
    note = json.loads(journal.path.read_text())["images"]["1.raw"]
    assert (note["state"], note["message"], note["exit_code"]) == ("failed", "refused", 6)
    assert journal.done(image) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "images": 3}', '{"schema": 1, "images": {"a": 3}}'])  # fmt: skip
def test_a_journal_that_cannot_be_read_is_told_and_not_overwritten(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml.batch.json").write_text(text)
    with pytest.raises(ReadError, match=r"cannot use .*every image is checked again"):
        BatchJournal.for_plan(tmp_path / "plan.yaml")


@pytest.mark.parametrize("identity", [{}, None, {"inode": 1}, {"device": 1, "inode": 2, "size": 3, "mtime_ns": 4, "ctime_ns": 5, "more": 6}])  # fmt: skip
def test_a_note_without_a_usable_identity_is_not_done(
    identity: Any, image: BatchEntry, tmp_path: Path
) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, image)
    journal._notes["1.raw"]["identity"] = identity
    assert journal.done(image) is None


NASTY = "<script>alert('&')</script>"


def nasty() -> BatchSummary:
    finding = Finding("IMS101", Severity.WARNING, "disk", NASTY, NASTY)
    return BatchSummary(
        f"{NASTY}.yaml",
        (
            Outcome(NASTY, NASTY, DONE, image_id=NASTY, size=5 << 30, sent=1 << 30, seconds=125),
            Outcome("b.raw", "b", REFUSED, message=NASTY, exit_code=1, findings=(finding,)),
            Outcome("c.raw", "c", FAILED, message=f"{NASTY}\nsecond line", exit_code=6, kind="S"),
            Outcome("d.raw", "d", WAITING, findings=(finding,)),
            Outcome("e.raw", "e", DONE, image_id="i-5", earlier=True),
        ),
    )


def test_the_page_is_whole_and_obeys_nobody() -> None:
    from html.parser import HTMLParser

    page = render(nasty(), "html")
    opened: list[str] = []

    class Check(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            assert tag != "script"
            if tag not in ("meta", "br"):
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Check().feed(page)
    assert opened == []
    for word in ("http:", "https:", "url(", "@import"):
        assert word not in page
    assert "prefers-color-scheme:dark" in page
    assert "@media (max-width" in page
    for title in ("image", "state", "image id"):
        assert f"data-title='{title}'" in page


def test_the_text_has_a_row_for_each_image_and_each_reason_once() -> None:
    text = render(nasty(), "text", Style(width=200))
    lines = text.splitlines()
    assert lines[0].split() == ["image", "name", "state", "image", "id", "disk", "sent", "time"]
    assert [line.split("  ")[0] for line in lines[1:6]] == [
        NASTY,
        "b.raw",
        "c.raw",
        "d.raw",
        "e.raw",
    ]
    assert "2 min 5 s" in lines[1]
    assert "done before" in lines[5]
    assert "c.raw: failed, exit code 6" in lines
    assert lines[lines.index("d.raw:") + 1].split()[0] == "warning"
    assert NASTY in text[text.index("d.raw:\n") :]
    assert lines[-1].startswith("5 images: 2 done (1 of them before), 1 failed, 1 refused, 1 not begun")  # fmt: skip


def test_what_many_images_have_in_common_is_told_once() -> None:
    finding = nasty().outcomes[3].findings[0]
    found = tuple(
        Outcome(f"{n}.raw", "x", DONE, findings=(replace(finding, message=f"says {n // 5}"),))
        for n in range(6)
    )
    lines = render(BatchSummary("plan.yaml", found), "text").splitlines()
    assert lines[lines.index("0.raw, 1.raw, 2.raw and 2 more:") + 2].strip() == "says 0"
    assert lines[lines.index("5.raw:") + 2].strip() == "says 1"


def test_the_table_keeps_to_a_terminal_and_puts_ids_below_the_rows() -> None:
    id_ = "0ab12345-1111-2222-3333-444444444444"
    found = tuple(
        Outcome(f"images/debian-{n}.qcow2", "web01", DONE, image_id=id_, size=1 << 30, seconds=3.0)
        for n in range(2)
    )
    lines = render(BatchSummary("plan.yaml", found), "text", Style(width=60)).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[1].startswith("images/debian-0.qcow2  web01  done   1 GiB")
    assert lines[2] == f"  image id {id_}"
    (wide, *_) = render(BatchSummary("plan.yaml", found), "text", Style(width=120)).splitlines()
    assert "image id" in wide


def test_the_json_fits_its_schema_and_says_the_same() -> None:
    value = json.loads(render(nasty(), "json"))
    jsonschema.validate(value, schema())
    assert value["exit_code"] == 6
    assert value["counts"] == {"done": 2, "failed": 1, "planned": 0, "refused": 1, "waiting": 1}
    assert [i["state"] for i in value["images"]] == ["done", "refused", "failed", "waiting", "done"]


def test_an_error_that_is_ours_is_told_and_another_is_called_internal() -> None:
    ours = Outcome.of_error(entry(), FAILED, UsageError("wrong"))
    assert (ours.kind, ours.message, ours.exit_code) == ("UsageError", "wrong", 2)
    other = Outcome.of_error(entry(), FAILED, ZeroDivisionError("x"))
    assert (other.exit_code, other.message) == (3, "internal error: ZeroDivisionError('x')")


@pytest.mark.parametrize(
    ("fix", "meant"),
    [
        ("Ask for it: imsprep import IMAGE --firmware uefi", "Ask for it: firmware: uefi in the plan"),
        ("imsprep import 'a b.raw' --via zvhd2, which packs", "via: zvhd2 in the plan, which packs"),
        ("imsprep convert a b", "imsprep convert a b"),
        (None, None),
    ],
)  # fmt: skip
def test_advice_for_an_import_names_the_key_of_the_plan(fix: str | None, meant: str | None) -> None:
    finding = Finding("IMS217", Severity.WARNING, "a.raw", "title", "message", fix=fix)
    assert in_plan(finding).fix == meant
