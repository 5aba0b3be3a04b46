"""Reporters: the result of a check in the form that its reader needs. Begin with `text`.

Each reporter is a function from a `Run` to text. Nothing here decides anything: the report is
made, the exit code known. Output is the same for the same run: nothing is dated.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imsprep.report import Report, Severity

if TYPE_CHECKING:
    from imsprep.checks.rule import Rule

SCHEMA = "imsprep.check/2"


@dataclass(frozen=True)
class Failure:
    """An image that could not be checked: the class of the error, and its sentence."""

    image: str
    kind: str
    message: str
    exit_code: int


@dataclass(frozen=True)
class Run:
    """One call of `imsprep check`: a report or a failure for every image, in order."""

    results: tuple[Report | Failure, ...]
    rules: tuple[Rule, ...]  # the Rules that were applied, for reporters that list them
    fail_on: Severity | None  # None: findings never fail
    version: str
    complaints: tuple[str, ...] = ()  # about waivers

    @property
    def reports(self) -> tuple[Report, ...]:
        """The images that could be checked."""
        return tuple(r for r in self.results if isinstance(r, Report))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The images that could not."""
        return tuple(r for r in self.results if isinstance(r, Failure))

    def bad(self, report: Report) -> bool:
        """Return whether this report makes the run fail."""
        return self.fail_on is not None and report.fails(self.fail_on)

    def tolerated(self, report: Report) -> bool:
        """Return whether this report has errors that are not to fail: it has not passed either."""
        return not self.bad(report) and report.count(Severity.ERROR) > 0

    @property
    def exit_code(self) -> int:
        """0, 1 for findings that fail, or the code of what could not be checked, which is worse."""
        if self.failures:
            return max(failure.exit_code for failure in self.failures)
        return 1 if any(self.bad(report) for report in self.reports) else 0


FORMATS = ("text", "json", "jsonl", "sarif", "junit", "github", "html")


def render(run: Run, format_: str, *, notes: bool = False) -> str:
    """Return the run in one of FORMATS, ending in a newline.

    `notes` asks for notes in the format that leaves them out: github.
    """
    module = importlib.import_module(f"{__name__}.{_MODULES.get(format_, format_)}")
    if format_ == "github":
        github: str = module.github(run, notes=notes)
        return github
    function: Callable[[Run], str] = getattr(module, format_)
    return function(run)


_MODULES = {"jsonl": "json"}
