"""All rules applied: what is found, passed and skipped, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imsprep.bitmap.facts import BitmapFacts
from imsprep.checks import registry
from imsprep.checks.facts import Facts, Zeros
from imsprep.checks.policy import Policy
from imsprep.cloud.sites import SITES
from imsprep.image.formats import Match
from imsprep.image.not_a_disk import Kind
from imsprep.ims.region import RegionFacts
from imsprep.ims.request import RequestFields
from imsprep.report import Severity
from tests.support.checks.rules import SIZE, image

QCOW2 = Match("qcow2", Kind.DISK, 0, 8)


def test_a_rule_that_cannot_tell_is_skipped_and_not_passed() -> None:
    report = registry.run(image(disk=None, matches=(QCOW2,)))
    skipped = {s.rule for s in report.skipped}
    assert "IMS204" in skipped
    assert not skipped & set(report.passed)
    assert not skipped & {f.rule for f in report.findings}


def test_what_an_earlier_report_settled_stands_and_what_it_skipped_is_applied() -> None:
    first = registry.run(image(zeros=None))
    assert first.skips("IMS110")
    second = registry.run(image(zeros=Zeros(None, True, SIZE), file_size=0), earlier=first)
    assert [f.rule for f in second.of("IMS110")] == []  # an empty file is another rule's
    third = registry.run(image(zeros=Zeros(None, True, SIZE)), earlier=first)
    assert len(third.of("IMS110")) == 1
    assert not third.skips("IMS110")
    changed = registry.run(image(name="disk.qcow2"), earlier=first)
    assert changed.of("IMS104") == first.of("IMS104")  # it passed, and is not applied again
    assert set(first.passed) <= set(changed.passed)


SMALL = image(bitmap=BitmapFacts("disk.mf", None, None))
OTHERS = replace(SMALL, request=RequestFields(os_version="Ubuntu 18.04.2 server 64bit"))


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (SMALL, ["IMS111", "IMS401"]),
        (replace(SMALL, site=SITES["huawei"]), ["IMS401", "IMS603"]),
        (OTHERS, ["IMS604", "IMS111", "IMS401"]),
        (
            replace(OTHERS, region=RegionFacts(os_versions=("Ubuntu 22.04 server 64bit",))),
            ["IMS708", "IMS111", "IMS401"],
        ),
    ],
)
def test_a_doubt_is_said_once(facts: Facts, found: list[str]) -> None:
    assert [f.rule for f in registry.run(facts).findings] == found


def test_a_doubt_is_said_by_the_rule_that_is_left_and_by_the_more_severe_one() -> None:
    said = registry.run(OTHERS)
    assert {s.rule: s.reason for s in said.skipped}["IMS509"] == "IMS604 says it"
    assert "IMS509" not in said.passed
    assert registry.run(OTHERS, Policy(ignore=("IMS604",))).of("IMS509")
    severe = registry.run(OTHERS, Policy(severity={"IMS509": Severity.ERROR}))
    assert {"IMS509", "IMS604"} <= {f.rule for f in severe.findings}


@pytest.mark.parametrize("value", ["Ubuntu 18.04.2 server 64bit", "Somethingnew 99 64bit"])
def test_what_the_region_lists_is_no_doubt_that_an_earlier_report_had(value: str) -> None:
    facts = replace(SMALL, request=RequestFields(os_version=value))
    doubted = registry.run(facts)
    assert {"IMS509", "IMS604"} & {f.rule for f in doubted.findings}
    asked = replace(facts, region=RegionFacts(os_versions=(value,)))
    for report in (registry.run(asked), registry.run(asked, earlier=doubted)):
        assert {f.rule for f in report.findings} == {"IMS111", "IMS401"}
