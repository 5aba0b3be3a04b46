"""The pool of readers: the processes that read for a scan, and the tasks they are given.

Each works on one task and has one more waiting, so that none is idle while the scan thinks. A
reader that dies (of a file cut short, a bad sector, want of memory) is no failure of the scan: its
tasks are given back, to be done in a safer way. `stop` leaves no process behind.
"""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from imsprep.scan import protocol
from imsprep.scan.probe import Range

_AHEAD = 2  # tasks that a reader has; both fit into the smallest pipe
TICK_S = 0.2  # how often the scan is asked whether it still wants to go on
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1"
}  # numpy loads sooner without threads that it does not need
_STOP_S = 1.0  # for a killed process to end; one that hangs in the kernel is left behind
_PATH = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), *sys.path]


class Setup(NamedTuple):
    """What readers are started with."""

    file: int
    block_size: int
    past_cache: bool  # read past the page cache what is not in it
    keep_cache: bool  # leave in the page cache what was brought there

    def command(self) -> list[str]:
        """Return the command line of a reader."""
        # What `site` would add to the path comes from us, and in an instant. There is no garbage.
        run = (
            f"import gc, sys; gc.disable(); sys.path += {_PATH};"
            " from imsprep.scan import worker; worker.main()"
        )
        numbers = (int(value) for value in (*self, os.getpid()))
        return [sys.executable, "-I", "-S", "-c", run, *map(str, numbers)]


class Answer(NamedTuple):
    """What became of a task."""

    task: list[Range]
    blocks: list[int] | None  # that hold data; None: it could not be done


@dataclass
class _Running:
    """A reader at work, and the file descriptors of its pipes."""

    process: subprocess.Popen[bytes]
    tasks: int
    answers: int
    pending: deque[list[Range]] = field(default_factory=deque)


class Readers:
    """Some readers; every task is answered by a call of `on_answer`, in the same thread.

    `on_tick` is called now and then while nothing is answered.
    """

    def __init__(
        self, setup: Setup, on_answer: Callable[[Answer], None], on_tick: Callable[[], None]
    ) -> None:
        self._setup, self._on_answer, self._on_tick = setup, on_answer, on_tick
        self._running: list[_Running] = []
        self._selector = selectors.DefaultSelector()

    def start(self, jobs: int) -> None:
        """Start up to `jobs` readers; where none can be started, tasks are given back."""
        with contextlib.suppress(OSError):
            for _ in range(jobs):
                self._start_one()

    def give(self, task: list[Range]) -> None:
        """Have a task done by a free reader, and wait until one is."""
        while self._running and min(len(one.pending) for one in self._running) >= _AHEAD:
            self._receive()
        if not self._running:
            self._on_answer(Answer(task, None))
            return
        one = min(self._running, key=lambda one: len(one.pending))
        one.pending.append(task)
        try:
            os.write(one.tasks, protocol.task(task))
        except BrokenPipeError:
            self._lose(one)

    def finish(self) -> None:
        """Wait until all tasks are answered."""
        while any(one.pending for one in self._running):
            self._receive()

    def stop(self) -> None:
        """End all readers, whatever they are doing."""
        for one in self._running:
            one.process.kill()
        for one in self._running:
            _bury(one.process)
        self._running = []
        self._selector.close()

    def _start_one(self) -> None:
        process = subprocess.Popen(
            self._setup.command(),
            bufsize=0,  # what was buffered here would be hidden from the selector
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ENVIRONMENT,
            pass_fds=(self._setup.file,),
            process_group=0,  # Ctrl-C is for us, and we end the readers
        )
        assert process.stdin is not None  # two pipes were asked for
        assert process.stdout is not None
        one = _Running(process, process.stdin.fileno(), process.stdout.fileno())
        self._running.append(one)
        self._selector.register(one.answers, selectors.EVENT_READ, one)

    def _receive(self) -> None:
        """Wait a little for answers and hand them on."""
        events = self._selector.select(TICK_S)
        if not events:
            self._on_tick()
        for key, _ in events:
            one: _Running = key.data
            blocks = protocol.read_answer(functools.partial(_read_exactly, one.answers))
            if blocks is None:
                self._lose(one)
            else:
                self._on_answer(Answer(one.pending.popleft(), blocks))

    def _lose(self, one: _Running) -> None:
        """Give back the tasks of a reader that died."""
        self._running.remove(one)
        self._selector.unregister(one.answers)
        one.process.kill()
        _bury(one.process)
        for task in one.pending:
            self._on_answer(Answer(task, None))


def _bury(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a killed process and wait until it is gone."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)


def _read_exactly(file: int, length: int) -> bytes:
    """Return this many bytes, less if the pipe was closed."""
    data = b""
    while len(data) < length and (piece := os.read(file, length - len(data))):
        data += piece
    return data
