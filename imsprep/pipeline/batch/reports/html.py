"""HTML: one page for both sizes; on a narrow screen each row of the table becomes a card.

The page follows the rules of the check's: self-contained, light and dark by the reader's system,
everything from an image or a service escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imsprep.checks.reporters.html import finding_values
from imsprep.checks.reporters.template import page
from imsprep.pipeline.batch.reports.rows import (
    COLUMNS,
    WORDS,
    row_of,
    says_itself,
    totals,
    word_of,
    worth_telling,
)
from imsprep.pipeline.batch.values import DONE, FAILED, PLANNED, REFUSED, STATES, WAITING

if TYPE_CHECKING:
    from imsprep.pipeline.batch.values import BatchSummary, Outcome

# How the mark of a state looks.
_LOOKS = {DONE: "good", PLANNED: "good", FAILED: "bad", REFUSED: "bad", WAITING: "unsure"}


def html(summary: BatchSummary) -> str:
    """Return the page."""
    again = " · run the same command again to continue" if summary.exit_code else ""
    counts = [(state, summary.count(state)) for state in STATES]
    values = {
        "verdict": f"exit code {summary.exit_code}" if summary.exit_code else "all done",
        "plan": summary.plan,
        "totals": totals(summary),
        "tally": [(_LOOKS[state], f"{n} {WORDS[state]}") for state, n in counts if n],
        "columns": COLUMNS,
        "rows": [_row(outcome) for outcome in summary.outcomes],
        "images": [_details(outcome) for outcome in summary.outcomes if _says_more(outcome)],
        "foot": f"imsprep {summary.version}{again}",
    }
    return page("batch.html.j2", ("report.css", "batch.css"), batch=values)


def _row(outcome: Outcome) -> dict[str, object]:
    cells = list(zip(COLUMNS, row_of(outcome), strict=True))
    return {"look": _LOOKS[outcome.state], "cells": cells}


def _says_more(outcome: Outcome) -> bool:
    """Return whether an image has more to tell than its row."""
    return outcome.message is not None or bool(worth_telling(outcome))


def _details(outcome: Outcome) -> dict[str, object]:
    # The sentence of a refusal repeats its findings, which are shown below.
    reason = None if says_itself(outcome) else outcome.message
    ordered = sorted(outcome.findings, key=lambda finding: finding.order)
    return {
        "image": outcome.image, "name": outcome.name, "look": _LOOKS[outcome.state],
        "state": word_of(outcome), "reason": reason, "exit_code": outcome.exit_code,
        "findings": [finding_values(finding) for finding in ordered],
    }  # fmt: skip
