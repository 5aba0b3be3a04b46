"""A terminal for tests: a stream that pyte reads as a screen, and a program run on a pty."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

import pyte


class Terminal(io.StringIO):
    """What is written to it stands on a screen."""

    def __init__(self, columns: int, lines: int = 24) -> None:
        super().__init__()
        self.columns = columns
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.Stream(self.screen)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    @property
    def rows(self) -> list[str]:
        """The lines that are not empty."""
        return [line.rstrip() for line in self.screen.display if line.strip()]


def run_on_terminal(
    command: list[str], columns: int, environment: dict[str, str], folder: Path
) -> tuple[int, list[str], list[str]]:
    """Run a program on a pty; return its exit code, every line that was ever shown, and the last screen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder
    )
    os.close(theirs)
    screen = pyte.Screen(columns, 40)
    stream = pyte.ByteStream(screen)
    seen: list[str] = []
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # EIO: the other end was closed
            break
        if not data:
            break
        stream.feed(data)
        seen += [row for row in map(str.rstrip, screen.display) if row and row not in seen]
    os.close(ours)
    return process.wait(), seen, [row.rstrip() for row in screen.display if row.strip()]
