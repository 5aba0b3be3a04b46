"""Text for people: the worst first, each finding with what was found and what to do.

The verdict is the last line. Notes take a line each and what was skipped is counted, unless the
`Style` asks for more: who wants to know why reads on, who wants to know whether does not.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imsprep.checks.naming import argument, with_name
from imsprep.checks.reporters import Failure, Run
from imsprep.checks.rule import NOT_INSPECTED
from imsprep.image.file import Sharing
from imsprep.image.formats import RAW
from imsprep.options import DEFAULT_SITE
from imsprep.report import FactValues, Finding, Report, Severity, StepValues, disk_size
from imsprep.scan.scan import Coverage
from imsprep.units import counted, format_size

WIDTH = 80  # columns, where no terminal says another number
NARROWEST = 40
_INDENT = 9  # columns; behind the longest severity
# A reason that is never folded: who asked for the look would not learn that there was none.
_LACKING = re.compile(r"imsprep\[[a-z-]+\] is not installed")
# Advice of a guest's rule that is a command: see `checks.subject.guest`.
_BOTH = re.compile(
    r"(?P<lead>.*?)In the guest: `(?P<inside>.+)`; or: (?P<offline>virt-customize -a .+)"
)
_WHOLE = re.compile(r"`[^`]*`")  # a command in a text; it is not broken
_STAYS = "\0"  # a blank at which no line ends
_SGR = {  # "Select Graphic Rendition", ECMA-48, chapter 8.3.117
    "error": "1;31", "warning": "1;33", "note": "1;36", "waived": "2", "passed": "1;32",
    "unsure": "1;33", "FAILED": "1;31", "dim": "2", "bold": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How a report is shown: for which width, with colours or not, and how much of it."""

    width: int = WIDTH
    colour: bool = False
    notes: bool = False  # in full; else one line each
    skipped: bool = False  # with the reasons; else their number
    coverage: bool = True  # what a scan found, and how it knows
    quiet: bool = False  # what fails and a line an image
    more_skipped: str = ""  # how to see those reasons, in words: "--show-skipped: why skipped"
    more_notes: str = ""  # how to see the notes in full
    image: str = ""  # whose findings these are, as a shell takes it; "": as the advice names it
    format: str = ""  # of that image
    closer: Mapping[str, str] = field(default_factory=dict)  # by reason: what takes a closer look
    offers: Mapping[str, str] = field(
        default_factory=dict
    )  # by rule, or by words that a fix has, as a field's name: what the command adds to the fix

    def painted(self, words: str, kind: str) -> str:
        """Return words in the colour of their kind, if there are colours."""
        return f"\x1b[{_SGR[kind]}m{words}\x1b[0m" if self.colour else words


PLAIN = Style()

_Shown = dict[tuple[str, str], str]  # notes by what is seen of them, each with the image it is of


def text(run: Run, style: Style = PLAIN) -> str:
    """Return the run as text for a terminal or a file."""
    shown: _Shown = {}  # the same doubt is said once
    parts = [
        _failure(one, style) if isinstance(one, Failure) else _report(run, one, style, shown)
        for one in run.results
    ]
    parts += ["\n".join(_wrapped(f"waiver: {c}", style, "")) + "\n" for c in run.complaints]
    if len(run.results) > 1:
        parts.append(_all_images(run, style))
    return ("" if style.quiet else "\n").join(parts)


def report_text(report: Report, *, fail_on: Severity | None, style: Style) -> str:
    """Return one image's report, as an import shows it."""
    return _report(Run((report,), (), fail_on, ""), report, style, {})


def finding_lines(
    findings: Iterable[Finding], style: Style, shown: _Shown | None = None
) -> list[str]:
    """Return findings as blocks of lines, the worst first; a note that was `shown` is named only.

    Of a folded note the title is all that a reader sees, whatever the image, and several that would
    look the same are one line with their number.
    """
    shown = {} if shown is None else shown
    before = dict(shown)
    ordered = sorted(findings, key=lambda f: f.order)
    known = [f for f in ordered if _is_note(f) and _key(f, style) in before]
    alike = Counter(_looks(f) for f in ordered if _folds(f, style))
    lines: list[str] = []
    folded = False
    for finding in ordered:
        fold = _folds(finding, style)
        count = alike.pop(_looks(finding), 0) if fold else 1
        if not count or finding in known:
            continue
        if _is_note(finding):
            shown[_key(finding, style)] = style.image
        if count > 1:
            finding = replace(finding, title=f"{finding.title} ({count} findings)")
        lines += [*([] if fold and folded else [""]), *_finding(finding, style, fold=fold)]
        folded = fold
    again = _as_before(known, before, style) if known else []
    return [*lines, *([] if folded or not again else [""]), *again]


