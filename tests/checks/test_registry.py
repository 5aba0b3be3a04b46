"""All rules applied: what is found, passed and skipped, and in which order."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

from imsprep.checks import registry
from imsprep.checks.facts import Facts, Zeros
from imsprep.checks.rule import Evidence, Rule, UnknownError
from imsprep.image.formats import Match
from imsprep.image.not_a_disk import Kind
from imsprep.ims.request import RequestFields
from imsprep.report import Severity
from tests.support.checks.rules import GOOD, RULES, SIZE, image

QCOW2 = Match("qcow2", Kind.DISK, 0, 8)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.id)
def test_every_rule_explains_itself(rule: Rule) -> None:
    for text in (rule.title, rule.why, rule.fix, rule.source):
        assert text.strip() == text
        assert text
    assert "\n" not in rule.title
    assert not rule.title.endswith(".")
    assert len(rule.title) <= 80
    assert re.match(r"[A-Z]", rule.fix), "a fix is a sentence: a command has words before it"


def test_a_rule_that_cannot_tell_is_skipped_and_not_passed() -> None:
    report = registry.run(image(disk=None, matches=(QCOW2,)))
    skipped = {s.rule for s in report.skipped}
    assert "IMS204" in skipped
    assert not skipped & set(report.passed)
    assert not skipped & {f.rule for f in report.findings}


def test_what_a_rule_found_before_it_could_not_tell_stands() -> None:
    def check(facts: Facts) -> Iterator[Evidence]:
        yield Evidence("one thing is wrong")
        raise UnknownError("the other cannot be read")

    rule = Rule("IMS999", Severity.ERROR, "t", "w", "f", "inferred", check)
    findings, skipped = rule.run(image())
    assert [f.message for f in findings] == ["one thing is wrong"]
    assert skipped is not None
    assert skipped.reason == "the other cannot be read"


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


def test_the_worst_finding_is_the_first_and_what_is_waived_the_last() -> None:
    facts = dataclasses.replace(GOOD, request=RequestFields(name="", os_version="", min_disk=1))
    before = registry.run(facts).findings
    assert [f.order for f in before] == sorted(f.order for f in before)
    assert len({f.severity for f in before}) > 1
    waived = dataclasses.replace(before[0], waived="known")
    assert max([waived, *before[1:]], key=lambda f: f.order) is waived
