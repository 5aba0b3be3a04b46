"""Workers: every job is done, in any number of threads, and no interruption leaves one stuck."""

from __future__ import annotations

import _thread
import dis
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from imsprep.workers import Workers
from imsprep.writebehind import WriteBehind


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_results_come_in_order(count: int) -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.002 * (20 - number))
        return number**2

    with Workers(count) as workers:
        assert list(workers.map(slow_at_first, range(20))) == [n**2 for n in range(20)]


def test_only_a_few_items_are_worked_on_ahead() -> None:
    taken = 0

    def items() -> Any:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    with Workers(2) as workers:
        for number, done in enumerate(workers.map(str, items())):
            assert done == str(number)
            assert taken <= number + 1 + 2 * 2


def test_an_error_is_raised_where_its_result_is_asked_for_and_drops_what_was_not_begun() -> None:
    done = list[int]()

    def fail_at_3(number: int) -> None:
        if number == 3:
            raise OSError("three")
        done.append(number)

    def run() -> None:
        with Workers(1) as workers:
            for number in range(4):
                job = workers.give(partial(fail_at_3, number))
            gate = workers.give(partial(time.sleep, 0.2))
            late = [workers.give(partial(done.append, 100)) for _ in range(50)]
            while not job.finished:
                workers.wait()
            assert not gate.finished
            assert not any(one.finished for one in late)
            job.result()

    with pytest.raises(OSError, match="three"):
        run()
    assert done == [0, 1, 2]


def test_leaving_waits_for_everything_that_was_given() -> None:
    done = list[int]()
    with Workers(3) as workers:
        for number in range(30):
            workers.give(partial(done.append, number))
    assert sorted(done) == list(range(30))


# Where CPython hears signals: at the start of a function, and after these.
_HEARS = {"JUMP_BACKWARD", "CALL", "CALL_FUNCTION_EX"}


class _Interrupter:
    """Raises KeyboardInterrupt at the n-th instant at which this thread could hear a signal.

    Only the instant before the first line of an `__exit__` is left out: nobody can guard it.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self._last = dict[FrameType, str]()

    def run(self, call: Callable[[], None]) -> bool:
        """Say whether the call was interrupted."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            call()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
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


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["map", "write behind"])
def test_an_interruption_at_any_instant_leaves_no_thread(kind: str, tmp_path: Path) -> None:
    file = os.open(tmp_path, os.O_RDONLY)

    def map_some() -> None:
        with Workers(2) as workers:
            for _ in workers.map(lambda number: time.sleep(number / 2000), range(4)):
                pass

    def write_behind() -> None:
        with WriteBehind(file) as behind:
            behind.done(1 << 30)
            behind.done(2 << 30)

    threads, at, interrupted = _thread._count(), 0, True
    while interrupted:
        at += 1
        interrupted = _Interrupter(at).run(map_some if kind == "map" else write_behind)
        deadline = time.monotonic() + 10
        while _thread._count() > threads and time.monotonic() < deadline:
            time.sleep(0.0005)
        assert _thread._count() == threads, f"a thread is left by the interruption {at}"
    assert at > 20
    os.close(file)