def _as_before(known: list[Finding], before: _Shown, style: Style) -> list[str]:
    """Return the line that names the notes which an image before this one has too."""
    images = {before[_key(finding, style)] for finding in known}
    where = images.pop() if len(images) == 1 else "images above"
    rules = ", ".join(dict.fromkeys(finding.rule for finding in known))
    first, *more = _wrapped(f"As for {where}: {rules}", style)
    mark = style.painted(f"{'note':<{_INDENT - 1}}", "note")
    return [f"{mark} {first[_INDENT:]}", *more]


def _folds(finding: Finding, style: Style) -> bool:
    return (_is_note(finding) or finding.waived is not None) and not style.notes


def _looks(finding: Finding) -> tuple[str, str, str | None]:
    """Return what is seen of a finding that is folded."""
    return finding.rule, finding.title, finding.waived


def _is_note(finding: Finding) -> bool:
    return finding.severity is Severity.NOTE and finding.waived is None


def _key(finding: Finding, style: Style) -> tuple[str, str]:
    return finding.rule, finding.message if style.notes else finding.title


def _failure(failure: Failure, style: Style) -> str:
    lines = [f"{failure.image}: not checked", *_wrapped(failure.message, style)]
    return "\n".join(lines) + "\n"


def _report(run: Run, report: Report, style: Style, shown: _Shown) -> str:
    style = replace(style, image=argument(report.image), format=report.facts.get("format", ""))
    if style.quiet:
        return _quiet(run, report, style)
    lines = [*_headline(report, style), *_scanned(report, style)]
    before = [f for f in report.findings if _is_note(f) and _key(f, style) in shown]
    lines += [*finding_lines(report.findings, style, shown), "", *_skipped(report, style)]
    lines += _verdict(run, report, style, len(before))
    return "\n".join(lines) + "\n"


def _quiet(run: Run, report: Report, style: Style) -> str:
    """Return what makes the run fail, and one line with the verdict and the image's name."""
    least = run.fail_on
    failing = [
        f for f in report.findings if f.waived is None and least is not None and f.severity >= least
    ]
    lines = finding_lines(failing, replace(style, notes=True))
    lines += [""] if failing else []
    words = f"{report.image}: {_counts([report])}"
    warned = report.count(Severity.WARNING) > 0
    lines += _last(run.bad(report), warned, words, style, wrong=run.tolerated(report))
    return "\n".join(lines).lstrip("\n") + "\n"


def about(facts: FactValues) -> str:
    """Write what an image is: format, sizes, table, what starts it, and the system inside."""
    words = [facts.get("format", "unknown"), format_size(disk_size(facts))]
    is_raw = facts.get("format") == RAW
    size = facts.get("file_size")
    if not is_raw and size not in (None, disk_size(facts)):  # its bytes are not the disk's
        words.append(f"file of {format_size(size)}")
    if "data_bytes" in facts:
        words.append(f"{format_size(facts['data_bytes'])} of data")
    elif is_raw and facts.get("cells"):
        words.append(f"{format_size(sum(stored for _, _, stored, _ in facts['cells']))} stored")
    if table := facts.get("partition_table"):
        words.append(f"{table.upper()}, {counted(len(facts.get('partitions', [])), 'partition')}")
    if firmware := facts.get("firmware"):
        words.append(" and ".join(map(str.upper, firmware)))
    guest = facts.get("guest") or {}
    if system := guest.get("name") or guest.get("system"):
        words.append(system)
    return ", ".join(words)


def _headline(report: Report, style: Style) -> list[str]:
    name, words = style.painted(report.image, "bold"), about(report.facts)
    if (site := report.facts.get("site")) == DEFAULT_SITE:
        words += f"; limits of {site} (default)"
    steps = (report.facts.get("guest") or {}).get("chain") or []
    chain = _wrapped(chain_line(steps), style, "  ") if steps else []
    if len(report.image) > style.width // 2:
        return [name, *_wrapped(words, style), *chain]
    lines = _wrapped(words, style, " " * (len(report.image) + 2))
    return [f"{name}  {lines[0].strip()}", *lines[1:], *chain]


