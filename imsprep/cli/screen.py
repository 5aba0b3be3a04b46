"""The screen: how wide it is, whether it takes colours, and lines on stderr next to a bar.

What `--color`, `--verbose` and `--progress` say is kept here for the whole run of a command
(`reset` begins a new one), so that no function between a command and what it prints, in whatever
thread, has to hand them on.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, TypeVar

import click

from imsprep.cli.progress.board import BOARD
from imsprep.errors import show_path

if TYPE_CHECKING:
    from imsprep.checks.reporters.text import Style
    from imsprep.report import Report

F = TypeVar("F", bound=Callable[..., object])

AUTO, ALWAYS, NEVER = "auto", "always", "never"
BAR, PLAIN, JSON, NONE = "bar", "plain", "json", "none"
_SAID = "imsprep.said"  # the logger of what stands on the screen anyway
_UNKNOWN_WIDTH = 80  # columns
_LOG_LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ +imsprep[. ]")
_LOG_HEAD = 64  # bytes in which that stands
_WIDEST = 100  # columns; longer lines of prose are hard to read


@dataclass
class _Screen:
    """What the options of this run say."""

    color: str = AUTO
    verbose: int = 0
    progress: str = AUTO
    profile: str | None = None  # of the configuration
    handlers: list[logging.Handler] = field(default_factory=list)  # of this run's log


_HERE = _Screen()


def reset() -> None:
    """Forget what the options of an earlier run said."""
    BOARD.begin()
    fresh = _Screen()
    root = logging.getLogger("imsprep")
    for handler in _HERE.handlers:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(logging.NOTSET)
    for name, value in vars(fresh).items():
        setattr(_HERE, name, value)


def use_profile(name: str | None) -> None:
    """Note which profile of the configuration was asked for."""
    _HERE.profile = name or _HERE.profile


def profile() -> str | None:
    """Return the profile that was asked for on the command line."""
    return _HERE.profile


def _kept(name: str) -> Callable[[click.Context, click.Parameter, object], object]:
    def keep(ctx: click.Context, param: click.Parameter, value: object) -> object:
        setattr(_HERE, name, value)
        return value

    return keep


def _log(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    if path is None:
        return
    _check_log(path)
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise click.BadParameter(f"cannot write {show_path(path)}: {error.strerror}") from None
    handler.setFormatter(_LogLine("%(asctime)s %(levelname)-7s %(name)s %(message)s"))
    _listen(handler, logging.DEBUG)


def _check_log(path: str) -> None:
    """Refuse to append to what is no log: it may be an image, or the plan of a batch."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            fitting = not stat.S_ISBLK(mode)
        else:
            with open(path, "rb") as file:
                head = file.read(_LOG_HEAD)
            fitting = not head or _LOG_LINE.match(head) is not None
    except OSError:
        return  # none yet, or opening it says why not
    if not fitting:
        raise click.BadParameter(
            f"{show_path(path)} is not a log of imsprep, to which lines are added; name another"
            " file"
        )


def _loud(ctx: click.Context, param: click.Parameter, count: int) -> None:
    _HERE.verbose = count
    if count:
        handler = _OnScreen()
        handler.setLevel(logging.INFO if count == 1 else logging.DEBUG)
        handler.addFilter(lambda record: record.name != _SAID)
        _listen(handler, handler.level)


