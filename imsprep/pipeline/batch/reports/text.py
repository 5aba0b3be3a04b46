"""Text: a table of all images, then what kept each of the others from it."""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

from imsprep.checks.reporters.text import argument, finding_lines
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
    bodies = [line for outcome in summary.outcomes for line in _request(outcome)]
    if bodies:
        lines += ["", "requests:", *bodies]
    return "\n".join([*lines, "", *_wrapped(totals(summary), style, "")]) + "\n"


def _table_lines(rows: list[tuple[str, ...]], width: int) -> list[str]:
    """Return the table; where it is too wide, an image's id goes below its row."""
    lines = _columns([COLUMNS, *rows])
    if max(map(len, lines)) <= width:
        return lines
    at = COLUMNS.index(ID)
    titles, *short = _columns([row[:at] + row[at + 1 :] for row in [COLUMNS, *rows]])
    found = [titles]
    for line, row in zip(short, rows, strict=True):
        found += [line, f"  {ID} {row[at]}"] if row[at] else [line]
    return found


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Align the columns; one that is empty but for its title is left out."""
    used = [n for n in range(len(rows[0])) if any(row[n] for row in rows[1:])]
    widths = {n: max(len(row[n]) for row in rows) for n in used}
    return ["  ".join(row[n].ljust(widths[n]) for n in used).rstrip() for row in rows]


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


def _request(outcome: Outcome) -> list[str]:
    """Return what would be asked for, and how its servers would start."""
    if not outcome.body:
        return []
    mode = [f"    boot mode {outcome.boot_mode}"] if outcome.boot_mode else []
    return [f"  {json.dumps(outcome.body, ensure_ascii=False)}", *mode]


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
