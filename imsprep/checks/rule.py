"""Rule and the registry: what a check is, and the list of all of them.

A rule is a pure function from `Facts` to evidence. It yields nothing when all is well, one
Evidence per thing that is wrong, and raises UnknownError with a reason when it cannot tell: that
rule is then reported as skipped, never as passed. It may do both: what it found before stands.

Ids are never reused and never change their meaning. The hundreds name the subject:

    IMS1xx file        IMS4xx bitmap       IMS7xx cloud
    IMS2xx disk        IMS5xx request      IMS8xx guest, Linux
    IMS3xx container   IMS6xx site         IMS9xx guest, Windows
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imsprep.errors import show_path
from imsprep.image.formats import RAW
from imsprep.report import Finding, Region, Severity, Skipped
from imsprep.report import UnknownError as UnknownError

if TYPE_CHECKING:
    from imsprep.checks.facts import Facts

# Why rules are skipped for want of a closer look, each of which the caller may ask for.
NOT_SCANNED = "the image was not scanned"
NOT_UNPACKED = "the blocks were not unpacked"
NOT_INSPECTED = "the inside of the image was not examined"
NOT_STARTED = "the image was not started"
NOT_ONLINE = "the bucket and the service were not asked"

# Where most that is known of quick import stands; rules name it as their source.
QUICK_IMPORT = 'API reference, "Importing an Image File Quickly", 2024-08-09'

# What a rule has for a source that no page states.
INFERRED = "inferred, not documented by the vendor"

SUBJECTS = {
    "1": "file",
    "2": "disk",
    "3": "container",
    "4": "bitmap",
    "5": "request",
    "6": "site",
    "7": "cloud",
    "8": "guest",
    "9": "guest",
}

# What a rule speaks of: the disk with its request and place, whatever file it lies in; or the very
# file that is sent. Of a file of which another is made first, only the disk is judged.
DISK, FILE = "disk", "file"
_OF_FILE = ("3", "4")  # subjects that speak of nothing else
TO_BE_PACKED = "a ZVHD2 is made from this file and sent instead"


@dataclass(frozen=True)
class Evidence:
    """One thing that is wrong: one sentence, with what was expected and found where that helps.

    `fix` replaces the rule's general advice where this case has a better one; `severity` replaces
    the rule's where sources disagree and this case is only the looser reading; `title`, `why` and
    `source` are of a case that the rule's would misname.
    """

    message: str
    expected: str | None = None
    found: str | None = None
    fix: str | None = None
    region: Region | None = None
    severity: Severity | None = None
    title: str | None = None
    why: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Rule:
    """One thing that is checked, with all a user may ask about it."""

    id: str
    severity: Severity
    title: str  # one line, as a statement of the fault
    why: str  # what happens at import or boot
    fix: str  # what to do, as a command where there is one; "": nothing is wrong
    source: str  # where the rule comes from, with its date; "inferred" if nothing states it
    check: Callable[[Facts], Iterable[Evidence]]
    of: str = DISK  # or FILE
    said_by: tuple[str, ...] = ()  # rules whose finding says the same doubt, and better
    settled_by: tuple[str, ...] = ()  # rules that ask the service itself: passed, it is no doubt

    @property
    def subject(self) -> str:
        """The subject that the id belongs to."""
        return SUBJECTS[self.id[3]]

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        names = ("id", "subject", "of", "title", "why", "fix", "source")
        return {"severity": self.severity.word, **{name: getattr(self, name) for name in names}}

    def run(self, facts: Facts) -> tuple[list[Finding], Skipped | None]:
        """Apply the rule; after an UnknownError what it found before stands, with a Skipped."""
        if self.of == FILE and facts.to_be_packed:
            return [], Skipped(self.id, TO_BE_PACKED)
        findings: list[Finding] = []
        try:
            for evidence in self.check(facts):
                findings.append(self._finding(evidence, facts))
        except UnknownError as unknown:
            return findings, Skipped(self.id, show_path(str(unknown)))
        return findings, None

    def _finding(self, evidence: Evidence, facts: Facts) -> Finding:
        return Finding(
            rule=self.id,
            severity=evidence.severity or self.severity,
            subject=self.subject,
            title=evidence.title or self.title,
            # Names and texts of an image may hold anything; a terminal must not obey them.
            message=_shown(evidence.message),
            expected=evidence.expected,
            found=None if evidence.found is None else _shown(evidence.found),
            why=evidence.why or self.why,
            fix=_for_format(evidence.fix or self.fix, facts.format) or None,
            source=evidence.source or self.source,
            region=evidence.region,
        )


# Tools of a fix that see the disk in a RAW image alone.
_FOR_RAW = re.compile(r"\b(?:sgdisk|gdisk|fdisk|sfdisk|truncate)\b[^.;]* IMAGE\b")


def _for_format(fix: str, format_: str) -> str:
    """Return a fix with how it applies to an image of this format."""
    if format_ == RAW or not _FOR_RAW.search(fix):
        return fix
    return f"{fix.removesuffix('.')}. That is for RAW, which imsprep convert IMAGE disk.raw makes."


_LONGEST = 900  # characters of a message; what an image's texts hold may be endless


def _shown(text: str) -> str:
    """Return a text as a terminal may get it, cut to a sensible length."""
    shown = show_path(text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


_REGISTRY: dict[str, Rule] = {}


def rule(
    id_: str,
    severity: Severity,
    title: str,
    *,
    why: str,
    fix: str,
    source: str,
    of: str | None = None,
    said_by: tuple[str, ...] = (),
    settled_by: tuple[str, ...] = (),
) -> Callable[[Callable[[Facts], Iterable[Evidence]]], Rule]:
    """Register the decorated function as the rule `id_`; a second use of an id is a bug.

    It speaks `of` the disk, unless its subject is the container or the bitmap.
    """

    def register(check: Callable[[Facts], Iterable[Evidence]]) -> Rule:
        if id_ in _REGISTRY:
            raise ValueError(f"rule id {id_} is taken")
        speaks_of = of or (FILE if id_[3] in _OF_FILE else DISK)
        made = Rule(id_, severity, title, why, fix, source, check, speaks_of, said_by, settled_by)
        _REGISTRY[id_] = made
        return made

    return register


def registered() -> Iterator[Rule]:
    """Yield every rule that has been registered, in order of ids."""
    yield from (_REGISTRY[key] for key in sorted(_REGISTRY))
