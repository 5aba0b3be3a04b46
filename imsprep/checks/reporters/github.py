"""GitHub annotations: workflow commands, one a line, shown with the run.

Source: "Workflow commands for GitHub Actions", docs.github.com: what must be escaped, and how.
"""

from __future__ import annotations

from imsprep.checks.naming import fix_of
from imsprep.checks.reporters import Failure, Run
from imsprep.report import Report, Severity

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def github(run: Run, *, notes: bool = False) -> str:
    """Return one annotation per finding that is not waived, and per image not checked.

    Notes, which are good to know and stand in a report of every good image, are left out unless
    `notes` asks for them, or they fail the run.
    """
    least = Severity.NOTE if notes or run.fail_on is Severity.NOTE else Severity.WARNING
    lines: list[str] = []
    for one in run.results:
        if isinstance(one, Failure):
            lines.append(_command("error", one.image, "not checked", one.message))
        else:
            lines += _report(one, least)
    lines += [_command("warning", "", "waiver", complaint) for complaint in run.complaints]
    return "".join(f"{line}\n" for line in lines)


def _report(report: Report, least: Severity) -> list[str]:
    return [
        _command(
            _LEVELS[f.severity],
            report.image,
            f"{f.rule} {f.title}",
            f.message + (f"\nfix: {fix_of(f, report)}" if f.fix else ""),
        )
        for f in report.findings
        if f.waived is None and f.severity >= least
    ]


def _command(level: str, file: str, title: str, message: str) -> str:
    properties = [f"file={_property(file)}"] if file else []
    properties.append(f"title={_property(title)}")
    return f"::{level} {','.join(properties)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
