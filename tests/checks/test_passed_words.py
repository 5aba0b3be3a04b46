"""What holds where a rule finds nothing: a sentence for each rule."""

from __future__ import annotations

from imsprep.checks import registry
from imsprep.checks.passed_words import HOLDS, what_holds


def test_every_rule_is_named_by_what_it_checks() -> None:
    rules = {rule.id: rule.title for rule in registry.all_rules()}
    assert set(HOLDS) <= set(rules)
    assert [rule for rule in rules if rule not in HOLDS] == []  # add it to checks/passed_words.py
    assert [rule for rule, holds in HOLDS.items() if holds == rules[rule]] == []


def test_what_holds_is_the_sentence_of_the_rule() -> None:
    assert what_holds("IMS106", "The file is empty") == "The file is not empty"


def test_a_rule_that_is_not_listed_is_named_by_what_was_not_found() -> None:
    assert what_holds("IMS000", "The disk is odd") == "Not found: The disk is odd"
