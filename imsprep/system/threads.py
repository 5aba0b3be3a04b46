"""Threads for work that has to end well at whatever instant it is interrupted.

`concurrent.futures` and `threading` guard their state with locks that are taken in Python code. A
signal that is heard just then leaves the lock taken: the thread that has to report its job waits
for it for ever, and so does what waits for that thread. Here everything passes through queues
that are written in C, so that a signal comes before a step or after it.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from socketserver import BaseServer

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2  # items for each worker that `map` gives before their turn


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use, which may be fewer than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@contextlib.contextmanager
def serving(server: BaseServer, *, poll_s: float) -> Iterator[None]:
    """Let a server answer from a thread while the block runs, and close it behind that.

    It is asked every `poll_s` seconds whether to end, so long may the end take.
    """
    thread = threading.Thread(target=server.serve_forever, args=(poll_s,), daemon=True)
    with server:
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class Job(Generic[T]):
    """Something that a worker does: once it is `finished`, `result` gives or raises its outcome."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._outcome: list[T] = []
        self._error: BaseException | None = None
        self.finished = False

    def result(self) -> T:
        """Return what the call returned, or raise what it raised."""
        assert self.finished, "wait for it first"
        if self._error is not None:
            raise self._error
        return self._outcome[0]

    def do(self) -> None:
        """Do it. Called by a worker."""
        try:
            self._outcome.append(self._call())
        except BaseException as error:
            self._error = error
        self.finished = True


class Workers:
    """`count` threads; leaving the block waits until all jobs are done and the threads have ended.

    If the block ends with an exception, jobs that were not begun are dropped. `wait` and `map` are
    for one thread at a time.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._given: SimpleQueue[Job[Any] | None] = SimpleQueue()  # None: end
        self._finished: SimpleQueue[None] = SimpleQueue()
        self._running: list[_thread.LockType] = []  # one for each thread, which frees it at its end

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                running = _thread.allocate_lock()
                running.acquire()
                # Not `threading.Thread`: its start waits for the thread by means of such a lock.
                _thread.start_new_thread(self._work, (running,))
                self._running.append(running)
        except BaseException:
            self._end(drop=True)
            raise
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            self._end(drop=error is not None)
        except BaseException:  # interrupted: sooner, but still not before all work has ended
            self._end(drop=True)
            raise

    def _end(self, *, drop: bool) -> None:
        if drop:
            with contextlib.suppress(Empty):
                while True:
                    self._given.get_nowait()
        for _ in range(self._count):
            self._given.put(None)
        for running in self._running:
            with running:
                pass

    def give(self, call: Callable[[], T]) -> Job[T]:
        """Have something done by the next worker that is free."""
        job = Job(call)
        self._given.put(job)
        return job

    def wait(self) -> None:
        """Wait until one more of the jobs is finished; also for one that was seen to be, before."""
        self._finished.get()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield `function(item)` for each item, in order; a few items are worked on ahead."""
        jobs: deque[Job[R]] = deque()
        for item in items:
            jobs.append(self.give(functools.partial(function, item)))
            if len(jobs) > _AHEAD * self._count:
                yield self._first(jobs)
        while jobs:
            yield self._first(jobs)

    def _first(self, jobs: deque[Job[R]]) -> R:
        while not jobs[0].finished:
            self.wait()
        return jobs.popleft().result()

    def _work(self, running: _thread.LockType) -> None:
        while (job := self._given.get()) is not None:
            job.do()
            self._finished.put(None)
            del job  # whatever it holds is not needed while this thread waits
        running.release()
