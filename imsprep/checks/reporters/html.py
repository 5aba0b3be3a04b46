"""HTML: one self-contained page per run, with each disk as a picture and all that was found.

No script, no font, no address outside the page, and nothing that has to be opened, so that paper
shows what the screen does. Light and dark follow the reader's system. The template escapes
everything that comes from an image.
"""

from __future__ import annotations

from typing import Literal

from imsprep.checks.naming import argument
from imsprep.checks.reporters import Failure, Run
from imsprep.checks.reporters.picture import picture
from imsprep.checks.reporters.template import page
from imsprep.checks.reporters.text import about, fix_parts
from imsprep.options import DEFAULT_SITE
from imsprep.report import FactValues, Finding, PartitionValues, Report, Severity
from imsprep.units import counted, exact_size, format_size

_MARKS = {Severity.ERROR: "✕", Severity.WARNING: "!", Severity.NOTE: "i"}
_SIZES: tuple[
    tuple[Literal["virtual_size", "file_size", "stored_size", "data_bytes"], str], ...
] = (
    ("virtual_size", "Disk"), ("file_size", "File"), ("stored_size", "On this machine"),
    ("data_bytes", "Data in the disk"),
)  # fmt: skip
_COVERAGE = (("holes", "Holes"), ("probed", "Probed"), ("read", "Read"))


def html(run: Run) -> str:
    """Return the page."""
    values = {
        "verdict": _verdict(run),
        "version": run.version,
        "tally": _tally(run),
        "complaints": run.complaints,
        "images": [
            _failure(one) if isinstance(one, Failure) else _report(run, one) for one in run.results
        ],
    }
    return page("check.html.j2", ("report.css",), run=values)


def _verdict(run: Run) -> str:
    if run.failures:
        return "not checked"
    if any(map(run.tolerated, run.reports)):
        return "checked"
    return "failed" if run.exit_code else "passed"


def _tally(run: Run) -> list[tuple[str, str]]:
    bad = sum(run.bad(report) for report in run.reports)
    wrong = sum(run.tolerated(report) for report in run.reports)
    fine = [r for r in run.reports if not run.bad(r) and not run.tolerated(r)]
    warned = sum(_warned(report) for report in fine)
    parts = [
        ("good", len(fine) - warned, "passed"),
        ("unsure", warned, "passed with warnings"),
        ("unsure", wrong, "with errors that do not fail"),
        ("bad", bad, "failed"),
        ("bad", len(run.failures), "not checked"),
    ]
    return [(look, f"{n} {word}") for look, n, word in parts if n]


def _warned(report: Report) -> bool:
    return report.count(Severity.WARNING) > 0


def _failure(failure: Failure) -> dict[str, object]:
    return {
        **_name(failure.image), "look": "bad", "verdict": "not checked",
        "about": "", "lead": failure.message, "failure": failure,
    }  # fmt: skip


def _report(run: Run, report: Report) -> dict[str, object]:
    bad, warnings = run.bad(report), report.count(Severity.WARNING)
    passed = f"passed with {counted(warnings, 'warning')}" if warnings else "passed"
    if run.tolerated(report):
        passed = f"checked, {counted(report.count(Severity.ERROR), 'error')}"
    look = "bad" if bad else "unsure" if warnings or run.tolerated(report) else "good"
    ordered = sorted(report.findings, key=lambda f: f.order)
    facts = report.facts
    return {
        **_name(report.image),
        "look": look,
        "verdict": "failed" if bad else passed,
        "about": about(facts),
        "lead": _lead(report),
        "failure": None,
        "picture": picture(facts),
        "chain": (facts.get("guest") or {}).get("chain") or [],
        "screenshot": facts.get("boot", {}).get("picture"),
        "booted": _booted(facts),
        "console": _console(facts),
        "findings": [finding_values(f, argument(report.image), facts.get("format", ""))
                     for f in ordered],
        "sizes": _sizes(facts),
        "partitions": [_partition(p) for p in facts.get("partitions") or []],
        "skipped_title": f"{counted(len(report.skipped), 'rule')} skipped, and why",
        "skipped": _skipped(report),
    }  # fmt: skip


