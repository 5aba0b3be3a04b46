"""A report: the order of its findings."""

from __future__ import annotations

import dataclasses

from imsprep.checks import registry
from imsprep.ims.request import RequestFields
from imsprep.report import Finding, Report, Severity
from tests.support.checks.rules import GOOD


def test_the_worst_finding_is_the_first_and_what_is_waived_the_last() -> None:
    facts = dataclasses.replace(GOOD, request=RequestFields(name="", os_version="", min_disk=1))
    before = registry.run(facts).findings
    assert [f.order for f in before] == sorted(f.order for f in before)
    assert len({f.severity for f in before}) > 1
    waived = dataclasses.replace(before[0], waived="known")
    assert max([waived, *before[1:]], key=lambda f: f.order) is waived


def test_the_worst_severity_is_printed_as_a_word() -> None:
    report = Report("disk.raw", (Finding("IMS101", Severity.ERROR, "file", "A title", "message"),))
    assert (f"{report.worst}", str(Report("disk.raw").worst)) == ("error", "None")
