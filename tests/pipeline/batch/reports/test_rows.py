"""What the text and the page of a batch have in common."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imsprep.pipeline.batch.reports import rows
from imsprep.pipeline.batch.values import (
    DONE,
    INTERRUPTED,
    PLANNED,
    REFUSED,
    WAITING,
    BatchSummary,
    Outcome,
)
from imsprep.units import GIB


def test_a_row_leaves_empty_what_is_not_known() -> None:
    outcome = Outcome("a.raw", "web01", DONE, size=2 * GIB)
    cells = dict(zip(rows.COLUMNS, rows.row_of(outcome), strict=True))
    assert rows.row_of(replace(outcome, state=PLANNED))[rows.COLUMNS.index("sent")] == ""
    assert cells == {"image": "a.raw", "name": "web01", "state": "done", "image id": "",
                     "disk": "2 GiB", "sent": "0 bytes", "time": ""}  # fmt: skip


def test_a_row_marks_what_passed_with_warnings() -> None:
    outcome = Outcome("a.raw", "web01", DONE, warnings=1)
    at = rows.COLUMNS.index("state")
    assert rows.row_of(outcome)[at] == "done, 1 warning"
    before = replace(outcome, earlier=True, errors=2)
    assert rows.row_of(before)[at] == "done before, 2 errors, 1 warning"
    assert rows.row_of(replace(outcome, state=REFUSED))[at] == "refused"


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "0"), (3, "0, 1, 2"), (4, "0, 1, 2 and 1 more"), (9, "0, 1, 2 and 6 more")],
)
def test_three_images_are_named_and_the_others_counted(count: int, words: str) -> None:
    assert rows.named([str(number) for number in range(count)]) == words


def test_the_totals_say_what_travelled_for_how_much() -> None:
    sent = Outcome("a", "a", DONE, size=4 * GIB, sent=GIB)
    before = Outcome("b", "b", DONE, size=2 * GIB, earlier=True)
    summary = BatchSummary("plan.yaml", (sent, before))
    assert rows.totals(summary) == (
        "2 images: 1 done, 1 done before; 1 GiB sent for 2 disks of 6 GiB"
    )
    warned = BatchSummary("plan.yaml", (replace(sent, warnings=2), before))
    assert rows.totals(warned).startswith("2 images: 1 done (1 with warnings), 1 done before; ")
    planned = BatchSummary("plan.yaml", (Outcome("a", "a", PLANNED, size=GIB),))
    assert rows.totals(planned) == "1 image: 1 planned; 1 disk of 1 GiB, nothing sent"
    for state in (INTERRUPTED, WAITING):  # of which some may have been sent, or no size is known
        cut = BatchSummary("plan.yaml", (*planned.outcomes, Outcome("b", "b", state)))
        assert rows.totals(cut).count(";") == 0
