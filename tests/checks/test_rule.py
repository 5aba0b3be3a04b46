"""A rule: what it explains, and what it found before it could not tell."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, Rule, UnknownError
from imsprep.report import Severity
from tests.support.checks.rules import RULES, image

FINE = {"IMS114"}  # what they note is as it should be


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.id)
def test_every_rule_explains_itself(rule: Rule) -> None:
    for text in (rule.title, rule.why, rule.fix, rule.source):
        assert text.strip() == text
    assert rule.title
    assert rule.why
    assert rule.source
    assert rule.fix or rule.id in FINE
    assert "\n" not in rule.title
    assert not rule.title.endswith(".")
    assert len(rule.title) <= 80
    assert re.match(r"[A-Z]", rule.fix or "No"), (
        "a fix is a sentence: a command has words before it"
    )


def test_what_a_rule_found_before_it_could_not_tell_stands() -> None:
    def check(facts: Facts) -> Iterator[Evidence]:
        yield Evidence("one thing is wrong")
        raise UnknownError("the other cannot be read")

    rule = Rule("IMS999", Severity.ERROR, "t", "w", "f", "inferred", check)
    findings, skipped = rule.run(image())
    assert [f.message for f in findings] == ["one thing is wrong"]
    assert skipped is not None
    assert skipped.reason == "the other cannot be read"
