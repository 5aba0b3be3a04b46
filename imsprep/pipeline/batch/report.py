"""The summary of a batch: a table for people, JSON for programs, one HTML page for both sizes.

The page follows the rules of the check's: self-contained, light and dark by the reader's system,
everything from an image or a service escaped. On a narrow screen each row becomes a card.
"""

from __future__ import annotations

import json as codec
import textwrap
from collections.abc import Callable
from html import escape
from importlib import resources

from imsprep.checks.reporters.html import finding_box
from imsprep.pipeline.batch.run import (
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
from imsprep.units import counted, format_size

FORMATS = ("text", "json", "html")
# What a state is called, and how its mark looks on the page.
WORDS = {
    DONE: "done", PLANNED: "planned", FAILED: "failed", REFUSED: "refused", WAITING: "not begun",
}  # fmt: skip
_LOOKS = {DONE: "good", PLANNED: "good", FAILED: "bad", REFUSED: "bad", WAITING: "unsure"}
_TITLES = ("image", "name", "state", "image id", "disk", "sent", "time")
_WIDTH = 96
_SHOWN = 3  # images that are named for one finding


def render(summary: BatchSummary, format_: str) -> str:
    """Return the summary in one of FORMATS, ending in a newline."""
    functions: dict[str, Callable[[BatchSummary], str]] = {"text": text, "json": json, "html": html}
    return functions[format_](summary)


def json(summary: BatchSummary) -> str:
    """Return the summary as one document."""
    return codec.dumps(summary.as_dict(), indent=2, sort_keys=True) + "\n"


def schema() -> dict[str, object]:
    """Return the JSON Schema of `json`."""
    text = resources.files("imsprep").joinpath("data", "batch.schema.json").read_text("utf-8")
    value: dict[str, object] = codec.loads(text)
    return value


def text(summary: BatchSummary) -> str:
    """Return a table of all images, then what kept each of the others from it."""
    lines = _columns([_TITLES, *(_row(outcome) for outcome in summary.outcomes)])
    for (reason, code), images in _reasons(summary).items():
        title = f"{', '.join(images)} (exit code {code}):"
        lines += ["", *_wrapped(title, ""), *_wrapped(reason, "  ")]
    remarks = [
        line
        for remark, images in _remarks(summary).items()
        for line in _wrapped(f"{_named(images)}: {remark}", "  ")
    ]
    if remarks:
        lines += ["", "also found:", *remarks]
    bodies = [f"  {_body(outcome)}" for outcome in summary.outcomes if outcome.body]
    if bodies:
        lines += ["", "requests:", *bodies]
    return "\n".join([*lines, "", _totals(summary)]) + "\n"


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
        duration(outcome.seconds) if outcome.seconds else "",
    )


def _word(outcome: Outcome) -> str:
    return f"{WORDS[outcome.state]} before" if outcome.earlier else WORDS[outcome.state]


def duration(seconds: float) -> str:
    """Write a time for a person: `3 s`, `2 min 5 s`, `1 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _reasons(summary: BatchSummary) -> dict[tuple[str, int], list[str]]:
    """Return each reason once, with its exit code and the images that it kept from being done."""
    found: dict[tuple[str, int], list[str]] = {}
    for outcome in summary.outcomes:
        if outcome.message is not None:
            found.setdefault((outcome.message, outcome.exit_code), []).append(outcome.image)
    return found


def _remarks(summary: BatchSummary) -> dict[str, list[str]]:
    """Return each finding above a note that stopped nothing, once, with its images.

    Notes are in the other formats.
    """
    found: dict[str, list[str]] = {}
    for outcome in summary.outcomes:
        for finding in _worth_telling(outcome):
            words = f"{finding.rule} {finding.severity.word}: {finding.message}"
            found.setdefault(words, []).append(outcome.image)
    return found


def _worth_telling(outcome: Outcome) -> list[Finding]:
    return [
        finding
        for finding in outcome.findings
        if outcome.state != REFUSED and finding.waived is None and finding.severity > Severity.NOTE
    ]


def _named(images: list[str]) -> str:
    """Name the first images and count the others."""
    more = len(images) - _SHOWN
    return ", ".join(images[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _wrapped(words: str, indent: str) -> list[str]:
    return [
        wrapped
        for line in words.splitlines()
        for wrapped in textwrap.wrap(
            line, _WIDTH, initial_indent=indent, subsequent_indent=indent + "    ",
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
    return (
        f"{counted(len(summary.outcomes), 'image')}: {', '.join(counts)};"
        f" {format_size(sent)} sent for disks of {format_size(disks)}"
    )


def html(summary: BatchSummary) -> str:
    """Return the page."""
    data = resources.files("imsprep").joinpath("data")
    style = "".join(data.joinpath(name).read_text("utf-8") for name in ("report.css", "batch.css"))
    pills = "".join(
        f"<span class='pill {_LOOKS[state]}'>{n} {WORDS[state]}</span>"
        for state in STATES
        if (n := summary.count(state))
    )
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
        f"<footer>imsprep {escape(summary.version)} · run the same command again to"
        " continue</footer></body></html>\n"
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
    if outcome.message is not None and not (outcome.state == REFUSED and outcome.findings):
        code = f"<em>exit code {outcome.exit_code}</em>"
        reason = f"<p class='complaint'>{escape(outcome.message)} {code}</p>"
    ordered = sorted(outcome.findings, key=lambda f: (f.waived is not None, -f.severity, f.rule))
    boxes = "".join(finding_box(finding) for finding in ordered)
    look = _LOOKS[outcome.state]
    return (
        f"<section class='image'><h1><span class='name'>{escape(outcome.image)}</span>"
        f"<span class='verdict {look}'>{escape(_word(outcome))}</span></h1>"
        f"<p class='lead'>{escape(outcome.name)}</p>{reason}{boxes}</section>"
    )
