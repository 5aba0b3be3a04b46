"""Program: one of QEMU's, which runs for an image and ends with it.

It gets nothing to read, and what it says goes to a file. It is asked to end, and ended by force
where it does not.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

STOP_S = 10.0  # from SIGTERM until it is killed


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: IO[bytes],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program whose stdout and stderr are `log`, and have it end, by force if need be.

    None is this process's environment, and its folder. Raises OSError if it does not start.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_line(log: IO[bytes]) -> str:
    """Return the last line that says something, "" if there is none; moves the file's offset."""
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").split("\n") if line.strip()]
    return lines[-1].strip() if lines else ""
