"""The rows at the foot of a terminal that are drawn again as work goes on, all as one block.

The cursor rests at the start of the first row. So a drawing begins where the last one did, however
a terminal has wrapped its rows since: tmux, VTE and others wrap lines again when a window becomes
narrower, and others cut them. What stands below is erased, and nothing has to be counted. A drawing
turns wrapping off, for a terminal may be narrower already than it says.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable

_TICK_S = 0.5
_UNKNOWN_LINES = 24
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"

Row = Callable[[], str]  # the text now, shorter than the terminal is wide


class Board:
    """Rows on stderr, drawn together; a thread draws them again while there are any.

    What writes to the terminal may have gone away meanwhile: rows are no reason to fail.
    """

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._wraps = True  # False while rows are drawn, and where that was interrupted
        self._over = False  # threads that still work when a command ends add nothing
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def add(self, row: Row) -> None:
        """Show a row below the others."""
        with self._lock:
            if self._over:
                return
            self._rows.append(row)
            self._draw()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="board", daemon=True)
                self._thread.start()

    def remove(self, row: Row) -> None:
        """Take a row away; nothing if it is not there."""
        with self._lock:
            if row in self._rows:
                self._rows.remove(row)
                self._draw()

    def begin(self) -> None:
        """Take rows again, for a new command."""
        self._over = False

    def end(self) -> bool:
        """Take all rows away, and no more; return whether there were any."""
        with self._lock:
            self._over, shown = True, bool(self._rows)
            if shown or not self._wraps:
                self._rows.clear()
                self._draw()
            return shown

    def write(self, text: str) -> bool:
        """Write lines above the rows; False, and nothing written, if there are none."""
        with self._lock:
            if not self._rows:
                return False
            _put(f"\r{_ERASE_BELOW}{text}\n")
            self._draw()
            return True

    def draw(self) -> None:
        """Draw all rows again."""
        with self._lock:
            if self._rows:
                self._draw()

    def _draw(self) -> None:
        texts = [row() for row in self._rows]
        room = max(1, _lines() - 1)
        if len(texts) > room:
            texts[room - 1 :] = [f"… and {len(texts) - room + 1} more"]
        up = f"\x1b[{len(texts) - 1}A" if len(texts) > 1 else ""
        block = f"{_ERASE_LINE}\n".join(texts)
        self._wraps = False
        _put(f"\r{_NO_WRAP}{block}{_ERASE_BELOW}\r{up}{_WRAP}")
        self._wraps = True

    def _run(self) -> None:
        while True:
            time.sleep(_TICK_S)
            with self._lock:
                if not self._rows:
                    self._thread = None
                    return
                self._draw()


def _put(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _lines() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).lines or _UNKNOWN_LINES
    except (OSError, ValueError):
        return _UNKNOWN_LINES


BOARD = Board()
