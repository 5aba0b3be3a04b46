"""What the commands share: options, output, progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click

from imsprep.cli.help.completion import images
from imsprep.cli.screen import screen_options, wrapped
from imsprep.errors import UsageError
from imsprep.units import parse_size

F = TypeVar("F", bound=Callable[..., object])


class SizeType(click.ParamType[int]):
    """A number of bytes: `4096`, `64k`, `2MiB`, `1g`; units are powers of two."""

    name = "size"

    def __init__(self, least: int = 0) -> None:
        self._least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number of bytes, or end with a usage error."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value), least=self._least)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class CountType(click.ParamType[int]):
    """A whole number from `least` to `most`, of which the help's own words say what is useful."""

    name = "N"

    def __init__(self, least: int = 0, most: int | None = None) -> None:
        self._least, self._most = least, most

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number, or end with a usage error."""
        try:
            number = int(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if number < self._least or (self._most is not None and number > self._most):
            to = "or more" if self._most is None else f"to {self._most}"
            self.fail(f"expected {self._least} {to}, got {number}", param, ctx)
        return number


class GbType(click.ParamType[int]):
    """A whole number of GB, without a unit; the rules of a request judge it."""

    name = "GB"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number, or end with a usage error."""
        try:
            return int(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a whole number of GB, as 40", param, ctx)


class SecondsType(click.ParamType[float]):
    """A number of seconds, `least` or more; not `nan`, which no clock ever passes."""

    name = "SECONDS"

    def __init__(self, least: float = 0) -> None:
        self._least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or end with a usage error."""
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = float("nan")
        if seconds != seconds:
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        if seconds < self._least:
            self.fail(f"expected at least {self._least:g} s, got {seconds:g} s", param, ctx)
        return seconds


class PathType(click.Path):
    """A path that is not empty: to Python an unset variable of a script is the current folder.

    Whether a file can be read is found out by reading it: click would call it wrong usage, and that
    is another exit code.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the path, or end with a usage error."""
        if value == "":
            self.fail("the name is empty; is a variable unset?", param, ctx)
        return super().convert(value, param, ctx)


class PlaceType(PathType):
    """A path, or a bucket as text: `local:DIR` or `obs:BUCKET/PREFIX`."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the path or the text, or end with a usage error."""
        from imsprep.store.target import is_target

        return value if is_target(value) else super().convert(value, param, ctx)


SIZE = SizeType()
RATE = SizeType(least=1)  # bytes per second
PATH = PathType()
PLACE = PlaceType()

image_argument = click.argument("image", shell_complete=images, type=PATH)

ca_bundle_option = click.option(
    "--ca-bundle",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates to trust instead of the usual ones.",
)


def with_options(command: F, options: Sequence[Callable[[F], F]]) -> F:
    """Add options to a command, whose help then shows them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


_OUTPUT = (
    click.option("-q", "--quiet", is_flag=True, help="Print no progress on stderr."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
)


def output_options(command: F) -> F:
    """Add --json, --quiet, --verbose and --color, which every command has."""
    return with_options(screen_options(command), _OUTPUT)


def print_result(
    as_json: bool, value: Mapping[str, object], text: str, *, hang: int | None = None,
    paint: Callable[[str], str] = str,
) -> None:  # fmt: skip
    """Print a result on stdout: the value for programs or the text for people.

    The value gets a `schema` that names the command and the version of its keys. Lines of text are
    broken at words where stdout is a terminal, go on in the column `hang`, and are painted then.
    """
    if not as_json:
        click.echo(paint(wrapped(text, sys.stdout, hang=hang)))
        return
    from imsprep.checks.reporters.json import indented

    own = value.get("schema")
    rest = {key: one for key, one in value.items() if key != "schema"}
    click.echo(indented({"schema": own if isinstance(own, str) else schema_name(), **rest}))


# Of a command whose keys changed their meaning; all others are at 1.
VERSIONS: dict[str, int] = {"bitmap": 2, "verify": 2}


def schema_name() -> str:
    """Return what the JSON of the command that runs is called: `imsprep.uploads-list/1`."""
    words = click.get_current_context().command_path.split()[1:]
    name = "-".join(word for word in words if word != "make")
    return f"imsprep.{name}/{VERSIONS.get(name, 1)}"
