"""The part log: what is known of each part of a streamed upload, a line for each.

`disk.raw.upload.parts` lies next to the journal. A line is added when the store has acknowledged a
part, and says its number, length, MD5 and ETag, and in a note of who made it what it holds. A line
that is torn, damaged or of another upload counts as none: that part is made and sent again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from imsprep.errors import ReadError, UsageError, show_path
from imsprep.system.regular import BINARY, NO_LINK, read_plain

SUFFIX = ".upload.parts"
# How a log begins, also one that was torn in its first line, and what stands in each whole line.
_BEGINS = re.compile(rb"\s*([0-9a-f]{0,64}\Z|[0-9a-f]{64} )")
_IN_A_LINE = b'"etag"'
LIMIT = 64 << 20  # bytes; of 1 TiB that does not pack it has 9 MiB

_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | BINARY | NO_LINK


@dataclass(frozen=True)
class Line:
    """A part that the store has acknowledged."""

    number: int
    length: int  # bytes
    md5: str  # in hex
    etag: str  # as the store answered
    note: dict[str, object]  # what its maker knows of it


class PartLog:
    """The log of one upload of one file."""

    def __init__(self, path: Path, upload_id: str) -> None:
        self.path, self._upload_id = path, upload_id

    @classmethod
    def for_upload(cls, image: Path, upload_id: str) -> PartLog:
        """Return the log that belongs to an upload of an image; nothing is read or written yet."""
        return cls(image.with_name(image.name + SUFFIX), upload_id)

    def read(self) -> dict[int, Line]:
        """Return what can be believed of the log, by the parts' numbers; the last line counts."""
        try:
            data = read_plain(self.path, limit=LIMIT)
        except (OSError, ReadError):
            return {}
        found = {}
        for text in data.split(b"\n"):
            line = self._line(text)
            if line is not None:
                found[line.number] = line
        return found

    def _line(self, text: bytes) -> Line | None:
        """Return a line, or None for what is not whole or of another upload."""
        seal, _, body = text.partition(b" ")
        if seal.decode("ascii", "replace") != self._seal(body):
            return None
        try:
            value = json.loads(body)
            return Line(**value)
        except (ValueError, TypeError, RecursionError):
            return None

    def add(self, line: Line) -> None:
        """Add a line; one thread at a time. Raises ReadError."""
        body = json.dumps(vars(line), separators=(",", ":")).encode()
        try:
            # In one write, and behind a new line: what an earlier run may have torn ends there.
            text = b"\n" + self._seal(body).encode() + b" " + body + b"\n"
            file = os.open(self.path, _APPENDING, 0o666)
            try:
                os.write(file, text)
            finally:
                os.close(file)
        except OSError as error:
            raise ReadError.from_os(error, "cannot write", self.path) from error

    def check_replaceable(self) -> None:
        """Raise UsageError if a foreign file lies where the log belongs.

        A log that is damaged may be removed; ReadError if it is not a regular file.
        """
        try:
            data = read_plain(self.path, limit=LIMIT)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ReadError.from_os(error, "cannot read", self.path) from error
        if not _BEGINS.match(data) and _IN_A_LINE not in data:
            raise UsageError(
                f"{show_path(self.path)} was not written by imsprep, which keeps the parts of an"
                " upload there; rename it"
            )

    def remove(self) -> None:
        """Forget all parts."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _seal(self, body: bytes) -> str:
        return hashlib.sha256(self._upload_id.encode() + b"\n" + body).hexdigest()