def chain_line(steps: Sequence[StepValues]) -> str:
    """Write a boot chain, as a report's facts have it, in one line.

    It ends with the first step that is broken. Where the loader is not known nothing behind it is,
    and the line is the reason.
    """
    words: list[str] = []
    before = None
    for number, step in enumerate(steps[1:]):
        if step["state"] == "broken":
            words.append(f"{step['name']}: broken")
            break
        if step["state"] in ("doubtful", "waived"):
            words.append(f"{step['short'] or step['name']}: {step['state']}")
        elif step["state"] == "known":
            words += [step["short"]] if step["short"] else []
        elif number == 0:
            return step["why"] or ""
        elif step["why"] != before:
            words.append(f"{step['name']}: unknown")
        before = step["why"]
    return " > ".join(words)


def _scanned(report: Report, style: Style) -> list[str]:
    """Return what a scan found and how it knows, if there was one."""
    facts = report.facts
    sharing = Sharing(**facts["sharing"]) if "sharing" in facts else None
    note = sharing.note if sharing is not None else None
    shared = _wrapped(f"note: {note}", style, "  ") if note else []
    if "coverage" not in facts or not style.coverage:
        return shared
    data = format_size(facts["data_bytes"])
    words = f"data: {data}, in blocks of {format_size(facts['block_size'])}"
    known = _wrapped(str(Coverage(**facts["coverage"])), style, "  ")
    return [*_wrapped(words, style, "  "), *known, *shared]


def _finding(finding: Finding, style: Style, *, fold: bool) -> list[str]:
    mark = "waived" if finding.waived is not None else finding.severity.word
    lines = _title(mark, finding, style)
    if fold and finding.waived is None:
        return lines
    if finding.waived is not None:
        lines += _wrapped(finding.message, style) if not fold else []
        return lines + _wrapped(f"waived: {finding.waived}", style)
    lines += _wrapped(finding.message, style)
    if finding.expected is not None and finding.found is not None:
        lines += _wrapped(f"expected: {finding.expected}; found: {finding.found}", style)
    if finding.fix is not None:
        fix, offers = finding.fix, list[str]()
        for key, offer in style.offers.items():
            words = re.compile(rf"{re.escape(key)}(?![\w-])")
            if " " not in offer and words.search(fix):  # an option alone stands behind its words
                fix = words.sub(f"{key} ({offer})", fix)
            elif key == finding.rule or words.search(fix):
                offers.append(offer)
        lines += _fix(fix, f" ({', '.join(offers)})" if offers else "", style)
    return lines


def _fix(fix: str, offer: str, style: Style) -> list[str]:
    """Return advice as lines; a command that stands alone is not broken."""
    lines, lead = [], "fix: "
    for words, is_command in fix_parts(fix, style.image, style.format):
        if is_command:
            lines.append(" " * (_INDENT + 2) + words)
            continue
        whole = _WHOLE.sub(lambda m: m[0].replace(" ", _STAYS), f"{lead}{words}{offer}")
        lines += _wrapped(whole, style)
        lead = offer = ""
    return lines


def fix_parts(fix: str, image: str = "", format_: str = "") -> list[tuple[str, bool]]:
    """Return advice in parts, each with whether it is a command alone, to be copied.

    The `image`, of this format, is named in the commands that take it by itself.
    """
    if image:
        fix = with_name(fix, image, format_)
    found = _BOTH.fullmatch(fix)
    if found is None:
        return [(fix, False)]
    begins = not found["lead"] or found["lead"].endswith(". ")
    return [
        (f"{found['lead']}{'In' if begins and found['lead'] else 'in'} the guest:", False),
        (found["inside"], True),
        ("or, on the image while it is not running:", False),
        (found["offline"], True),
    ]


def _title(mark: str, finding: Finding, style: Style) -> list[str]:
    """Return severity, title and, at the right, the rule's id."""
    room = max(NARROWEST, style.width) - _INDENT - len(finding.rule) - 2
    first, *more = textwrap.wrap(finding.title, room, break_on_hyphens=False) or [""]
    colour = mark if mark in _SGR else "bold"
    head = (
        style.painted(f"{mark:<{_INDENT - 1}}", colour)
        + " "
        + style.painted(first, "bold")
        + " " * (room - len(first) + 2)
        + style.painted(finding.rule, "dim")
    )
    return [head, *(" " * _INDENT + style.painted(line, "bold") for line in more)]