def _booted(facts: FactValues) -> str:
    """Return what became of a boot, in words, or nothing if there was none."""
    boot = facts.get("boot")
    return f"{boot['meaning']}, after {boot['seconds']} s" if boot else ""


def _console(facts: FactValues) -> str:
    """Return the last lines of the console of a boot that did not come up."""
    boot = facts.get("boot", {})
    lines = boot.get("last_lines")
    return "\n".join(lines) if isinstance(lines, list) and not boot["boots"] else ""


def _name(image: str) -> dict[str, str]:
    folder, slash, name = image.rpartition("/")
    return {"folder": folder + slash, "name": name}


def _lead(report: Report) -> str:
    counts = [(report.count(s), s.word) for s in sorted(Severity, reverse=True)]
    said = ", ".join(counted(n, word) for n, word in counts if n) or "no findings"
    return f"{said} · {counted(len(report.passed), 'rule')} passed · {len(report.skipped)} skipped"


def _sizes(facts: FactValues) -> list[tuple[str, str, str]]:
    rows = [("Format", facts.get("format", "unknown"), "")]
    rows += [
        (label, exact_size(facts[key]), f"{facts[key]} bytes")
        for key, label in _SIZES
        if key in facts
    ]
    if facts.get("source_size") not in (None, facts.get("virtual_size")):
        source, made = facts["source_size"], facts["virtual_size"]
        rows[1] = ("Disk", exact_size(source), f"{source} bytes")
        rows.insert(2, ("Disk in a ZVHD2", exact_size(made), f"{made} bytes"))
    known = facts.get("coverage") or {}
    rows += [
        (label, format_size(known[key]), f"{known[key]} bytes")
        for key, label in _COVERAGE
        if key in known
    ]
    if facts.get("partition_table"):
        sector = facts.get("sector_size", 512)
        rows.append(
            ("Table", f"{str(facts['partition_table']).upper()}, {sector}-byte sectors", "")
        )
    site = facts.get("site", "")
    return [*rows, ("Limits of", f"{site} (default)" if site == DEFAULT_SITE else site, "")]


def _partition(p: PartitionValues) -> dict[str, object]:
    return {
        "number": p["number"], "holds": p["volume"] or "—", "name": p["name"],
        "start": format_size(p["start"]), "length": format_size(p["length"]),
    }  # fmt: skip


def finding_values(finding: Finding, image: str = "", format_: str = "") -> dict[str, object]:
    """Return a finding as the template's macro `finding` shows it.

    Its fix names the `image`, as a shell takes it, where that is known.
    """
    word = "waived" if finding.waived is not None else finding.severity.word
    fix = [
        (words if is_command else _with_code(words[:1].upper() + words[1:]), is_command)
        for words, is_command in fix_parts(finding.fix or "", image, format_)
        if words
    ]
    pairs: list[tuple[str, object]] = [
        ("expected", _with_code(finding.expected or "")),
        ("found", _with_code(finding.found or "")), ("fix", fix), ("waived", finding.waived),
        ("why", _with_code(finding.why or "")), ("source", finding.source),
    ]  # fmt: skip
    if finding.region is not None:
        place = f"byte {finding.region.offset}, {exact_size(finding.region.length)}"
        pairs.insert(2, ("where", place))
    return {
        "word": word, "mark": _MARKS[finding.severity], "title": finding.title,
        "rule": finding.rule, "message": _with_code(finding.message),
        "pairs": [(label, text) for label, text in pairs if text],
    }  # fmt: skip


def _with_code(words: str) -> object:
    """Return words for a template, what stands in backticks as code; all of it is escaped."""
    from markupsafe import Markup

    pieces = words.split("`")
    if len(pieces) % 2 == 0:  # one that is not closed
        return words
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(piece) if number % 2 else piece for number, piece in enumerate(pieces)
    )


def _skipped(report: Report) -> list[tuple[str, str]]:
    """Return what was skipped, by reason, so that it is not taken for green."""
    reasons: dict[str, list[str]] = {}
    for skipped in report.skipped:
        reasons.setdefault(skipped.reason, []).append(skipped.rule)
    return [(reason, " ".join(rules)) for reason, rules in reasons.items()]
