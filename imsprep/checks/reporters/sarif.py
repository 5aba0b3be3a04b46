"""SARIF 2.1.0 for code scanning: the rules that found something, and each result with its place.

A place is a run of bytes, or where there is none, the file inside the image or the subject. Only
rules with results are listed, as a reader needs no others; which were skipped, and why, is a
property of the run and no notification: nothing went wrong with the tool.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", 2020-03-27.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from imsprep import project
from imsprep.checks.naming import fix_of
from imsprep.checks.reporters import Failure, Run
from imsprep.report import Finding, Report, Severity

if TYPE_CHECKING:
    from imsprep.checks.rule import Rule

SCHEMA_URI = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_INSIDE = re.compile(r"(/[\w./@+-]*\w)(?:(?::| line )(\d+))?[ :]")  # "/etc/fstab:3 mounts …"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def sarif(run: Run) -> str:
    """Return the run as one SARIF log with one run."""
    found = {finding.rule for report in run.reports for finding in report.findings}
    rules = [rule for rule in run.rules if rule.id in found]
    index = {rule.id: number for number, rule in enumerate(rules)}
    home = project.home()
    results = [
        _result(finding, report, index) for report in run.reports for finding in report.findings
    ]
    log = {
        "$schema": SCHEMA_URI,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "imsprep",
                        **({"informationUri": home.uri} if home else {}),
                        "semanticVersion": run.version,
                        "version": run.version,
                        "rules": [_rule(rule, home) for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "artifacts": [_artifact(one) for one in run.results],
                "invocations": [_invocation(run)],
                "results": results,
                "properties": {"skipped": [_skipped(report) for report in run.reports]},
            }
        ],
    }
    return json.dumps(log, indent=2, sort_keys=True) + "\n"


def _rule(rule: Rule, home: project.Home | None) -> dict[str, object]:
    """Return a rule; where the sources have an address, with that of the page where it stands."""
    page = home and home.page("docs/reference/rules.md")
    return {
        **({"helpUri": f"{page}#{rule.id.lower()}"} if page else {}),
        "id": rule.id,
        "name": _identifier(rule.title),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.fix}\n\nSource: {rule.source}".strip()},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"subject": rule.subject},
    }


def _identifier(title: str) -> str:
    """Return a title as one word, in Pascal case as SARIF advises (appendix on rule metadata)."""
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", title))


def _artifact(one: Report | Failure) -> dict[str, object]:
    artifact: dict[str, object] = {
        "location": {"uri": _uri(one.image)},
        "roles": ["analysisTarget"],
    }
    if isinstance(one, Report) and "file_size" in one.facts:
        artifact["length"] = one.facts["file_size"]
    return artifact


def _invocation(run: Run) -> dict[str, object]:
    """Return how the run ended, and which images were not read."""
    errors = [
        {"level": "error", "message": {"text": f"{failure.image}: {failure.message}"}}
        for failure in run.failures
    ]
    complaints = [{"level": "warning", "message": {"text": text}} for text in run.complaints]
    return {
        "executionSuccessful": not run.failures,
        "exitCode": run.exit_code,
        "toolExecutionNotifications": errors,
        "toolConfigurationNotifications": complaints,
    }


def _skipped(report: Report) -> dict[str, object]:
    """Return why rules did not run on an image: each reason with its rules."""
    reasons: dict[str, list[str]] = {}
    for skipped in report.skipped:
        reasons.setdefault(skipped.reason, []).append(skipped.rule)
    return {"image": report.image, "reasons": reasons}


def _result(finding: Finding, report: Report, index: dict[str, int]) -> dict[str, object]:
    place: dict[str, object] = {"artifactLocation": {"uri": _uri(report.image)}}
    if finding.region is not None:
        place["region"] = {
            "byteOffset": finding.region.offset,
            "byteLength": finding.region.length,
        }
    location: dict[str, object] = {"physicalLocation": place}
    if finding.region is None:
        location["logicalLocations"] = [_logical(finding)]
    stop = "" if finding.message.endswith((".", "!", "?")) else "."
    text = finding.message + (f"{stop} Fix: {fix_of(finding, report)}" if finding.fix else "")
    mark = f"{report.image}\0{finding.rule}\0{finding.message}"
    result: dict[str, object] = {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [location],
        "partialFingerprints": {"imsprep/v1": hashlib.sha256(mark.encode()).hexdigest()},
    }
    if finding.rule in index:
        result["ruleIndex"] = index[finding.rule]
    if finding.waived is not None:
        result["suppressions"] = [{"kind": "external", "justification": finding.waived}]
    return result


def _logical(finding: Finding) -> dict[str, str]:
    """Return the file inside the image that a finding begins with, or the finding's subject."""
    inside = _INSIDE.match(finding.message)
    if inside is None:
        return {"name": finding.subject, "fullyQualifiedName": finding.subject, "kind": "module"}
    name, line = inside.groups()
    full = f"{finding.subject}:{name}" + (f":{line}" if line else "")
    return {"name": name, "fullyQualifiedName": full, "kind": "resource"}


def _uri(image: str) -> str:
    """Return a path as a URI; a relative one stays relative to where the check ran."""
    # A colon in its first part would make a scheme of that (RFC 3986, 4.2).
    safe = "/@!$&'()*+,;=-._~"
    written = quote(image.encode("utf-8", "surrogateescape"), safe=safe)
    return f"file://{written}" if image.startswith("/") else written
