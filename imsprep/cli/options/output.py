"""Reports into files: what --output may name, and how it is written."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from imsprep.errors import ReadError, UsageError, show_path
from imsprep.system.atomic import write_bytes
from imsprep.units import KIB

_ENDS = 64 * KIB  # bytes looked at, at each end
_STREAMS = (stat.S_IFIFO, stat.S_IFCHR)  # what is written to, and never replaced
_OWN_STREAM = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/self/(fd/\d+)")


def _target(text: str, formats: Sequence[str]) -> tuple[str, Path]:
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
    """Read every --output and make their folders; UsageError if one cannot or must not be written.

    A report replaces no other one, no file that is `kept`, nothing that imsprep keeps next to an
    image of these, and nothing but text. All this is known before anything that takes time. Raises
    ReadError for a file that cannot be read.
    """
    from imsprep import api

    targets = [_target(text, formats) for text in texts]
    taken: dict[tuple[int, int] | str, Path] = {}
    for path in kept if targets else ():
        taken |= {_identity(own): own for own in (path, *api.kept_files(path))}
    for _, path in targets:
        if _kind(path) in _STREAMS:
            continue
        if (other := taken.get(_identity(path))) is not None:
            raise UsageError(
                f"--output would replace {show_path(other)}, which this command uses;"
                " name another file"
            )
        if _kind(path) == stat.S_IFREG and _is_binary(path):
            raise UsageError(f"--output would replace {show_path(path)}, which is not a report")
        taken[_identity(path)] = path
    for _, path in targets:
        if _kind(path) not in _STREAMS:
            _make_folder(path)
    return targets


def _make_folder(path: Path) -> None:
    """Make the folder of a report; UsageError unless a report can be written at the path."""
    folder = Path(os.path.realpath(path)).parent
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileExistsError:
        raise UsageError(
            f"--output: cannot write {show_path(path)}: {show_path(folder)} is not a folder"
        ) from None
    except OSError as error:
        raise UsageError(f"--output: cannot write {show_path(path)}: {error.strerror}") from error


def _is_binary(path: Path) -> bool:
    """Return whether a file holds zero bytes, as no report does: at either end, where disks do."""
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
        # One that is open already is not opened again: a file would be written from its start.
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
