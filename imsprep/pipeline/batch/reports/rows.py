"""The rows of a summary, and the sentences that the text and the page have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imsprep.errors import show_path
from imsprep.pipeline.batch.values import DONE, FAILED, PLANNED, REFUSED, STATES, WAITING
from imsprep.report import Finding, Severity
from imsprep.units import counted, format_seconds, format_size

if TYPE_CHECKING:
    from imsprep.pipeline.batch.values import BatchSummary, Outcome

# What a state is called.
WORDS = {
    DONE: "done", PLANNED: "planned", FAILED: "failed", REFUSED: "refused", WAITING: "not begun",
}  # fmt: skip
ID = "image id"
COLUMNS = ("image", "name", "state", "disk", "sent", "time", ID)
_SHOWN = 3  # images that are named for one finding


def row_of(outcome: Outcome) -> tuple[str, ...]:
    """Return the cells of COLUMNS; one of what is not known is empty."""
    return (
        show_path(outcome.image),
        show_path(outcome.name),
        ", ".join(filter(None, (word_of(outcome), doubts(outcome)))),
        format_size(outcome.size) if outcome.size else "",
        format_size(outcome.sent) if outcome.sent or outcome.done else "",
        format_seconds(outcome.seconds) if outcome.seconds else "",
        outcome.image_id or "",
    )


def word_of(outcome: Outcome) -> str:
    """Return the state in a word or two."""
    return f"{WORDS[outcome.state]} before" if outcome.earlier else WORDS[outcome.state]


def doubts(outcome: Outcome) -> str:
    """Return how many findings above a note stopped nothing: `2 warnings`; empty if none."""
    if outcome.state == REFUSED:
        return ""
    counts = ((outcome.errors, "error"), (outcome.warnings, "warning"))
    return ", ".join(counted(n, word) for n, word in counts if n)


def named(images: list[str]) -> str:
    """Return the first images by name, and how many more there are."""
    more = len(images) - _SHOWN
    return ", ".join(map(show_path, images[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def totals(summary: BatchSummary) -> str:
    """Return a line that counts the images by state and adds up sizes."""
    counts = [
        f"{n} {WORDS[state]}{_of_them(summary, state)}"
        for state in STATES
        if (n := summary.count(state))
    ]
    sent = sum(outcome.sent for outcome in summary.outcomes)
    disks = sum(outcome.size for outcome in summary.outcomes)
    sizes = f"; {format_size(sent)} sent for disks of {format_size(disks)}" if sent else ""
    if disks and not sent:
        sizes = f"; disks of {format_size(disks)}, nothing sent"
    return f"{counted(len(summary.outcomes), 'image')}: {', '.join(counts)}{sizes}"


def _of_them(summary: BatchSummary, state: str) -> str:
    """Return how many of a state were done before, and how many passed with warnings."""
    those = [outcome for outcome in summary.outcomes if outcome.state == state]
    before, doubted = sum(o.earlier for o in those), sum(bool(doubts(o)) for o in those)
    wrong = any(o.errors for o in those if doubts(o))
    parts = [f"{before} of them before"] if before else []
    parts += [f"{doubted} with {'errors' if wrong else 'warnings'}"] if doubted else []
    return f" ({', '.join(parts)})" if parts else ""


def worth_telling(outcome: Outcome) -> list[Finding]:
    """Return the findings above a note that stopped nothing."""
    return [
        finding
        for finding in outcome.findings
        if outcome.state != REFUSED and finding.waived is None and finding.severity > Severity.NOTE
    ]


def says_itself(outcome: Outcome) -> bool:
    """Return whether the findings of a refused image say all that its message does."""
    return outcome.state == REFUSED and bool(outcome.findings)
