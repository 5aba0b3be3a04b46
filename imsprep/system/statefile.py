"""State files: the small JSON files that outlive a run, read as if anybody could have written them.

The sidecar of a bitmap or container, the journal of an upload or a batch and the manifest of an
import are read and written here. A file is *used* only if all of it has the types and the schema
number that its record declares. Anything else that lies there (another program's file, half a file,
JSON of 100,000 levels, a pipe) is one `StateFileError`, never a reason to replace or delete it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TypeVar

from imsprep.errors import ReadError, show_path
from imsprep.system import atomic
from imsprep.system.regular import read_plain

T = TypeVar("T")

LIMIT = 64 << 20  # bytes; the largest that is written, a batch's journal, has some 1 KiB an image
_CHECKSUM = "checksum"  # the member of a file that has one
_SHOWN = 40  # characters of a value in a message


class StateFileError(ReadError):
    """A state file that cannot be used; the message says why, `ours` whether imsprep wrote it."""

    def __init__(self, message: str, *, ours: bool) -> None:
        super().__init__(message)
        self.ours = ours


def load(path: Path, record: type[T], *, schema: int) -> T:
    """Return what a state file holds as a `record`: a dataclass, or another type of msgspec's.

    One that was saved with a checksum is compared with it.

    Raises FileNotFoundError if there is none, StateFileError for one that cannot be used.
    """
    value = _plain(path)
    checksum = value.pop(_CHECKSUM, None)
    try:
        computed = _checksum_of(value) if checksum is not None else None
    except RecursionError:  # fewer levels than could be read are too many to write
        computed = None
    number = value.pop("schema", None)
    ours = "imsprep" in value or number is not None
    if number != schema or isinstance(number, bool):
        raise _unusable(path, f"its schema is {_short(number)}, expected {schema}", ours=ours)
    if checksum != computed:
        raise _unusable(path, "it is damaged, or was changed by another program", ours=True)
    try:
        import msgspec

        return msgspec.convert(value, record, strict=True)
    except (ValueError, RecursionError) as error:  # msgspec's ValidationError is a ValueError
        raise _unusable(path, str(error) or type(error).__name__, ours=ours) from error


def part(path: Path, value: object, record: type[T], *, what: str) -> T:
    """Return a part of a state file, called `what`, as a `record`; StateFileError as `load`."""
    import msgspec

    try:
        return msgspec.convert(value, record, strict=True)
    except (ValueError, RecursionError) as error:
        raise _unusable(path, f"{show_path(what)}: {error}", ours=True) from error


def find(path: Path, record: type[T], *, schema: int) -> T | None:
    """Return what a state file holds, or None if there is none that can be used; never raises."""
    try:
        return load(path, record, schema=schema)
    except (OSError, ReadError):
        return None


def save(path: Path, value: dict[str, object], *, schema: int, with_checksum: bool = False) -> None:
    """Write a state file; it is whole at every instant. Raises ReadError."""
    value = {**value, "schema": schema}
    if with_checksum:
        value[_CHECKSUM] = _checksum_of(value)
    atomic.write_json(path, value)


def _checksum_of(value: dict[str, object]) -> str:
    """Return the SHA-256 of the file's members but the checksum, as the shortest JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(path: Path) -> dict[str, object]:
    """Return the object in a file; FileNotFoundError or StateFileError."""
    try:
        data = read_plain(path, limit=LIMIT)
        import msgspec  # only where there is something to read: it takes 30 ms

        value = msgspec.json.decode(data)
    except FileNotFoundError:
        raise
    except ReadError as error:  # no regular file, or too large a one
        raise StateFileError(str(error), ours=False) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _unusable(path, str(error) or type(error).__name__, ours=False) from error
    if not isinstance(value, dict):
        raise _unusable(path, "it holds no JSON object", ours=False)
    return value


def _unusable(path: Path, why: str, *, ours: bool) -> StateFileError:
    return StateFileError(f"cannot use {show_path(path)}: {why}", ours=ours)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
