"""A batch: many images, each its own import; a bounded number at a time, none stopping the others.

An *entry* is one image with the options of its import, as plain values. What checks or imports an
entry is a plain function of it, so that any executor can run it: threads of this process, or a
cluster. It returns a value whatever happens. What an *outcome* says of an entry:

    planned    the check passed; nothing was begun, as --dry-run wants it
    refused    the check found what keeps it from being imported
    unchecked  it could not be checked, which says nothing of the image
    waiting    it was not begun
    done       the image exists
    failed     it was begun and did not come to its end; running again may go on
    interrupted  it was being worked on when the batch was interrupted
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from imsprep import __version__
from imsprep.checks.subject.boot_mode import BootMode
from imsprep.errors import ImsprepError
from imsprep.image.identity import Identity
from imsprep.options import ImportOptions
from imsprep.report import Finding, Report, Severity

PLANNED, REFUSED, WAITING, DONE, FAILED = "planned", "refused", "waiting", "done", "failed"
UNCHECKED, INTERRUPTED = "unchecked", "interrupted"
STATES = (DONE, PLANNED, FAILED, INTERRUPTED, REFUSED, UNCHECKED, WAITING)
NOT_TAKEN = (REFUSED, UNCHECKED)  # by the check

# The worst exit code first: what needs a person before what only has to be run again. So 5 and 7
# are given only if running again is all that is left to do.
WORST_FIRST = (6, 3, 2, 1, 4, 7, 5)

_IMPORT_WITH = re.compile(r"imsprep import (?:'[^']*'|\S+) --([a-z-]+) ([\w-]+)")
# By rule: the keys of a plan that its advice asks for without naming them, by its words.
_KEYS = {"IMS704": {"another key": "key", "to be replaced": "replace: true"}}


@dataclass(frozen=True)
class BatchEntry:
    """One image and its import, as plain values that can travel; never a secret among them."""

    image: str  # absolute path, the same on every machine that may do the work
    shown: str  # the path as the plan has it
    name: str  # of the image that is to be
    options: ImportOptions
    version: str = __version__  # of the imsprep that made it; no other is to work on it


@dataclass(frozen=True)
class Outcome:
    """What became of one entry. Sizes in bytes."""

    image: str  # the path as the plan has it
    name: str
    state: str
    image_id: str | None = None
    job_id: str | None = None
    size: int = 0  # what the guest sees
    data_bytes: int | None = None  # bytes in blocks that hold data, counted when it was sent
    sent: int = 0  # travelled in this run
    seconds: float = 0.0
    earlier: bool = False  # it was done before this run
    kind: str | None = None  # class of the error that ended it
    message: str | None = None
    exit_code: int = 0
    findings: tuple[Finding, ...] = ()
    errors: int = 0  # findings of this severity that are not waived; an earlier run's, if it did it
    warnings: int = 0
    format: str | None = None  # of the file; None: not known
    body: Mapping[str, object] = field(
        default_factory=dict
    )  # of the request, if it was only planned
    identity: Identity | None = None  # of the file, as far as it is known
    boot_mode: BootMode | None = None  # of the servers; None: a data disk, or not known
    room: int | None = None  # for so many more images, as the service said when it was checked

    @classmethod
    def of_error(cls, entry: BatchEntry, state: str, error: BaseException) -> Outcome:
        """Return the outcome of an entry that ended with an error."""
        code = error.exit_code if isinstance(error, ImsprepError) else 3
        text = str(error) if isinstance(error, ImsprepError) else f"internal error: {error!r}"
        return cls(
            entry.shown, entry.name, state, kind=type(error).__name__, message=text, exit_code=code
        )

    def with_findings(self, report: Report) -> Outcome:
        """Return it with what a check found."""
        return replace(
            self,
            findings=in_plan(report).findings,
            errors=report.count(Severity.ERROR),
            warnings=report.count(Severity.WARNING),
            format=report.facts.get("format"),
        )

    @property
    def done(self) -> bool:
        """Return whether the image exists."""
        return self.state == DONE

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON; what is not known is left out, or null."""
        values = {k: v for k, v in vars(self).items() if v not in (None, (), {})}
        values["data_bytes"] = self.data_bytes
        values["findings"] = [finding.as_dict() for finding in self.findings]
        values["seconds"] = round(self.seconds, 1)
        if self.identity is not None:
            values["identity"] = self.identity.as_dict()
        if self.boot_mode is not None:
            values["boot_mode"] = self.boot_mode.as_dict()
        return values


@dataclass(frozen=True)
class BatchSummary:
    """What became of a whole plan, in its order."""

    plan: str
    outcomes: tuple[Outcome, ...]
    version: str = __version__
    interrupted: int = 0  # the exit code of what interrupted the batch; 0: nothing did

    @property
    def exit_code(self) -> int:
        """0 if every image is there (or planned), or the worst code of those that are not.

        Of a batch that was interrupted it is the code of that.
        """
        if self.interrupted:
            return self.interrupted
        codes = {outcome.exit_code for outcome in self.outcomes}
        return next((code for code in WORST_FIRST if code in codes), 0)

    def count(self, state: str) -> int:
        """Count the images in a state."""
        return sum(outcome.state == state for outcome in self.outcomes)

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "schema": "imsprep.batch/1",
            "version": self.version,
            "plan": self.plan,
            "exit_code": self.exit_code,
            "counts": {state: self.count(state) for state in STATES},
            "sent": sum(outcome.sent for outcome in self.outcomes),
            "images": [outcome.as_dict() for outcome in self.outcomes],
        }


def last_word(checked: Outcome, worked: Outcome) -> Outcome:
    """Return what became of an image, with what its check found."""
    same = ("findings", "errors", "warnings", "format", "boot_mode")
    found = {name: getattr(checked, name) for name in same}
    return replace(worked, **found, size=worked.size or checked.size)


def in_plan(report: Report) -> Report:
    """Return a report whose advice names keys of the plan where an import has options."""
    return replace(report, findings=tuple(map(_in_plan, report.findings)))


def _in_plan(finding: Finding) -> Finding:
    if finding.fix is None:
        return finding
    fix = _IMPORT_WITH.sub(r"\1: \2 in the plan", finding.fix)
    for words, key in _KEYS.get(finding.rule, {}).items():
        fix = fix.replace(words, f"{words} ({key} in the plan)")
    return replace(finding, fix=fix)


def short_of_room(entries: Iterable[BatchEntry], checked: Mapping[str, Outcome]) -> Iterator[str]:
    """Return which service has less quota than the entries need; one that was begun counts."""
    asked: dict[tuple[str, ...], list[int | None]] = {}
    for entry in entries:
        options = entry.options
        words = (options.site, options.region, options.endpoint)
        where = tuple(word for word in words if word)
        asked.setdefault(where, []).append(checked[entry.shown].room)
    for where, rooms in asked.items():
        room = min((room for room in rooms if room is not None), default=None)
        if room is not None and room < len(rooms):
            yield (
                f"{' '.join(where)}: {len(rooms)} images are to be imported, and the quota has"
                " room for"
                f" {max(0, room)} more; remove some that are not needed, or ask for a larger quota"
            )
