"""The rows of a summary, and the sentences that the text and the page have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from imsprep.errors import show_path
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
from imsprep.report import Finding, Severity
from imsprep.units import counted, format_seconds, format_size

if TYPE_CHECKING:
    from imsprep.pipeline.batch.values import BatchSummary, Outcome

# What a state is called.
WORDS = {
    DONE: "done", PLANNED: "planned", FAILED: "failed", REFUSED: "refused", WAITING: "not begun",
    INTERRUPTED: "interrupted", UNCHECKED: "not checked",
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


def not_taken(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, list[str]]]:
    """Yield what is said of images that the check did not take, and their names."""
    refused = [one.image for one in outcomes if one.state == REFUSED]
    unchecked = [one.image for one in outcomes if one.state == UNCHECKED]
    if refused:
        yield f"the check refuses {counted(len(refused), 'image')}", refused
    if unchecked:
        yield f"{counted(len(unchecked), 'image')} could not be checked", unchecked


def reason_of(outcome: Outcome) -> str:
    """Return why an image was not taken, on one line: its worst finding, or the error."""
    stopping = sorted((f for f in outcome.findings if f.waived is None), key=lambda f: f.order)
    if not says_itself(outcome) or not stopping:
        return (outcome.message or "").partition("\n")[0]
    first, *more = (f for f in stopping if f.severity == stopping[0].severity)
    others = f" (and {counted(len(more), f'more {first.severity.word}')})" if more else ""
    return f"{first.rule} {first.title}{others}"


def totals(summary: BatchSummary) -> str:
    """Return a line that counts the images by state and adds up sizes."""
    counts = [words for state in STATES for words in _counts(summary, state)]
    those = summary.outcomes
    sent = sum(outcome.sent for outcome in those)
    sized = [one for one in those if one.size and (one.done or one.sent or not sent)]
    disks = f"{counted(len(sized), 'disk')} of {format_size(sum(one.size for one in sized))}"
    sizes = f"; {format_size(sent)} sent for {disks}" if sent else ""
    cut = any(one.state == INTERRUPTED or (one.state == WAITING and not one.size) for one in those)
    if sized and not sent and not cut:  # how much was sent of what was interrupted is not known
        sizes = f"; {disks}, nothing sent"
    return f"{counted(len(those), 'image')}: {', '.join(counts)}{sizes}"


def _counts(summary: BatchSummary, state: str) -> list[str]:
    """Return how many are in a state, those of an earlier run apart, and what passed in doubt."""
    those = [outcome for outcome in summary.outcomes if outcome.state == state]
    found = []
    for earlier in (False, True):
        group = [outcome for outcome in those if outcome.earlier == earlier]
        doubted = [outcome for outcome in group if doubts(outcome)]
        word = "errors" if any(outcome.errors for outcome in doubted) else "warnings"
        note = f" ({len(doubted)} with {word})" if doubted else ""
        found += [f"{len(group)} {word_of(group[0])}{note}"] if group else []
    return found


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
