"""The summary of a batch: a table for people, JSON for programs, one HTML page for both sizes.

The page follows the rules of the check's: self-contained, light and dark by the reader's system,
everything from an image or a service escaped. On a narrow screen each row becomes a card.
"""

from __future__ import annotations

import json as codec
import textwrap
from collections.abc import Callable
from functools import partial
from html import escape
from importlib import resources

from imsprep.checks.reporters.html import finding_box
from imsprep.checks.reporters.text import PLAIN, Style, finding_lines
from imsprep.pipeline.batch.values import (
    DONE,
    FAILED,
    PLANNED,
    REFUSED,
    STATES,
    WAITING,
    BatchSummary,
    Outcome,
)
from imsprep.report import Finding, Severity
from imsprep.units import counted, format_seconds, format_size

FORMATS = ("text", "json", "html")
# What a state is called, and how its mark looks on the page.
WORDS = {
    DONE: "done", PLANNED: "planned", FAILED: "failed", REFUSED: "refused", WAITING: "not begun",
}  # fmt: skip
_LOOKS = {DONE: "good", PLANNED: "good", FAILED: "bad", REFUSED: "bad", WAITING: "unsure"}
_ID = "image id"
_TITLES = ("image", "name", "state", _ID, "disk", "sent", "time")
_SHOWN = 3  # images that are named for one finding


def render(summary: BatchSummary, format_: str, style: Style = PLAIN) -> str:
    """Return the summary in one of FORMATS, ending in a newline; text in a style."""
    shown = partial(text, style=style)
    functions: dict[str, Callable[[BatchSummary], str]] = {
        "text": shown,
        "json": json,
        "html": html,
    }
    return functions[format_](summary)


def json(summary: BatchSummary) -> str:
    """Return the summary as one document."""
    return codec.dumps(summary.as_dict(), indent=2, sort_keys=True) + "\n"


def schema() -> dict[str, object]:
    """Return the JSON Schema of `json`."""
    text = resources.files("imsprep").joinpath("data", "batch.schema.json").read_text("utf-8")
    value: dict[str, object] = codec.loads(text)
    return value


def text(summary: BatchSummary, style: Style = PLAIN) -> str:
    """Return a table of all images, then what kept each of the others from it."""
    lines = _table_lines([_row(outcome) for outcome in summary.outcomes], style.width)
    for group in _reasons(summary).values():
        lines += ["", *_why(group, style)]
    for finding, images in _remarks(summary).values():
        lines += ["", style.painted(f"{named(images)}:", "bold")]
        lines += finding_lines([finding], style)[1:]
    bodies = [f"  {_body(outcome)}" for outcome in summary.outcomes if outcome.body]
    if bodies:
        lines += ["", "requests:", *bodies]
    return "\n".join([*lines, "", *_wrapped(_totals(summary), style, "")]) + "\n"


def _table_lines(rows: list[tuple[str, ...]], width: int) -> list[str]:
    """Return the table; where it is too wide, an image's id goes below its row."""
    lines = _columns([_TITLES, *rows])
    if max(map(len, lines)) <= width:
        return lines
    at = _TITLES.index(_ID)
    titles, *short = _columns([row[:at] + row[at + 1 :] for row in [_TITLES, *rows]])
    found = [titles]
    for line, row in zip(short, rows, strict=True):
        found += [line, f"  {_ID} {row[at]}"] if row[at] else [line]
    return found


def _why(group: list[Outcome], style: Style) -> list[str]:
    """Return what kept images from being done, all for the same reason."""
    first = group[0]
    images = ", ".join(outcome.image for outcome in group)
    title = f"{images}: {_word(first)}, exit code {first.exit_code}"
    lines = [style.painted(line, "bold") for line in _wrapped(title, style, "")]
    if _says_itself(first):
        found = [finding for finding in first.findings if finding.severity > Severity.NOTE]
        return [*lines, *finding_lines(found or first.findings, style)[1:]]
    return [*lines, *_wrapped(first.message or "", style, "  ")]


