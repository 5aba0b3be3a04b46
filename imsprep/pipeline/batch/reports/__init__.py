"""The summary of a batch in the form that its reader needs: text, JSON, or one HTML page.

A reporter is a function from a `BatchSummary` to text, in the module of its format; `rows` has what
the text and the page have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imsprep.checks.reporters.text import PLAIN

if TYPE_CHECKING:
    from imsprep.checks.reporters.text import Style
    from imsprep.pipeline.batch.values import BatchSummary

FORMATS = ("text", "json", "html")


def render(summary: BatchSummary, format_: str, style: Style = PLAIN) -> str:
    """Return the summary in one of FORMATS, ending in a newline; text in a style."""
    from imsprep.pipeline.batch.reports import html, json, text

    if format_ == "text":
        return text.text(summary, style)
    return json.json(summary) if format_ == "json" else html.html(summary)
