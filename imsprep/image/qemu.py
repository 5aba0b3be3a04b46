"""A disk in a format of another program, read through qemu-nbd.

qemu-nbd serves the image, read-only, on a Unix socket in a folder that nobody else may enter; its
format is stated and nothing but the image itself is opened. Each thread has a connection of its
own. When the last connection closes, also because this process was killed, qemu-nbd ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from imsprep.errors import FormatError, MissingExtraError, ReadError, show_path
from imsprep.image.file import RawImage
from imsprep.image.foreign import DRIVERS
from imsprep.image.nbd import NbdClient, NbdError

PROGRAM, PACKAGE = "qemu-nbd", "qemu-utils"
_START_S = 30.0  # until it must listen; it does so within a tenth of a second
_STEP_S = 0.005
_STOP_S = 10.0  # from being told to end until it is killed


class QemuDisk:
    """The disk that qemu-nbd serves; opened by `open_qemu_disk`."""

    def __init__(self, image: RawImage, socket: Path, first: NbdClient, log: IO[bytes]) -> None:
        self.path, self.size = image.path, first.size
        self._image, self._socket, self._first, self._log = image, socket, first, log
        self._threads = threading.local()
        self._clients = [first]

    def extents(self) -> Iterator[tuple[int, int, bool]]:
        """Yield offset, length (bytes) and whether it is data; for one thread at a time."""
        try:
            yield from self._first.extents()
        except NbdError as error:
            raise self._failed(error) from error

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with what lies at `offset`."""
        try:
            if not hasattr(self._threads, "client"):
                self._threads.client = NbdClient.connect(self._socket)
                self._clients.append(self._threads.client)
            self._threads.client.read_into(offset, buffer)
        except (NbdError, OSError) as error:
            raise self._failed(error, f" at byte {offset} of the disk") from error

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the image's file changed."""
        self._image.check_unchanged()

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients:
            client.close()

    def _failed(self, error: Exception, where: str = "") -> ReadError:
        self._image.check_unchanged()  # what changed is the better explanation
        said = said_last(self._log)
        return ReadError(f"cannot read {show_path(self.path)}{where}: {error}{said}")


@contextlib.contextmanager
def open_qemu_disk(image: RawImage, format_: str, *, jobs: int) -> Iterator[QemuDisk]:
    """Open the disk in an image, for `jobs` threads.

    Raises MissingExtraError without qemu-nbd, FormatError if it does not take the image.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingExtraError(
            f"reading {format_} needs {PROGRAM}; on Debian or Ubuntu: apt install {PACKAGE}"
        )
    with tempfile.TemporaryDirectory(prefix="imsprep-") as folder, tempfile.TemporaryFile() as log:
        socket = Path(folder, "nbd")
        # One connection for each thread, and one that asks for extents.
        argv = [program, "--read-only", f"--shared={jobs + 1}", f"--socket={socket}"]
        process = subprocess.Popen(
            [*argv, _description(image.path, DRIVERS[format_])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            with contextlib.closing(_connect(process, socket, image, format_, log)) as first:
                disk = QemuDisk(image, socket, first, log)
                with contextlib.closing(disk):
                    yield disk
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have the program end, by force if need be."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _description(path: Path, driver: str) -> str:
    """Return the image as QEMU's options: this file, this format, and no other file."""
    options: dict[str, object] = {
        "driver": driver,
        "read-only": True,
        "file": {"driver": "file", "filename": os.path.abspath(path), "read-only": True},
    }
    if driver in ("qcow", "qcow2", "qed", "vmdk"):
        options["backing"] = None
    return "json:" + json.dumps(options)


def _connect(
    process: subprocess.Popen[bytes], socket: Path, image: RawImage, format_: str, log: IO[bytes]
) -> NbdClient:
    """Connect as soon as qemu-nbd listens."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return NbdClient.connect(socket)
        except OSError:
            time.sleep(_STEP_S)
        except NbdError as error:
            raise ReadError(
                f"{PROGRAM} does not serve the disk: {error}{said_last(log)}"
            ) from error
    raise FormatError(
        f"{PROGRAM} does not open {show_path(image.path)} as {format_}{said_last(log)}"
    )


def said_last(log: IO[bytes]) -> str:
    """Return what the program said last, to be put behind a message."""
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f": {show_path(last.removeprefix('qemu-nbd: '))}" if last else ""
