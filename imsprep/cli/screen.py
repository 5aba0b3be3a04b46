"""The screen: how wide it is, whether it takes colours, and lines on stderr beside a bar.

`--color` and `--verbose` are kept in click's context (`here`), so that no function between a
command and what it prints has to hand them on.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from imsprep.checks.reporters.text import Style
    from imsprep.report import Report

F = TypeVar("F", bound=Callable[..., Any])

AUTO, ALWAYS, NEVER = "auto", "always", "never"
_WIDEST = 100  # columns; longer lines of prose are hard to read
_COLOUR, _VERBOSE = "imsprep.color", "imsprep.verbose"  # keys of click's Context.meta


def _kept(key: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        ctx.meta[key] = value
        return value

    return keep


def screen_options(command: F) -> F:
    """Add --verbose and --color, which a command need not take: see `style_for`."""
    verbose = click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_kept(_VERBOSE),
        help="Show notes in full.",
    )  # fmt: skip
    colour = click.option(
        "--color", type=click.Choice([AUTO, ALWAYS, NEVER]), default=AUTO, expose_value=False,
        callback=_kept(_COLOUR), help="Colours: auto is on a terminal, unless NO_COLOR is set.",
    )  # fmt: skip
    return verbose(colour(command))


def _here(key: str, default: Any) -> Any:
    context = click.get_current_context(silent=True)
    return default if context is None else context.meta.get(key, default)


def verbosity() -> int:
    """Return how often -v was given."""
    level: int = _here(_VERBOSE, 0)
    return level


def is_terminal(stream: IO[str]) -> bool:
    """Return whether a person looks at the stream; one that is closed has no reader."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def columns(stream: IO[str]) -> int | None:
    """Return the width of the terminal behind a stream, or None if there is none."""
    if not is_terminal(stream):
        return None
    try:
        given = int(os.environ.get("COLUMNS", "0"))
        return given if given > 0 else os.get_terminal_size(stream.fileno()).columns or None
    except (ValueError, OSError):
        return shutil.get_terminal_size().columns


def has_colours(stream: IO[str]) -> bool:
    """Return whether to write colours: `--color`, else NO_COLOR (no-color.org), else a terminal."""
    when = _here(_COLOUR, AUTO)
    if when != AUTO:
        return bool(when == ALWAYS)
    return (
        is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def style_for(stream: IO[str], *, skipped: bool = False, more_skipped: str = "") -> Style:
    """Return how to show findings on a stream."""
    from imsprep.checks.reporters.text import WIDTH, Style

    width = columns(stream)
    return Style(
        width=min(width, _WIDEST) if width else WIDTH,
        colour=has_colours(stream),
        notes=verbosity() > 0,
        skipped=skipped,
        more_skipped=more_skipped,
        more_notes="-v shows the notes in full",
    )


def wrapped(words: str, stream: IO[str]) -> str:
    """Return words broken at blanks to the stream's terminal; as they are where there is none."""
    width = columns(stream)
    if width is None:
        return words
    lines = []
    for line in words.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(
            line, max(width, 20), subsequent_indent=f"{indent}  ", break_long_words=False,
            break_on_hyphens=False, drop_whitespace=True,
        ) or [""]  # fmt: skip
    return "\n".join(lines)


def say_report(report: Report) -> None:
    """Write on stderr what the check before an import found, as `imsprep check` shows it."""
    from imsprep.checks.reporters.text import report_text
    from imsprep.report import Severity

    say(report_text(report, fail_on=Severity.ERROR, style=style_for(sys.stderr)).rstrip("\n"))


def say(words: str) -> None:
    """Write a line for people on stderr; above the bars that stand there, if there are any."""
    shown = wrapped(words, sys.stderr)
    bars = sys.modules.get("tqdm")
    if bars is not None and getattr(bars.tqdm, "_instances", None):
        bars.tqdm.write(shown, file=sys.stderr)
    else:
        click.echo(shown, err=True)
