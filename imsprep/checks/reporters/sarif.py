"""SARIF 2.1.0 for code scanning: rules with help, results with byte regions, skipped rules.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", 2020-03-27.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

from imsprep.checks.reporters import Failure, Run
from imsprep.report import Finding, Report, Severity

SCHEMA_URI = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def sarif(run: Run) -> str:
    """Return the run as one SARIF log with one run."""
    index = {rule.id: number for number, rule in enumerate(run.rules)}
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
                        "semanticVersion": run.version,
                        "rules": [_rule(rule) for rule in run.rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "artifacts": [_artifact(one) for one in run.results],
                "invocations": [_invocation(run)],
                "results": results,
            }
        ],
    }
    return json.dumps(log, indent=2, sort_keys=True) + "\n"


def _rule(rule: Any) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.fix}\n\nSource: {rule.source}"},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"subject": rule.subject},
    }


def _artifact(one: Report | Failure) -> dict[str, Any]:
    artifact: dict[str, Any] = {"location": {"uri": _uri(one.image)}, "roles": ["analysisTarget"]}
    if isinstance(one, Report) and "file_size" in one.facts:
        artifact["length"] = one.facts["file_size"]
    return artifact


def _invocation(run: Run) -> dict[str, Any]:
    """Say what could not be checked: rules that were skipped, images that were not read."""
    notes = [
        {
            "level": "note",
            "descriptor": {"id": skipped.rule},
            "message": {"text": f"{report.image}: skipped: {skipped.reason}"},
        }
        for report in run.reports
        for skipped in report.skipped
    ]
    errors = [
        {"level": "error", "message": {"text": f"{failure.image}: {failure.message}"}}
        for failure in run.failures
    ]
    complaints = [{"level": "warning", "message": {"text": text}} for text in run.complaints]
    return {
        "executionSuccessful": not run.failures,
        "exitCode": run.exit_code,
        "toolExecutionNotifications": [*errors, *notes],
        "toolConfigurationNotifications": complaints,
    }


def _result(finding: Finding, report: Report, index: dict[str, int]) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(report.image)}}
    if finding.region is not None:
        place["region"] = {
            "byteOffset": finding.region.offset,
            "byteLength": finding.region.length,
        }
    text = finding.message + (f" Fix: {finding.fix}" if finding.fix else "")
    mark = f"{report.image}\0{finding.rule}\0{finding.message}"
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"imsprep/v1": hashlib.sha256(mark.encode()).hexdigest()},
    }
    if finding.rule in index:
        result["ruleIndex"] = index[finding.rule]
    if finding.waived is not None:
        result["suppressions"] = [{"kind": "external", "justification": finding.waived}]
    return result


def _uri(image: str) -> str:
    return quote(image.encode("utf-8", "surrogateescape"), safe="/:@!$&'()*+,;=-._~")
