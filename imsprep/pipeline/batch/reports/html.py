"""HTML: one page for both sizes; on a narrow screen each row of the table becomes a card.

The page follows the rules of the check's: self-contained, light and dark by the reader's system,
everything from an image or a service escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from imsprep.checks.naming import argument
from imsprep.checks.reporters.html import finding_values
from imsprep.checks.reporters.template import page
from imsprep.pipeline.batch.reports.rows import (
    COLUMNS,
    WORDS,
    doubts,
    row_of,
    says_itself,
    totals,
    word_of,
    worth_telling,
)
from imsprep.pipeline.batch.values import (
    DONE,
    FAILED,
    INTERRUPTED,
    PLANNED,
    REFUSED,
    STATES,
    UNCHECKED,
    WAITING,
)

if TYPE_CHECKING:
    from imsprep.pipeline.batch.values import BatchSummary, Outcome

# How the mark of a state looks.
_LOOKS = {DONE: "good", PLANNED: "good", FAILED: "bad", REFUSED: "bad", WAITING: "unsure",
          INTERRUPTED: "unsure", UNCHECKED: "bad"}  # fmt: skip


def html(summary: BatchSummary) -> str:
    """Return the page."""
    values = {
        "verdict": _verdict(summary),
        "plan": summary.plan,
        "totals": totals(summary),
        "tally": list(_tally(summary)),
        "columns": COLUMNS,
        "rows": [_row(outcome) for outcome in summary.outcomes],
        "images": [_details(outcome) for outcome in summary.outcomes if _says_more(outcome)],
        "foot": f"imsprep {summary.version}{_what_next(summary)}",
    }
    return page("batch.html.j2", ("report.css", "batch.css"), batch=values)


def _verdict(summary: BatchSummary) -> str:
    if not summary.exit_code:
        return "all done"
    return f"{'interrupted, ' if summary.interrupted else ''}exit code {summary.exit_code}"


def _what_next(summary: BatchSummary) -> str:
    """Return what is left to do: what was refused is so again unless something changes."""
    if summary.count(REFUSED):
        return (
            " · mend what is refused, or take it out of the plan; then run the same command again"
        )
    if summary.count(UNCHECKED) and not summary.interrupted:
        return " · mend what kept an image from being checked; then run the same command again"
    return " · run the same command again to continue" if summary.exit_code else ""


def _tally(summary: BatchSummary) -> Iterator[tuple[str, str]]:
    """Yield how many images are in each state, those with warnings apart, and how that looks."""
    for state in STATES:
        those = [outcome for outcome in summary.outcomes if outcome.state == state]
        doubted = sum(_look(outcome) != _LOOKS[state] for outcome in those)
        if len(those) > doubted:
            yield _LOOKS[state], f"{len(those) - doubted} {WORDS[state]}"
        if doubted:
            yield "unsure", f"{doubted} {WORDS[state]} with warnings"


def _row(outcome: Outcome) -> dict[str, object]:
    cells = list(zip(COLUMNS, row_of(outcome), strict=True))
    return {"look": _look(outcome), "cells": cells}


def _look(outcome: Outcome) -> str:
    """Return how a state's mark looks; what was done with warnings is not green."""
    look = _LOOKS[outcome.state]
    return "unsure" if look == "good" and doubts(outcome) else look


def _says_more(outcome: Outcome) -> bool:
    """Return whether an image has more to tell than its row."""
    return outcome.message is not None or bool(worth_telling(outcome))


def _details(outcome: Outcome) -> dict[str, object]:
    # The sentence of a refusal repeats its findings, which are shown below.
    reason = None if says_itself(outcome) else outcome.message
    ordered = sorted(outcome.findings, key=lambda finding: finding.order)
    return {
        "image": outcome.image, "name": outcome.name, "look": _look(outcome),
        "state": word_of(outcome), "reason": reason, "exit_code": outcome.exit_code,
        "findings": [finding_values(f, argument(outcome.image), outcome.format or "")
                     for f in ordered],
    }  # fmt: skip
