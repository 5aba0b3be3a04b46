"""The exit code of a batch, and the last word on each image."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace

import pytest

from imsprep.errors import UsageError
from imsprep.image.identity import Identity
from imsprep.pipeline.batch.values import (
    DONE,
    FAILED,
    REFUSED,
    WAITING,
    BatchEntry,
    BatchSummary,
    Outcome,
    in_plan,
    last_word,
    short_of_room,
)
from imsprep.report import Finding, Report, Severity
from tests.support.pipeline.batch_outcomes import OPTIONS, done, entry, failed

CODES = (1, 2, 3, 4, 5, 6, 7)


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
    outcome = Outcome("a", "n", REFUSED, findings=(finding,), identity=Identity(1, 2, 3, 4, 5))
    for value in (entry(), outcome):
        assert pickle.loads(pickle.dumps(value)) == value


def test_the_last_word_is_that_of_the_work_with_the_findings_of_the_check() -> None:
    finding = Finding("IMS101", Severity.NOTE, "disk", "t", "m")
    checked = Outcome("1.raw", "n1", WAITING, findings=(finding,))
    last = last_word(checked, done(entry(1)))
    assert (last.state, last.findings) == (DONE, (finding,))


def test_the_code_of_an_interruption_is_that_of_the_batch() -> None:
    outcomes = (done(entry(1)), failed(6))
    assert BatchSummary("p", outcomes).exit_code == 6
    assert BatchSummary("p", outcomes, interrupted=130).exit_code == 130


def test_a_quota_that_is_too_small_is_told_for_each_service() -> None:
    entries = [BatchEntry("/x", f"{n}", "n", replace(OPTIONS, site="otc", region=r)) for n, r in enumerate(("a", "a", "b", "c"))]  # fmt: skip
    rooms = {"0": 5, "1": 1, "2": 1, "3": None}
    checked = {shown: Outcome(shown, "n", WAITING, room=room) for shown, room in rooms.items()}
    [said] = short_of_room(entries, checked)
    assert said.startswith("otc a: 2 images are to be imported, and the quota has room for 1 more")
    assert list(short_of_room(entries[2:], checked)) == []


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
    finding = Finding("IMS101", Severity.WARNING, "a.raw", "title", "message", fix=fix)
    (shown,) = in_plan(Report("a.raw", (finding,))).findings
    assert shown.fix == meant


def test_advice_on_an_object_that_is_there_names_keys_of_the_plan() -> None:
    found = Finding("IMS704", Severity.ERROR, "a", "b", "c", fix="Choose another key, or none.")
    (shown,) = in_plan(Report("a.raw", (found,))).findings
    assert shown.fix == ("Choose another key (key in the plan), or none.")
