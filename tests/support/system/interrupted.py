"""Interrupt the workers at every instant at which CPython can hear a signal.

A program of its own, `python interrupted.py map|write-behind`, since no other tracer, such as
coverage's, may run in the process. Writes the number of instants; ends with 1 if after one of them a
thread was left.
"""

from __future__ import annotations

import _thread
import dis
import os
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from imsprep.system.threads import Workers
from imsprep.system.writeback import WriteBehind

# Where CPython hears signals: at the start of a function, and after these.
_HEARS = {"JUMP_BACKWARD", "CALL", "CALL_FUNCTION_EX"}


class Interrupter:
    """Raises KeyboardInterrupt at the n-th instant at which this thread could hear a signal.

    Only the instant before the first line of an `__exit__` is left out: nobody can guard it.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self._last = dict[FrameType, str]()

    def run(self, call: Callable[[], None]) -> bool:
        """Return whether the call was interrupted."""
        sys.settrace(self._trace)
        try:
            call()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
        return False

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        frame.f_trace_opcodes = True
        if event == "call":
            self._hear(frame.f_code.co_name != "__exit__")
        elif event == "opcode":
            self._hear(self._last.get(frame) in _HEARS)
            self._last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        return self._trace

    def _hear(self, possible: bool) -> None:
        self._left -= possible
        if possible and self._left == 0:
            raise KeyboardInterrupt


def map_some() -> None:
    with Workers(2) as workers:
        for _ in workers.map(lambda number: time.sleep(number / 2000), range(4)):
            pass


def write_behind() -> None:
    with WriteBehind(FILE) as behind:
        behind.done(1 << 30)
        behind.done(2 << 30)


FILE = os.open(".", os.O_RDONLY)
SCENES = {"map": map_some, "write-behind": write_behind}


def main() -> None:
    """Interrupt a scene at its first instant, at its second, and so on until it ends first."""
    threads, at, interrupted = _thread._count(), 0, True
    while interrupted:
        at += 1
        interrupted = Interrupter(at).run(SCENES[sys.argv[1]])
        deadline = time.monotonic() + 10
        while _thread._count() > threads and time.monotonic() < deadline:
            time.sleep(0.0005)
        if _thread._count() != threads:
            sys.exit(f"a thread is left by the interruption {at}")
    sys.stdout.write(f"{at - 1}\n")


if __name__ == "__main__":
    main()
