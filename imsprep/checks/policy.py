"""Policy: which rules are applied, how severe they count, and which findings are waived.

A *waiver* says that a finding is known and accepted: by whom is for version control to tell, why
and until when is written with it. A waived finding is still shown and no longer counts.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field

from imsprep.errors import UsageError
from imsprep.report import Finding, Severity


@dataclass(frozen=True)
class Waiver:
    """Accept the findings of one rule, in images whose name matches, until a day."""

    rule: str
    reason: str
    expires: datetime.date | None = None
    image: str = "*"  # shell pattern for the file name

    def covers(self, finding: Finding, image: str) -> bool:
        """Return whether this waiver speaks of the finding, be it expired or not."""
        return self.rule == finding.rule and fnmatch.fnmatchcase(image, self.image)


@dataclass(frozen=True)
class Policy:
    """What the user decided about the rules; `select` empty means all.

    A name in `select` and `ignore` is an id or the beginning of one: `IMS2` is every disk rule.
    `today` decides whether a waiver has expired.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    today: datetime.date | None = None

    def validate(self, known: set[str]) -> None:
        """Raise UsageError for a name that no rule has; an empty one would stand for all rules."""
        for where, names in (("select", self.select), ("ignore", self.ignore)):
            for name in names:
                if not name or not any(rule.startswith(name) for rule in known):
                    raise UsageError(f"{where}: {unknown_rule(name, known)}")
        waived = [waiver.rule for waiver in self.waivers]
        for where, names in (("severity", tuple(self.severity)), ("waivers", tuple(waived))):
            for name in names:
                if name not in known:
                    raise UsageError(f"{where}: {unknown_rule(name, known)}")

    def selects(self, rule: str) -> bool:
        """Return whether a rule is applied; the longer of two matching names decides."""
        wanted = max((len(n) for n in self.select if rule.startswith(n)), default=-1)
        unwanted = max((len(n) for n in self.ignore if rule.startswith(n)), default=-1)
        if self.select and wanted < 0:
            return False
        return unwanted < 0 or wanted > unwanted

    def judge(self, finding: Finding, image: str) -> Finding:
        """Return the finding with the user's severity, and its waiver if one holds."""
        severity = self.severity.get(finding.rule, finding.severity)
        waived = next(
            (w.reason for w in self.waivers if w.covers(finding, image) and not self.expired(w)),
            None,
        )
        return dataclasses.replace(finding, severity=severity, waived=waived)

    def expired(self, waiver: Waiver) -> bool:
        """Return whether the waiver's last day has passed."""
        return bool(waiver.expires and self.today and self.today > waiver.expires)

    def complaints(self, findings: Mapping[str, tuple[Finding, ...]]) -> list[str]:
        """Return which waivers have expired or cover nothing; `findings` by image name."""
        said = []
        for waiver in self.waivers:
            where = "" if waiver.image == "*" else f" for {waiver.image}"
            if self.expired(waiver):
                said.append(
                    f"the waiver of {waiver.rule}{where} expired on {waiver.expires}:"
                    f" {waiver.reason}; renew or remove it"
                )
            elif not any(waiver.covers(f, image) for image, fs in findings.items() for f in fs):
                said.append(f"the waiver of {waiver.rule}{where} covers no finding; remove it")
        return said


EVERYTHING = Policy()


def unknown_rule(name: str, known: set[str]) -> str:
    """Return the message about a rule id that does not exist."""
    near = difflib.get_close_matches(name.upper(), sorted(known), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no rule {name!r}{hint} (imsprep check --list-rules shows all)"