def _listen(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger("imsprep")
    root.addHandler(handler)
    root.setLevel(min(level, root.level or level))
    _HERE.handlers.append(handler)


class _LogLine(logging.Formatter):
    """A line of the log file, with its time in UTC as ISO 8601 writes it."""

    converter = time.gmtime  # type: ignore[assignment]  # as the documentation of logging does
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class _OnScreen(logging.Handler):
    """What -v shows of the log, above the bars."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), logged=True)


_OPTIONS = (
    click.option(
        "--progress", type=click.Choice([AUTO, BAR, PLAIN, JSON, NONE]), default=AUTO,
        expose_value=False, callback=_kept("progress"),
        help="How to report progress on stderr; auto: a bar on a terminal, else a line"
        " now and then.",
    ),
    click.option(
        "--color", type=click.Choice([AUTO, ALWAYS, NEVER]), default=AUTO, expose_value=False,
        callback=_kept("color"),
        help="When to colour; auto: on a terminal, unless NO_COLOR is set.",
    ),
    click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_loud,
        help="Show notes in full, requests and decisions; -vv: every step.",
    ),
    click.option(
        "--log-file", metavar="FILE", expose_value=False, callback=_log,
        help="Append a log to FILE, in all detail but without secrets.",
    ),
)  # fmt: skip


def screen_options(command: F) -> F:
    """Add --progress, --color and --verbose, which a command need not take."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def verbosity() -> int:
    """Return how often -v was given."""
    return _HERE.verbose


def progress_mode() -> str:
    """Return how progress is shown: BAR, PLAIN, JSON or NONE."""
    if _HERE.progress == AUTO:
        return BAR if _draws() else PLAIN
    return _HERE.progress


def end_bars() -> bool:
    """Take all bars away, with what the terminal shows of Ctrl-C; False if it draws none."""
    BOARD.end()
    if _draws():
        click.echo("\r\x1b[K", file=sys.stderr, nl=False)  # to the start of the line, and erase it
    return _draws()


def _draws() -> bool:
    return is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


def write_event(values: Mapping[str, object]) -> None:
    """Write a line of JSON on stderr."""
    sys.stderr.write(json.dumps(values, sort_keys=True) + "\n")
    sys.stderr.flush()


def is_terminal(stream: IO[str]) -> bool:
    """Return whether a person looks at the stream; one that is closed has no reader."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def is_one_place(one: IO[str], other: IO[str]) -> bool:
    """Return whether two streams lead to the same terminal, pipe or file."""
    try:
        return os.path.sameopenfile(one.fileno(), other.fileno())
    except (ValueError, OSError):  # one that is closed, or none of the system's
        return False


def columns(stream: IO[str]) -> int | None:
    """Return the width of the terminal behind a stream, or None if there is none.

    COLUMNS may make it narrower but not wider: an exported value outlives a window's size, and a
    bar that is wider than its window leaves rows behind.
    """
    if not is_terminal(stream):
        return None
    try:
        real = os.get_terminal_size(stream.fileno()).columns
    except (ValueError, OSError):
        real = 0
    try:
        given = int(os.environ.get("COLUMNS", "0"))
    except ValueError:
        given = 0
    return min((width for width in (real, given) if width > 0), default=_UNKNOWN_WIDTH)


def has_colours(stream: IO[str]) -> bool:
    """Return whether to write colours: `--color`, else NO_COLOR (no-color.org), else a terminal."""
    if _HERE.color != AUTO:
        return _HERE.color == ALWAYS
    return (
        is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def style_for(
    stream: IO[str], *, skipped: bool = False, more_skipped: str = "", coverage: bool = True,
    quiet: bool = False,
) -> Style:  # fmt: skip
    """Return how to show findings on a stream."""
    from imsprep.checks import rule
    from imsprep.checks.reporters.text import WIDTH, Style
    from imsprep.cloud.sites import SITES

    width = columns(stream)
    return Style(
        width=min(width, _WIDEST) if width else WIDTH,
        colour=has_colours(stream),
        notes=verbosity() > 0,
        skipped=skipped,
        coverage=coverage,
        quiet=quiet,
        more_skipped=more_skipped,
        more_notes="-v: notes in full",
        offers={
            "another key": "--key",
            "to be replaced": "--replace",
            "hw_firmware_type": "--firmware names it",
            **{f"the site {key}": f"--site {key}" for key in SITES},
        },
        closer={
            rule.NOT_SCANNED: "--scan reads it",
            rule.NOT_UNPACKED: "--deep unpacks them",
            rule.NOT_INSPECTED: "--guest looks inside",
            rule.NOT_STARTED: "--boot starts it",
            rule.NOT_ONLINE: "--online asks them",
        },
    )


def wrapped(words: str, stream: IO[str], hang: int | None = None) -> str:
    """Return words broken at blanks to the stream's terminal; as they are where there is none.

    A line goes on two columns to the right of where it began, or in the column `hang`.
    """
    width = columns(stream)
    if width is None:
        return words
    lines = []
    for line in words.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(
            line, max(width, 20), break_long_words=False,
            subsequent_indent=f"{indent}  " if hang is None else " " * hang,
            break_on_hyphens=False, drop_whitespace=True,
        ) or [""]  # fmt: skip
    return "\n".join(lines)


def say_report(report: Report) -> None:
    """Write on stderr what the check before an import found, as `imsprep check` shows it."""
    from imsprep.checks.reporters.text import report_text
    from imsprep.report import Severity

    style = style_for(sys.stderr)
    say(report_text(report, fail_on=Severity.ERROR, style=style).rstrip("\n"), wrap=False)


def say(
    words: str, *, logged: bool = False, wrap: bool = True, hang: int | None = None
) -> None:  # fmt: skip
    """Write a line for people on stderr; above the bars that stand there, if there are any.

    It goes into the log too, unless it was `logged` before. Words that have their lines already,
    perhaps with colours, are not to `wrap`; others go on in the column `hang`.
    """
    if not logged:
        logging.getLogger(_SAID).info("%s", words)
    if _HERE.progress == JSON:
        write_event({"event": "message", "text": words})
        return
    shown = wrapped(words, sys.stderr, hang) if wrap else words
    if not BOARD.write(shown):
        click.echo(shown, file=sys.stderr)
