"""What the commands share: options, output, progress."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click

from imsprep.atomic import write_bytes
from imsprep.errors import ReadError, UsageError, show_path
from imsprep.units import GIB, KIB, MIB, TIB, format_size

if TYPE_CHECKING:
    from tqdm import tqdm

F = TypeVar("F", bound=Callable[..., Any])

_ENDS = 64 * KIB  # bytes looked at, at each end
_STREAMS = (stat.S_IFIFO, stat.S_IFCHR)  # what is written to, and never replaced
_OWN_STREAM = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/self/(fd/\d+)")
_UNITS = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}


class SizeType(click.ParamType[int]):
    """A number of bytes: `4096`, `64k`, `2MiB`, `1g`; units are powers of two."""

    name = "size"

    def __init__(self, least: int = 0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes, or end with a usage error."""
        if isinstance(value, int):
            return value
        text = str(value).strip().lower().removesuffix("ib").removesuffix("b")
        number, unit = (text[:-1], text[-1:]) if text[-1:] in "kmgt" and text else (text, "")
        try:
            size = int(float(number) * _UNITS[unit])
        except (ValueError, KeyError, OverflowError):
            self.fail(f"{value!r} is not a size; write 2097152, 2m or 2MiB", param, ctx)
        if size < self._least:
            self.fail(f"{value!r} is too small; at least {self._least}", param, ctx)
        return size


class SecondsType(click.FloatRange):
    """A number of seconds; not `nan`, which no clock ever passes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or end with a usage error."""
        seconds = super().convert(value, param, ctx)
        if seconds != seconds:
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        return seconds


class PathType(click.Path):
    """A path that is not empty: to Python an unset variable of a script is the current folder.

    Whether a file can be read is found out by reading it: click would call it wrong usage, and that
    is another exit code.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or end with a usage error."""
        if value == "":
            self.fail("the name is empty; is a variable unset?", param, ctx)
        return super().convert(value, param, ctx)


SIZE = SizeType()
RATE = SizeType(least=1)  # bytes per second
PATH = PathType()

image_argument = click.argument("image", type=PATH)

ca_bundle_option = click.option(
    "--ca-bundle",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates to trust instead of the usual ones.",
)


def with_options(command: F, options: Sequence[Callable[[Any], Any]]) -> F:
    """Add options to a command, whose help then shows them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


_OUTPUT = (
    click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
)


def output_options(command: F) -> F:
    """Add --json and --quiet, which every command has."""
    return with_options(command, _OUTPUT)


def print_result(as_json: bool, value: dict[str, Any], text: str) -> None:
    """Print a result on stdout: the value for programs or the text for people."""
    click.echo(json.dumps(value, indent=2, sort_keys=True) if as_json else text)


def output_target(text: str, formats: Sequence[str]) -> tuple[str, Path]:
    """Read the FORMAT:FILE of an --output; UsageError says what was expected."""
    format_, colon, name = text.partition(":")
    if format_ not in formats or not colon or not name:
        raise UsageError(
            f"--output {text!r}: write FORMAT:FILE, FORMAT one of {', '.join(formats)}"
        )
    return format_, Path(name)


def output_targets(
    texts: Sequence[str], formats: Sequence[str], kept: Iterable[Path]
) -> list[tuple[str, Path]]:
    """Read every --output; UsageError if one would replace what a report must not.

    That is another one, a file that is `kept`, what imsprep keeps beside an image of these, and
    whatever is no text. Raises ReadError for a file that cannot be read.
    """
    targets = [output_target(text, formats) for text in texts]
    taken: dict[tuple[int, int] | str, Path] = {}
    for path in kept if targets else ():
        taken |= {_identity(own): own for own in (path, *_own_files(path))}
    for _, path in targets:
        if _kind(path) in _STREAMS:
            continue
        if (other := taken.get(_identity(path))) is not None:
            raise UsageError(
                f"--output would replace {show_path(other)}, which this command uses;"
                " name another file"
            )
        if _kind(path) == stat.S_IFREG and _is_binary(path):
            raise UsageError(f"--output would replace {show_path(path)}, which is no report")
        taken[_identity(path)] = path
    return targets


def _own_files(image: Path) -> list[Path]:
    """Return what imsprep keeps beside an image: it is continued from it, or was made elsewhere."""
    from imsprep.bitmapfile import bitmap_path
    from imsprep.journal import Journal
    from imsprep.manifest import path_beside
    from imsprep.packed import note_path, place_for
    from imsprep.sidecar import sidecar_path

    if not image.name:  # a folder, as "."
        return []
    made = [bitmap_path(image), place_for(image)]
    sent = [Journal.beside(path).path for path in (image, *made)]
    return [*made, sidecar_path(made[0]), note_path(made[1]), path_beside(image), *sent]


def _is_binary(path: Path) -> bool:
    """Say whether a file holds zero bytes, as no report does: at either end, where disks do."""
    try:
        with path.open("rb") as file:
            head = file.read(_ENDS)
            file.seek(max(0, path.stat().st_size - _ENDS))
            return b"\0" in head or b"\0" in file.read(_ENDS)
    except OSError as error:
        raise ReadError.from_os(error, "cannot read", path) from error


def write_output(path: Path, text: str) -> None:
    """Write a report whole or not at all; a pipe or terminal, as /dev/stdout, just gets it.

    Raises ReadError.
    """
    data = text.encode("utf-8", "backslashreplace")
    own = _OWN_STREAM.fullmatch(os.path.abspath(path))
    if own is None and _kind(path) not in _STREAMS:
        write_bytes(path, data)
        return
    try:
        # One that is open already is not opened anew: a file would be written from its start.
        number = os.open(path, os.O_WRONLY) if own is None else os.dup(_number(own[1] or own[2]))
        with os.fdopen(number, "wb") as file:
            file.write(data)
    except OSError as error:
        raise ReadError.from_os(error, "cannot write", path) from error


def _number(name: str) -> int:
    return {"stdout": 1, "stderr": 2}.get(name) or int(name.rpartition("/")[2])


def _kind(path: Path) -> int:
    """Return what sort of file a path names, as in `stat`; 0 if none."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except OSError:
        return 0


def _identity(path: Path) -> tuple[int, int] | str:
    """Return what is the same for two names of one file, which need not exist."""
    try:
        there = path.stat()
    except OSError:
        return os.path.realpath(path)
    return there.st_dev, there.st_ino


class Progress:
    """Bytes done, shown on stderr: a bar on a terminal, a plain line now and then elsewhere.

    Calling the object with a number of bytes advances it; that callable is all the library knows.
    """

    def __init__(self, what: str, total: int, *, quiet: bool, interval_s: float = 10.0) -> None:
        self._what, self._total, self._interval_s = what, total, interval_s
        self._quiet = quiet
        self._done = 0
        self._next_line = time.monotonic() + interval_s
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from tqdm import tqdm  # loading it takes as long as scanning a small image

            self._bar = tqdm(
                desc=self._what, total=self._total, unit="B", unit_scale=True, unit_divisor=1024
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, count: int, note: str = "") -> None:
        """Note that `count` more bytes are done; `note` is shown beside them."""
        self._done += count
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif not self._quiet and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + self._interval_s
            share = f" ({self._done * 100 // self._total} %)" if self._total else ""
            note = f"; {note}" if note else ""
            click.echo(f"{self._what}: {format_size(self._done)}{share}{note}", err=True)
