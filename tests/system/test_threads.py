"""Workers: every job is done, in any number of threads, and no interruption leaves one stuck."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from typing import Any

import pytest

from imsprep.system.threads import Workers
from tests.support.paths import ROOT


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


@pytest.mark.parametrize("scene", ["map", "write-behind"])
def test_an_interruption_at_any_instant_leaves_no_thread(scene: str) -> None:
    program = ROOT / "tests" / "support" / "system" / "interrupted.py"
    # A thread that waits for ever makes the program wait: then this fails by its time limit.
    ended = subprocess.run(
        [sys.executable, program, scene], capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 20
