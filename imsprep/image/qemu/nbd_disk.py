"""A disk in a format of another program, read through qemu-nbd.

qemu-nbd serves the image, read-only, on a Unix socket in a folder that no other user may enter; its
format is stated and nothing but the image itself is opened, which was proved to be whole by then
(`whole`). A read takes a connection that is free, or makes one. When the last connection closes,
also because this process was killed, qemu-nbd ends.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from imsprep.errors import FormatError, MissingExtraError, ReadError, show_path
from imsprep.image.qemu.foreign import description
from imsprep.image.qemu.nbd_client import NbdClient, NbdError
from imsprep.image.qemu.program import last_line, running
from imsprep.image.qemu.whole import Stored, all_of, check_whole
from imsprep.image.tables.survey import Survey
from imsprep.units import SECTOR, round_up

PROGRAM, PACKAGE = "qemu-nbd", "qemu-utils"
_START_S = 30.0  # until it must listen; it does so within a tenth of a second
_STEP_S = 0.005
_GONE_S = 0.2  # for a program that may just have ended


class QemuDisk:
    """The disk that qemu-nbd serves; opened by `open_qemu_disk`."""

    def __init__(self, server: _Server, first: NbdClient, survey: Survey, readers: int) -> None:
        self.path, self.size = server.image.path, first.size
        self.notes = survey.notes  # what the user should know of the image
        self.socket = server.socket  # where another process may connect to it too
        self._server, self._first = server, first
        # One connection more than qemu-nbd serves would wait for ever: they are lent to threads,
        # and do not belong to them.
        self._turn = threading.BoundedSemaphore(readers)
        self._free = list[NbdClient]()

    def extents(self) -> Iterator[tuple[int, int, bool]]:
        """Yield offset, length (bytes) and whether it is data; for one thread at a time."""
        position = 0
        try:
            for offset, length, is_data in self._first.extents():
                yield offset, length, is_data
                position = offset + length
        except NbdError as error:
            raise self._server.failed(error, position) from error

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with what lies at `offset`."""
        try:
            with self._connection() as client:
                client.read_into(offset, buffer)
        except (NbdError, OSError) as error:
            raise self._server.failed(error, offset) from error

    @contextlib.contextmanager
    def _connection(self) -> Iterator[NbdClient]:
        """Lend a connection; one whose read failed is not used again."""
        with self._turn:
            try:
                client = self._free.pop()
            except IndexError:
                client = NbdClient.connect(self._server.socket)
            try:
                yield client
            except BaseException:
                client.close()
                raise
            self._free.append(client)

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the image's file changed."""
        self._server.image.check_unchanged()

    def close(self) -> None:
        """Close every connection."""
        for client in (self._first, *self._free):
            client.close()


@contextlib.contextmanager
def open_qemu_disk(image: Stored, format_: str, *, jobs: int) -> Iterator[QemuDisk]:
    """Open the disk in an image, for `jobs` reads at a time and for one other process.

    Raises FormatError for an image that is not whole by itself or that QEMU does not take,
    MissingExtraError without qemu-nbd, ReadError.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingExtraError(
            f"reading {format_} needs {PROGRAM}; on Debian or Ubuntu: apt install {PACKAGE}"
        )
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(all_of(image, format_))
        survey = check_whole(whole, format_)
        server = stack.enter_context(_serving(program, whole, format_, survey, jobs))
        first = stack.enter_context(contextlib.closing(server.connect()))
        if survey.virtual_size and round_up(survey.virtual_size, SECTOR) != first.size:
            raise FormatError(
                f"{show_path(image.path)} ({format_}) is refused: QEMU reads a disk of"
                f" {first.size} bytes in it, and its header says {survey.virtual_size}"
            )
        with contextlib.closing(QemuDisk(server, first, survey, jobs)) as disk:
            yield disk


@dataclass(frozen=True)
class _Server:
    """A qemu-nbd that runs for one image."""

    process: subprocess.Popen[bytes]
    image: Stored
    format: str
    socket: Path
    log: IO[bytes]  # what it says
    hint: str  # what may be the reason where it cannot read; see `Survey`

    def connect(self) -> NbdClient:
        """Connect as soon as it listens; FormatError if it ends before, as it does not take it."""
        deadline = time.monotonic() + _START_S
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                return NbdClient.connect(self.socket)
            except (OSError, NbdError):  # not yet, or not any more
                time.sleep(_STEP_S)
        name = show_path(self.image.path)
        if self.process.poll() is None:
            raise ReadError(f"{PROGRAM} does not serve {name} within {_START_S:g} s; run again")
        self.image.check_unchanged()
        raise FormatError(f"QEMU does not open {name} as {self.format}{said_last(self.log)}")

    def failed(self, error: Exception, offset: int) -> FormatError | ReadError:
        """Return what a failed read means: it is the image, unless the program was killed."""
        self.image.check_unchanged()  # what changed is the better explanation
        name, what = show_path(self.image.path), f"at byte {offset} of its disk"
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.process.wait(_GONE_S) < 0:
                number = -self.process.returncode
                return ReadError(
                    f"cannot read {name} {what}: {PROGRAM} was ended by signal {number}"
                )
        if isinstance(error, NbdError) and error.silent:
            return ReadError(f"cannot read {name} {what}: {PROGRAM} {error}")
        if self.hint:
            return FormatError(
                f"{name} ({self.format}): QEMU cannot read what it stores {what};"
                f" {self.hint.replace('{image}', shlex.quote(name))}"
            )
        return FormatError(
            f"{name} ({self.format}) is damaged: what it stores {what} cannot be read"
            "; download or copy it again, and compare its checksum with that of the source"
        )


@contextlib.contextmanager
def _serving(
    program: str, image: Stored, format_: str, survey: Survey, jobs: int
) -> Iterator[_Server]:
    """Start the program, and have it end, by force if need be."""
    with tempfile.TemporaryDirectory(prefix="imsprep-") as folder, tempfile.TemporaryFile() as log:
        socket = Path(folder, "nbd")
        # One connection for each read, one that asks for extents, one for another process.
        argv = [program, "--read-only", f"--shared={jobs + 2}", f"--socket={socket}"]
        argv.append(description(image.as_node(), format_, survey.options))
        with running(argv, log) as process:
            yield _Server(process, image, format_, socket, log, survey.hint)


def said_last(log: IO[bytes]) -> str:
    """Return what the program said last, to be put behind a message, without its own names."""
    line = last_line(log)
    return _plain(line) if line else ""


def _plain(line: str) -> str:
    """Leave out of a line of QEMU's what describes the image as JSON, and which program spoke."""
    line = re.sub(r"^(qemu-nbd|qemu-img): ", "", line.strip())
    line = re.sub(r"^(Failed to|Could not) (blk_new_open|open) '?json:.*'?: ", "", line)
    useless = not line or "json:" in line or line.endswith("Invalid argument")
    return "" if useless else f" (QEMU: {show_path(line)})"
