"""Text for people: the worst first, each finding with what to do."""

from __future__ import annotations

import textwrap
from collections import Counter

from imsprep.checks.reporters import Failure, Run
from imsprep.report import Finding, Report, Severity
from imsprep.scan.scan import Vouched
from imsprep.units import counted, exact_size, format_size

WIDTH = 96


def text(run: Run) -> str:
    """Return the run as plain text."""
    parts = [
        _failure(one) if isinstance(one, Failure) else _report(run, one) for one in run.results
    ]
    parts += [f"waiver: {complaint}\n" for complaint in run.complaints]
    if len(run.results) > 1:
        bad = sum(run.bad(report) for report in run.reports)
        parts.append(
            f"{len(run.results)} images: {len(run.reports) - bad} passed, {bad} failed,"
            f" {len(run.failures)} not checked\n"
        )
    return "\n".join(parts)


def _failure(failure: Failure) -> str:
    return f"{failure.image}: not checked: {failure.message}\n"


def _report(run: Run, report: Report) -> str:
    lines = [f"{report.image}: {_headline(report)}", *_scanned(report)]
    ordered = sorted(report.findings, key=lambda f: (f.waived is not None, -f.severity, f.rule))
    for finding in ordered:
        lines += ["", *_finding(finding)]
    lines += ["", *_skipped(report), _totals(run, report)]
    return "\n".join(lines) + "\n"


def _headline(report: Report) -> str:
    facts = report.facts
    size = facts.get("virtual_size") or facts.get("file_size") or 0
    table = facts.get("partition_table")
    described = (
        f", {str(table).upper()}, {counted(len(facts.get('partitions', [])), 'partition')}"
        if table
        else ""
    )
    return f"{facts.get('format', 'unknown')}, {exact_size(int(size))}{described}"


def _scanned(report: Report) -> list[str]:
    """Say what a scan found and how it knows, if there was one."""
    facts = report.facts
    if "vouched" not in facts:
        return []
    data = exact_size(facts["data_bytes"])
    return [f"  data to upload: {data}, in blocks of {format_size(facts['block_size'])}",
            f"  {Vouched(**facts['vouched'])}"]  # fmt: skip


def _finding(finding: Finding) -> list[str]:
    mark = "waived" if finding.waived is not None else finding.severity.word
    lines = [f"  {mark:7} {finding.rule}  {finding.title}"]
    lines += _wrapped("", finding.message)
    if finding.waived is not None:
        return lines + _wrapped("waived: ", finding.waived)
    if finding.expected is not None and finding.found is not None:
        lines += _wrapped("expected: ", f"{finding.expected}; found: {finding.found}")
    if finding.fix is not None and finding.severity is not Severity.NOTE:
        lines += _wrapped("fix: ", finding.fix)
    return lines


def _wrapped(label: str, words: str) -> list[str]:
    indent = " " * 18
    return textwrap.wrap(
        label + words, WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _skipped(report: Report) -> list[str]:
    """Give each reason once, with the number of rules that it kept from running."""
    reasons = Counter(skipped.reason for skipped in report.skipped)
    words = "; ".join(f"{reason} ({count})" for reason, count in reasons.items())
    return textwrap.wrap(f"skipped: {words}", WIDTH, initial_indent="  ", subsequent_indent="    ",
                         break_on_hyphens=False) if reasons else []  # fmt: skip


def _totals(run: Run, report: Report) -> str:
    counts = ", ".join(counted(report.count(s), s.word) for s in sorted(Severity, reverse=True))
    waived = sum(f.waived is not None for f in report.findings)
    more = f", {waived} waived" if waived else ""
    verdict = "FAILED" if run.bad(report) else "passed"
    return (
        f"  {verdict}: {counts}{more}; {counted(len(report.passed), 'rule')} passed,"
        f" {len(report.skipped)} skipped"
    )
