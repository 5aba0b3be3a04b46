"""What a check found, as values: Finding, Skipped, Report.

A *finding* is one result of one rule. A rule that could not run, or not to its end, is *skipped*
with its reason and never counts as passed; what it found before stands. A *report* is all of them
for one image, with the *facts* that a reader wants to see with them, as plain values: they are what
`imsprep check --json` prints, and `data/check.schema.json` describes them. Nothing here prints.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypedDict


class UnknownError(Exception):
    """Raised where a rule cannot tell; the text is the reason, shown to the user."""


class Severity(enum.IntEnum):
    """How bad a finding is; the words are SARIF's levels."""

    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        """The name in lower case, as it is printed and parsed."""
        return self.name.lower()

    def __str__(self) -> str:
        """Return the word: a number says nothing to a person."""
        return self.word

    @classmethod
    def parse(cls, word: str) -> Severity:
        """Return the severity called `word`; ValueError for any other word."""
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(f"unknown severity {word!r}: use error, warning or note") from None


@dataclass(frozen=True)
class Region:
    """A run of bytes in a file that a finding points at; `offset` and `length` in bytes."""

    offset: int
    length: int


@dataclass(frozen=True)
class Finding:
    """One result of one rule: what was expected, what was found, and how to mend it."""

    rule: str
    severity: Severity
    subject: str
    title: str
    message: str
    expected: str | None = None
    found: str | None = None
    why: str | None = None
    fix: str | None = None
    source: str | None = None
    region: Region | None = None
    waived: str | None = None

    @property
    def order(self) -> tuple[bool, int, str]:
        """What findings are sorted by: the worst first, what is waived last."""
        return self.waived is not None, -self.severity, self.rule

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON; what is unknown is left out."""
        values: dict[str, object] = {
            "rule": self.rule,
            "severity": self.severity.word,
            "subject": self.subject,
            "title": self.title,
            "message": self.message,
        }
        for name in ("expected", "found", "why", "fix", "source", "waived"):
            if getattr(self, name) is not None:
                values[name] = getattr(self, name)
        if self.region is not None:
            values["region"] = {"offset": self.region.offset, "length": self.region.length}
        return values


@dataclass(frozen=True)
class Skipped:
    """A rule that could not run or not to its end, and why."""

    rule: str
    reason: str


class PartitionValues(TypedDict):
    """A partition; bytes."""

    number: int
    start: int
    length: int
    type: str
    name: str
    volume: str | None  # what it holds


class VolumeValues(TypedDict):
    """A volume of the guest."""

    name: str
    kind: str
    uuid: str | None
    label: str | None
    size: int  # bytes
    unread: str | None  # why it was not read


class StepValues(TypedDict):
    """A step of the boot chain; see `checks.chain`."""

    name: str
    state: str
    text: str
    short: str
    why: str | None
    rule: str | None


class GuestValues(TypedDict, total=False):
    """What lies inside the image."""

    system: str | None
    name: str | None
    machine: str | None
    root: str | None
    kernels: list[str]
    unread: list[str]
    volumes: list[VolumeValues]
    chain: list[StepValues]


class FactValues(TypedDict, total=False):
    """What is known of an image, sizes in bytes; what is not known is left out."""

    format: str
    file_size: int
    virtual_size: int
    source_size: int
    stored_size: int
    site: str
    partition_table: str
    sector_size: int
    partitions: list[PartitionValues]
    firmware: list[str]
    container: dict[str, object]
    guest: GuestValues
    boot: dict[str, object]
    data_bytes: int
    block_size: int
    coverage: dict[str, int]
    sharing: dict[str, str]
    cells: list[tuple[int, int, int, int | None]]  # start, length, stored, data


def disk_size(facts: FactValues) -> int:
    """Return the bytes of the disk, before it is packed; of its file where that is not known."""
    return facts.get("source_size") or facts.get("virtual_size") or facts.get("file_size") or 0


@dataclass(frozen=True)
class Report:
    """All that a check can say of one image; `facts` are plain values for a reader.

    Printed it is the findings alone: what was skipped and the facts are pages.
    """

    image: str
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Skipped, ...] = field(default=(), repr=False)
    passed: tuple[str, ...] = field(default=(), repr=False)
    facts: FactValues = field(default_factory=lambda: FactValues(), repr=False)

    @property
    def worst(self) -> Severity | None:
        """The highest severity among the findings that are not waived, or None."""
        return max((f.severity for f in self.findings if f.waived is None), default=None)

    def fails(self, at: Severity) -> bool:
        """Return whether a finding stands at severity `at` or above."""
        return self.worst is not None and self.worst >= at

    def skips(self, rule: str) -> bool:
        """Return whether a rule was skipped."""
        return any(skipped.rule == rule for skipped in self.skipped)

    def of(self, rule: str) -> list[Finding]:
        """Return the findings of a rule."""
        return [finding for finding in self.findings if finding.rule == rule]

    def count(self, severity: Severity) -> int:
        """Count the findings of exactly this severity that are not waived."""
        return sum(f.severity is severity and f.waived is None for f in self.findings)

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "image": self.image,
            "findings": [f.as_dict() for f in self.findings],
            "skipped": [{"rule": s.rule, "reason": s.reason} for s in self.skipped],
            "passed": list(self.passed),
            "facts": dict(self.facts),
        }
