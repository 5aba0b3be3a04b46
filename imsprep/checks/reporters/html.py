"""HTML: one self-contained page per run, with each disk as a picture beside its findings.

No script, no font, no address outside the page. Light and dark follow the reader's system, one
column or two the width of the screen. Everything from an image is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

from imsprep.checks.reporters import Failure, Run
from imsprep.checks.reporters.picture import legend, picture
from imsprep.report import Finding, Report, Severity
from imsprep.units import counted, exact_size, format_size

_MARKS = {Severity.ERROR: "✕", Severity.WARNING: "!", Severity.NOTE: "i"}


def html(run: Run) -> str:
    """Return the page."""
    style = resources.files("imsprep").joinpath("data", "report.css").read_text("utf-8")
    body = "".join(
        _failure(one) if isinstance(one, Failure) else _report(run, one) for one in run.results
    )
    complaints = "".join(f"<p class='complaint'>{escape(text)}</p>" for text in run.complaints)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<title>imsprep check: {_verdict(run)}</title><style>{style}</style></head><body>"
        f"<header><span class='brand'>imsprep <b>check</b></span>{_tally(run)}</header>"
        f"<main>{complaints}{body}</main>"
        f"<footer>imsprep {escape(run.version)} · each rule with its reason:"
        " <code>imsprep check --explain ID</code></footer></body></html>\n"
    )


def _verdict(run: Run) -> str:
    if run.failures:
        return "not checked"
    return "failed" if run.exit_code else "passed"


def _tally(run: Run) -> str:
    bad = sum(run.bad(report) for report in run.reports)
    parts = [
        ("good", len(run.reports) - bad, "passed"),
        ("bad", bad, "failed"),
        ("unsure", len(run.failures), "not checked"),
    ]
    pills = "".join(f"<span class='pill {c}'>{n} {word}</span>" for c, n, word in parts if n)
    return f"<span class='tally'>{pills}</span>"


def _failure(failure: Failure) -> str:
    return (
        f"<section class='image'><h1>{_name(failure.image)}<span class='verdict unsure'>not checked"
        f"</span></h1><p class='lead'>{escape(failure.message)}</p></section>"
    )


def _report(run: Run, report: Report) -> str:
    bad = run.bad(report)
    verdict = (
        f"<span class='verdict {'bad' if bad else 'good'}'>{'failed' if bad else 'passed'}</span>"
    )
    ordered = sorted(report.findings, key=lambda f: (f.waived is not None, -f.severity, f.rule))
    findings = "".join(finding_box(f) for f in ordered) or "<p class='lead'>Nothing was found.</p>"
    return (
        f"<section class='image'><h1>{_name(report.image)}{verdict}</h1>"
        f"<p class='lead'>{_lead(report)}</p>"
        "<div class='columns'><div class='disk'>"
        f"{picture(report.facts)}{legend(report.facts)}{_sizes(report.facts)}{_table(report.facts)}"
        f"</div><div class='findings'>{findings}{_rest(report)}</div></div></section>"
    )


def _name(image: str) -> str:
    folder, slash, name = image.rpartition("/")
    return f"<span class='name'><small>{escape(folder + slash)}</small>{escape(name)}</span>"


def _lead(report: Report) -> str:
    counts = [(report.count(s), s.word) for s in sorted(Severity, reverse=True)]
    words = [counted(n, word) for n, word in counts if n]
    said = ", ".join(words) or "no findings"
    return f"{said} · {counted(len(report.passed), 'rule')} passed · {len(report.skipped)} skipped"


def _sizes(facts: Mapping[str, Any]) -> str:
    rows = [("Format", escape(str(facts.get("format", "unknown"))))]
    for key, label in (
        ("virtual_size", "Disk"), ("file_size", "File"), ("stored_size", "On this machine"),
        ("data_bytes", "Data to upload"),
    ):  # fmt: skip
        if key in facts:
            rows.append(
                (label, f"<span title='{facts[key]} bytes'>{exact_size(facts[key])}</span>")
            )
    known = facts.get("vouched") or {}
    for key, label in (("hole", "Known by holes"), ("probed", "By a page with data"),
                       ("read", "By reading")):  # fmt: skip
        if key in known:
            rows.append(
                (label, f"<span title='{known[key]} bytes'>{format_size(known[key])}</span>")
            )
    if facts.get("partition_table"):
        sector = facts.get("sector_size", 512)
        rows.append(
            ("Table", f"{escape(str(facts['partition_table']).upper())}, {sector}-byte sectors")
        )
    rows.append(("Limits of", escape(str(facts.get("site", "")))))
    cells = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in rows)
    return f"<dl>{cells}</dl>"


def _table(facts: Mapping[str, Any]) -> str:
    partitions = facts.get("partitions") or []
    if not partitions:
        return ""
    rows = "".join(
        f"<tr><td><i class='part p{number % 6}'></i>{p['number']}</td>"
        f"<td>{escape(p['volume'] or '—')}</td><td>{escape(p['name'])}</td>"
        f"<td class='n'>{format_size(p['start'])}</td>"
        f"<td class='n'>{format_size(p['length'])}</td></tr>"
        for number, p in enumerate(partitions)
    )
    titles = "<th>#</th><th>holds</th><th>name</th><th class='n'>from</th><th class='n'>size</th>"
    head = f"<tr>{titles}</tr>"
    return f"<div class='scroll'><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"


def finding_box(finding: Finding) -> str:
    """Return one finding as a box that opens."""
    word = "waived" if finding.waived is not None else finding.severity.word
    pairs = [
        ("expected", finding.expected), ("found", finding.found), ("why", finding.why),
        ("fix", finding.fix), ("waived", finding.waived), ("source", finding.source),
    ]  # fmt: skip
    if finding.region is not None:
        place = f"byte {finding.region.offset}, {finding.region.length} bytes"
        pairs.insert(2, ("where", place))
    rows = "".join(
        f"<div class='{label}'><dt>{label}</dt><dd>{escape(text)}</dd></div>"
        for label, text in pairs
        if text
    )
    opened = " open" if word == "error" else ""
    return (
        f"<details class='finding {word}'{opened}><summary><b class='mark'>"
        f"{_MARKS[finding.severity]}</b><span><strong>{escape(finding.title)}</strong>"
        f"<em>{finding.rule} · {word}</em><span class='message'>{escape(finding.message)}</span>"
        f"</span></summary><dl>{rows}</dl></details>"
    )


def _rest(report: Report) -> str:
    """List what was skipped, by reason, so that nobody takes it for green."""
    if not report.skipped:
        return ""
    reasons: dict[str, list[str]] = {}
    for skipped in report.skipped:
        reasons.setdefault(skipped.reason, []).append(skipped.rule)
    rows = "".join(
        f"<li>{escape(reason)}<small>{' '.join(rules)}</small></li>"
        for reason, rules in reasons.items()
    )
    return (
        f"<details class='skipped'><summary>{counted(len(report.skipped), 'rule')} skipped, and why"
        f"</summary><ul>{rows}</ul></details>"
    )
