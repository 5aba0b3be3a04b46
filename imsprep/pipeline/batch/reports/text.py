"""Text: a table of all images, then what kept each of the others from it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from imsprep.checks.naming import argument
from imsprep.checks.reporters.text import finding_lines
from imsprep.errors import show_path
from imsprep.pipeline.batch.reports.rows import (
    COLUMNS,
    ID,
    named,
    row_of,
    says_itself,
    totals,
    word_of,
    worth_telling,
)
from imsprep.report import Finding, Severity

if TYPE_CHECKING:
    from imsprep.checks.reporters.text import Style
    from imsprep.pipeline.batch.values import BatchSummary, Outcome


def text(summary: BatchSummary, style: Style) -> str:
    """Return a table of all images, then what kept each of the others from it."""
    lines = _table_lines([row_of(outcome) for outcome in summary.outcomes], style.width)
    for group in _reasons(summary).values():
        lines += ["", *_why(group, style)]
    for finding, those in _remarks(summary).values():
        images = [outcome.image for outcome in those]
        lines += ["", style.painted(f"{named(images)}:", "bold")]
        lines += finding_lines([finding], _naming(those, style))[1:]
    bodies = [line for outcome in summary.outcomes for line in _request(outcome, style)]
    if bodies:
        lines += ["", "requests:", *bodies]
    return "\n".join([*lines, "", *_wrapped(totals(summary), style, "")]) + "\n"


def _table_lines(rows: list[tuple[str, ...]], width: int) -> list[str]:
    """Return the table, which has the same columns whatever is known; `-` is what is not.

    Where it is too wide, an image's id goes below its row, and in the narrowest each cell.
    """
    known = [COLUMNS, *([cell or "-" for cell in row] for row in rows)]
    lines = _columns(known)
    if max(map(len, lines)) <= width:
        return lines
    at = COLUMNS.index(ID)
    titles, *short = _columns([row[:at] for row in known])
    found = [titles]
    for line, row in zip(short, rows, strict=True):
        found += [line, *([f"  {ID} {row[at]}"] if row[at] else [])]
    if max(map(len, found)) <= width:
        return found
    label, found = max(map(len, COLUMNS)), []
    for first, *others in known[1:]:
        found.append(first)
        found += [f"  {t:{label}}  {c}" for t, c in zip(COLUMNS[1:], others, strict=True)]
    return found


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _why(group: list[Outcome], style: Style) -> list[str]:
    """Return what kept images from being done, all for the same reason."""
    first = group[0]
    images = ", ".join(show_path(outcome.image) for outcome in group)
    title = f"{images}: {word_of(first)}, exit code {first.exit_code}"
    lines = [style.painted(line, "bold") for line in _wrapped(title, style, "")]
    if says_itself(first):
        found = [finding for finding in first.findings if finding.severity > Severity.NOTE]
        return [*lines, *finding_lines(found or first.findings, _naming(group, style))[1:]]
    return [*lines, *_wrapped(first.message or "", style, "  ")]


def _naming(those: list[Outcome], style: Style) -> Style:
    """Return a style whose fixes name the image; of several each stands for IMAGE."""
    if len(those) > 1:
        return style
    return replace(style, image=argument(those[0].image), format=those[0].format or "")


def _request(outcome: Outcome, style: Style) -> list[str]:
    """Return what would be asked for, and how its servers would start."""
    if not outcome.body:
        return []
    mode = _wrapped(f"firmware {outcome.boot_mode}", style, "    ") if outcome.boot_mode else []
    body = json.dumps(outcome.body, ensure_ascii=False)
    if len(body) + 4 > style.width:  # else a terminal would break it anywhere
        body = json.dumps(outcome.body, ensure_ascii=False, indent=2)
    name = style.painted(f"  {show_path(outcome.image)}:", "bold")
    return [name, *(f"    {line}" for line in body.splitlines()), *mode]


def _reasons(summary: BatchSummary) -> dict[tuple[str, int], list[Outcome]]:
    """Return the images that were not done, by the reason and the exit code."""
    found: dict[tuple[str, int], list[Outcome]] = {}
    for outcome in summary.outcomes:
        if outcome.message is not None:
            found.setdefault((outcome.message, outcome.exit_code), []).append(outcome)
    return found


def _remarks(summary: BatchSummary) -> dict[tuple[str, str], tuple[Finding, list[Outcome]]]:
    """Return each finding above a note that stopped nothing, once, with its images.

    Notes are in the other formats.
    """
    found: dict[tuple[str, str], tuple[Finding, list[Outcome]]] = {}
    for outcome in summary.outcomes:
        for finding in worth_telling(outcome):
            same = found.setdefault((finding.rule, finding.message), (finding, []))
            same[1].append(outcome)
    return found


def _wrapped(words: str, style: Style, indent: str) -> list[str]:
    return [
        wrapped
        for line in words.splitlines()
        for wrapped in textwrap.wrap(
            line, style.width, initial_indent=indent, subsequent_indent=indent + "  ",
            break_long_words=False, break_on_hyphens=False,
        )
    ]  # fmt: skip
