"""JSON: the summary as one document, described by a schema."""

from __future__ import annotations

import json as codec
from importlib import resources
from typing import TYPE_CHECKING

from imsprep.checks.reporters.json import indented

if TYPE_CHECKING:
    from imsprep.pipeline.batch.values import BatchSummary


def json(summary: BatchSummary) -> str:
    """Return the summary as one document."""
    return f"{indented(summary.as_dict())}\n"


def schema() -> dict[str, object]:
    """Return the JSON Schema of `json`."""
    text = resources.files("imsprep").joinpath("data", "batch.schema.json").read_text("utf-8")
    value: dict[str, object] = codec.loads(text)
    return value
