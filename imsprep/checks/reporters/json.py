"""JSON for programs: one document, or one line per image; `check.schema.json` describes it.

The keys stand in the order in which a person reads: verdict, findings, what was skipped, facts. No
program should depend on it.
"""

from __future__ import annotations

import json as codec
import re
from importlib import resources

from imsprep.checks.reporters import SCHEMA, Failure, Run
from imsprep.report import Report, Severity

# No text has a line's end in it, so this is a list and no text.
_NUMBERS = re.compile(r"\[\n\s*(?:[-+.\deE]+|null)(?:,\n\s*(?:[-+.\deE]+|null))*\n\s*\]")


def json(run: Run) -> str:
    """Return the whole run as one document."""
    return f"{indented(as_dict(run))}\n"


def indented(value: object) -> str:
    """Return a value as JSON over lines, a list of nothing but numbers on one of them."""
    return _NUMBERS.sub(lambda found: re.sub(r"\s+", " ", found[0]), codec.dumps(value, indent=2))


def jsonl(run: Run) -> str:
    """Return one line per image; each names the schema, so that lines can be read alone."""
    lines = [{"schema": SCHEMA, **result(run, r)} for r in run.results]
    return "".join(codec.dumps(line) + "\n" for line in lines)


def as_dict(run: Run) -> dict[str, object]:
    """Return the run as plain values."""
    return {
        "schema": SCHEMA,
        "version": run.version,
        "exit_code": run.exit_code,
        "fail_on": run.fail_on.word if run.fail_on else "never",
        "images": [result(run, r) for r in run.results],
        "complaints": list(run.complaints),
    }


def result(run: Run, one: Report | Failure) -> dict[str, object]:
    """Return one image's part of the document."""
    if isinstance(one, Failure):
        error = {"kind": one.kind, "message": one.message, "exit_code": one.exit_code}
        return {"image": one.image, "outcome": "not checked", "error": error}
    counts = {severity.word: one.count(severity) for severity in sorted(Severity)[::-1]}
    outcome = "failed" if run.bad(one) else "passed"
    values = one.as_dict()
    return {"image": values.pop("image"), "outcome": outcome, "counts": counts, **values}


def schema() -> dict[str, object]:
    """Return the JSON Schema of `json`."""
    text = resources.files("imsprep").joinpath("data", "check.schema.json").read_text("utf-8")
    value: dict[str, object] = codec.loads(text)
    return value