def _wrapped(words: str, style: Style, indent: str = " " * _INDENT) -> list[str]:
    return [
        wrapped.replace(_STAYS, " ")
        for line in words.splitlines() or [""]
        for wrapped in textwrap.wrap(
            line, max(NARROWEST, style.width), initial_indent=indent, subsequent_indent=indent,
            break_long_words=False, break_on_hyphens=False,
        )
    ]  # fmt: skip


def _skipped(report: Report, style: Style) -> list[str]:
    """Return the reasons why rules did not run if they were asked for, else what was lacking."""
    if not style.skipped:
        lacking = {s.reason for s in report.skipped if _LACKING.search(s.reason)}
        return [line for words in sorted(lacking) for line in _wrapped(words, style, "")]
    reasons: dict[str, list[str]] = {}
    for skipped in report.skipped:
        reasons.setdefault(skipped.reason, []).append(skipped.rule)
    lines = ["skipped:"] if reasons else []
    for reason, rules in reasons.items():
        closer = f" ({style.closer[reason]})" if reason in style.closer else ""
        lines += textwrap.wrap(
            f"{reason}{closer}: {' '.join(rules)}", max(NARROWEST, style.width),
            initial_indent="  ", subsequent_indent="    ",
            break_on_hyphens=False, break_long_words=False,
        )  # fmt: skip
    return lines


def _verdict(run: Run, report: Report, style: Style, before: int) -> list[str]:
    """Return the numbers of each, and how to see what is not shown; notes shown `before` are."""
    bad = run.bad(report)
    waived = sum(f.waived is not None for f in report.findings)
    more = f", {waived} waived" if waived else ""
    words = f"{_counts([report])}{more}; {counted(len(report.passed), 'rule')} passed"
    hints = []
    if report.skipped:
        words += f", {len(report.skipped)} skipped"
        unseen = NOT_INSPECTED in style.closer and not style.skipped
        if unseen and any(s.reason == NOT_INSPECTED for s in report.skipped):
            hints.append(style.closer[NOT_INSPECTED])
    if style.more_notes and report.count(Severity.NOTE) > before and not style.notes:
        hints.append(style.more_notes)
    if style.more_skipped and report.skipped and not style.skipped:
        hints.append(style.more_skipped)
    warned, wrong = report.count(Severity.WARNING) > 0, run.tolerated(report)
    lines = list(_last(bad, warned, words, style, wrong=wrong))
    if hints:
        lines += [style.painted(line, "dim") for line in _wrapped(f"({'; '.join(hints)})", style)]
    return lines


def _all_images(run: Run, style: Style) -> str:
    bad = sum(run.bad(report) for report in run.reports)
    wrong = sum(run.tolerated(report) for report in run.reports)
    words = [f"{len(run.reports) - bad - wrong} passed", f"{bad} failed"]
    if wrong:
        words.append(f"{wrong} with errors that do not fail")
    if run.failures:
        words.append(f"{len(run.failures)} not checked")
    said = f"{len(run.results)} images: {', '.join(words)}; {_counts(run.reports)}"
    warned = any(report.count(Severity.WARNING) for report in run.reports)
    return "\n".join(_last(run.exit_code != 0, warned, said, style, wrong=wrong > 0)) + "\n"


def _counts(reports: Iterable[Report]) -> str:
    total: Counter[Severity] = Counter()
    for report in reports:
        total.update({severity: report.count(severity) for severity in Severity})
    return ", ".join(counted(total[s], s.word) for s in sorted(Severity, reverse=True))


def _last(
    bad: bool, warned: bool, words: str, style: Style, *, wrong: bool = False
) -> Iterator[str]:
    """Yield the verdict's lines; one that passed with warnings is not green.

    What has errors that are `wrong` and is not to fail has no verdict.
    """
    word = "FAILED" if bad else "checked" if wrong else "passed"
    kind = "FAILED" if bad else "unsure" if warned or wrong else "passed"
    first, *more = _wrapped(words, style)
    yield style.painted(word, kind) + first[len(word) :]
    yield from more
