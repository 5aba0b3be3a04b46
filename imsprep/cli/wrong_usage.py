"""Wrong usage: what is said of a command line that cannot be carried out, and what is not.

click repeats what was given. A control character in it would command the terminal, and a key that
was given by mistake would stand in a log: the first are escaped, the second is hidden if it is one
of the keys that are in use here.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence

import click

from imsprep.errors import show_words

_LONGEST = 2000  # characters
_KEY_OPTION = re.compile(r"(?i)^-+(ak|sk|.*(secret|token|password|access.?key|credential).*)$")
_KEYS = (
    "keys are taken from the environment or a file, never from the command line, where others see"
    " them"
)


def is_help(error: click.ClickException) -> bool:
    """Return whether click answers a group without a command by its help, as it does since 8.2."""
    kind = getattr(click.exceptions, "NoArgsIsHelpError", None)
    return kind is not None and isinstance(error, kind)


def words(error: click.ClickException, arguments: Sequence[str] = ()) -> str:
    """Return what is said of an error of click about these arguments, on one line."""
    said = error.format_message()
    if isinstance(error, click.NoSuchOption) and _KEY_OPTION.match(error.option_name):
        said = f"No such option {error.option_name!r}: {_KEYS}."  # and none that is like it
    if isinstance(error, click.MissingParameter) and error.param is not None:
        given = [word for word in arguments if word.startswith(("local:", "obs:"))]
        if error.param.name == "to" and given:
            said = f"{said} Write it as --to {shlex.quote(given[0])}."
    return show_words(without_keys(said), _LONGEST)


def show(error: click.ClickException, message: str) -> None:
    """Show these words of an error on stderr, behind the usage of the command."""
    from imsprep.cli.screen import wrapped

    head = "Error: "  # click's own
    message = wrapped(head + message, sys.stderr, hang=len(head)).removeprefix(head)
    if isinstance(error, click.UsageError):
        click.UsageError(message, error.ctx).show()
    else:
        click.ClickException(message).show()


def without_keys(text: str) -> str:
    """Return a text with `***` for each key that is in use here."""
    from imsprep import api  # only where something is wrong

    return api.hide_keys(text)