def _says_itself(outcome: Outcome) -> bool:
    """Return whether the findings of a refused image say all that its message does."""
    return outcome.state == REFUSED and bool(outcome.findings)


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Align the columns; one that is empty but for its title is left out."""
    used = [n for n in range(len(rows[0])) if any(row[n] for row in rows[1:])]
    widths = {n: max(len(row[n]) for row in rows) for n in used}
    return ["  ".join(row[n].ljust(widths[n]) for n in used).rstrip() for row in rows]


def _body(outcome: Outcome) -> str:
    return codec.dumps(outcome.body, ensure_ascii=False)


def _row(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.image,
        outcome.name,
        _word(outcome),
        outcome.image_id or "",
        format_size(outcome.size) if outcome.size else "",
        format_size(outcome.sent) if outcome.sent else "",
        format_seconds(outcome.seconds) if outcome.seconds else "",
    )


def _word(outcome: Outcome) -> str:
    return f"{WORDS[outcome.state]} before" if outcome.earlier else WORDS[outcome.state]


def _reasons(summary: BatchSummary) -> dict[tuple[str, int], list[Outcome]]:
    """Return the images that were not done, by the reason and the exit code."""
    found: dict[tuple[str, int], list[Outcome]] = {}
    for outcome in summary.outcomes:
        if outcome.message is not None:
            found.setdefault((outcome.message, outcome.exit_code), []).append(outcome)
    return found


def _remarks(summary: BatchSummary) -> dict[tuple[str, str], tuple[Finding, list[str]]]:
    """Return each finding above a note that stopped nothing, once, with its images.

    Notes are in the other formats.
    """
    found: dict[tuple[str, str], tuple[Finding, list[str]]] = {}
    for outcome in summary.outcomes:
        for finding in _worth_telling(outcome):
            same = found.setdefault((finding.rule, finding.message), (finding, []))
            same[1].append(outcome.image)
    return found


def _worth_telling(outcome: Outcome) -> list[Finding]:
    return [
        finding
        for finding in outcome.findings
        if outcome.state != REFUSED and finding.waived is None and finding.severity > Severity.NOTE
    ]


def named(images: list[str]) -> str:
    """Return the first images by name, and how many more there are."""
    more = len(images) - _SHOWN
    return ", ".join(images[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _wrapped(words: str, style: Style, indent: str) -> list[str]:
    return [
        wrapped
        for line in words.splitlines()
        for wrapped in textwrap.wrap(
            line, style.width, initial_indent=indent, subsequent_indent=indent + "  ",
            break_long_words=False, break_on_hyphens=False,
        )
    ]  # fmt: skip


def _totals(summary: BatchSummary) -> str:
    before = sum(outcome.earlier for outcome in summary.outcomes)
    more = f" ({before} of them before)" if before else ""
    counts = [
        f"{n} {WORDS[state]}{more if state == DONE else ''}"
        for state in STATES
        if (n := summary.count(state))
    ]
    sent = sum(outcome.sent for outcome in summary.outcomes)
    disks = sum(outcome.size for outcome in summary.outcomes)
    sizes = f"; {format_size(sent)} sent for disks of {format_size(disks)}" if sent else ""
    if disks and not sent:
        sizes = f"; disks of {format_size(disks)}, nothing sent"
    return f"{counted(len(summary.outcomes), 'image')}: {', '.join(counts)}{sizes}"


def html(summary: BatchSummary) -> str:
    """Return the page."""
    data = resources.files("imsprep").joinpath("data")
    style = "".join(data.joinpath(name).read_text("utf-8") for name in ("report.css", "batch.css"))
    pills = "".join(
        f"<span class='pill {_LOOKS[state]}'>{n} {WORDS[state]}</span>"
        for state in STATES
        if (n := summary.count(state))
    )
    again = " · run the same command again to continue" if summary.exit_code else ""
    verdict = "all done" if not summary.exit_code else f"exit code {summary.exit_code}"
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<title>imsprep batch: {verdict}</title><style>{style}</style></head><body>"
        f"<header><span class='brand'>imsprep <b>batch</b></span><span class='tally'>{pills}</span>"
        f"</header><main><section class='image'><h1>"
        f"<span class='name'>{escape(summary.plan)}</span></h1>"
        f"<p class='lead'>{escape(_totals(summary))}</p>{_table(summary)}</section>"
        f"{''.join(_details(outcome) for outcome in summary.outcomes)}</main>"
        f"<footer>imsprep {escape(summary.version)}{again}</footer></body></html>\n"
    )


def _table(summary: BatchSummary) -> str:
    head = "".join(f"<th>{title}</th>" for title in _TITLES)
    rows = []
    for outcome in summary.outcomes:
        cells = [escape(cell) for cell in _row(outcome)]
        cells[2] = f"<span class='verdict {_LOOKS[outcome.state]}'>{cells[2]}</span>"
        if cells[3]:
            cells[3] = f"<code>{cells[3]}</code>"
        rows.append(
            "<tr>"
            + "".join(
                f"<td data-title='{title}'{'' if cell else ' class=empty'}>{cell}</td>"
                for title, cell in zip(_TITLES, cells, strict=True)
            )
            + "</tr>"
        )
    return (
        f"<div class='scroll'><table class='batch'><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _details(outcome: Outcome) -> str:
    """Return a section for an image that has more to tell than its row."""
    if outcome.message is None and not _worth_telling(outcome):
        return ""
    reason = ""
    # The sentence of a refusal repeats its findings, which are shown below.
    if outcome.message is not None and not _says_itself(outcome):
        code = f"<em>exit code {outcome.exit_code}</em>"
        reason = f"<p class='complaint'>{escape(outcome.message)} {code}</p>"
    ordered = sorted(outcome.findings, key=lambda f: f.order)
    boxes = "".join(finding_box(finding) for finding in ordered)
    look = _LOOKS[outcome.state]
    return (
        f"<section class='image'><h1><span class='name'>{escape(outcome.image)}</span>"
        f"<span class='verdict {look}'>{escape(_word(outcome))}</span></h1>"
        f"<p class='lead'>{escape(outcome.name)}</p>{reason}{boxes}</section>"
    )
