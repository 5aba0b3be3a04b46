"""JUnit XML: a suite per image, a case per rule.

A rule that was skipped is a skipped case, an image that could not be checked an error. JUnit knows
no warnings: findings that do not fail the run stand in `system-out` of their case.
"""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

from imsprep.checks.naming import fix_of
from imsprep.checks.passed_words import what_holds
from imsprep.checks.reporters import Failure, Run
from imsprep.report import Finding, Report

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(run: Run) -> str:
    """Return the run as one XML document."""
    root = ET.Element("testsuites", name="imsprep")
    for one in run.results:
        if isinstance(one, Failure):
            suite = _suite(root, one.image)
            case = ET.SubElement(suite, "testcase", classname=suite.attrib["name"], name="read")
            ET.SubElement(case, "error", type=one.kind, message=_clean(one.message))
        else:
            _report(run, _suite(root, one.image), one)
    for suite in root:
        cases = list(suite)
        suite.set("tests", str(len(cases)))
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _suite(root: ET.Element, image: str) -> ET.Element:
    return ET.SubElement(root, "testsuite", name=_clean(image))


def _report(run: Run, suite: ET.Element, report: Report) -> None:
    titles = {rule.id: rule.title for rule in run.rules}
    reasons = {skipped.rule: skipped.reason for skipped in report.skipped}
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        named = replace(finding, fix=fix_of(finding, report))
        found.setdefault(finding.rule, []).append(named)
    for rule in sorted({*found, *reasons, *report.passed}):
        name = f"{rule} {what_holds(rule, titles.get(rule, ''))}"
        case = ET.SubElement(suite, "testcase", classname=suite.attrib["name"], name=name)
        if rule in found:
            _findings(run, case, found[rule])
        if rule in reasons and case.find("failure") is None:
            case.insert(0, ET.Element("skipped", message=_clean(reasons[rule])))


def _findings(run: Run, case: ET.Element, findings: list[Finding]) -> None:
    failing = [
        f for f in findings if run.fail_on and f.waived is None and f.severity >= run.fail_on
    ]
    if failing:
        message = "; ".join(f.message for f in failing)
        failure = ET.SubElement(case, "failure", type=failing[0].severity.word)
        failure.set("message", _clean(message))
        failure.text = _clean("\n\n".join(_words(f) for f in failing))
    rest = [f for f in findings if f not in failing]
    if rest:
        ET.SubElement(case, "system-out").text = _clean("\n\n".join(_words(f) for f in rest))


def _words(finding: Finding) -> str:
    lines = [f"{finding.severity.word}: {finding.message}"]
    for name in ("waived", "expected", "found", "why", "fix", "source"):
        value = getattr(finding, name)
        if value is not None:
            lines.append(f"{name}: {value}")
    return "\n".join(lines)


def _clean(text: str) -> str:
    """Replace what XML cannot hold, such as control characters of a hostile file name."""
    return _NOT_XML.sub("\ufffd", text)
