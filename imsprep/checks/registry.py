"""The rules: one module per subject, one registry (`rule`), one way to apply them (`run`)."""

from __future__ import annotations

import importlib
import pkgutil

from imsprep.checks import rules
from imsprep.checks.facts import Facts
from imsprep.checks.policy import EVERYTHING, Policy
from imsprep.checks.rule import Rule, registered
from imsprep.checks.summary import summary
from imsprep.report import Finding, Report, Skipped


def all_rules() -> tuple[Rule, ...]:
    """Import every module of `rules` and return the rules in order of their ids."""
    for module in pkgutil.walk_packages(rules.__path__, f"{rules.__name__}."):
        importlib.import_module(module.name)
    return tuple(registered())


def run(facts: Facts, policy: Policy = EVERYTHING, *, earlier: Report | None = None) -> Report:
    """Apply every rule that the policy selects; the report's findings have the worst first.

    What an `earlier` report of the same disk has settled stands; with the facts that are known now
    only those rules are applied which were skipped then. A doubt that another rule's finding says
    (`Rule.said_by`), as severe or more, is said once, and not where a rule settled it. Raises
    UsageError if the policy names a rule that does not exist.
    """
    rules = all_rules()
    policy.validate({rule.id for rule in rules})
    findings: list[Finding] = []
    skipped: list[Skipped] = []
    passed: list[str] = []
    for rule in rules:
        if not policy.selects(rule.id):
            continue
        if earlier is not None and not earlier.skips(rule.id):
            findings += earlier.of(rule.id)
            passed += [rule.id] if rule.id in earlier.passed else []
            continue
        found, not_run = rule.run(facts)
        findings += [policy.judge(finding, facts.name) for finding in found]
        if not_run is not None:
            skipped.append(not_run)
        elif not found:
            passed.append(rule.id)
    findings, said = _said_once(findings, passed, rules)
    skipped += said
    return Report(
        image=facts.name,
        findings=tuple(sorted(findings, key=lambda finding: finding.order)),
        skipped=tuple(skipped),
        passed=tuple(passed),
        facts=summary(facts, rules, policy),
    )


def _said_once(
    findings: list[Finding], passed: list[str], rules: tuple[Rule, ...]
) -> tuple[list[Finding], list[Skipped]]:
    """Leave out the findings whose doubt another rule says or settles; return with them which."""
    by_id = {rule.id: rule for rule in rules}
    worst: dict[str, int] = {}
    for finding in findings:
        worst[finding.rule] = max(worst.get(finding.rule, 0), finding.severity)
    kept, left_out = [], {}
    for finding in findings:
        rule = by_id[finding.rule]
        says = [f"{r} says it" for r in rule.said_by if worst.get(r, 0) >= finding.severity]
        says += [f"{r} passed" for r in rule.settled_by if r in passed]
        if says:
            left_out[rule.id] = Skipped(rule.id, says[0])
        else:
            kept.append(finding)
    return kept, list(left_out.values())
