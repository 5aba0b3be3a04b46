"""Readers: every task is answered once, by a reader or by being given back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imsprep.scan.pool import Answer, Readers, Setup

B = 4096
TASKS = [[(n * B, (n + 1) * B)] for n in range(6)]


class Scripted(Setup):
    """Starts programs of ours in the place of readers."""

    script = ""

    def command(self) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", self.script]


class Dying(Scripted):
    """Readers that answer nothing, and go."""


class Echo(Scripted):
    """Readers that find data in the block behind each that is asked for."""

    script = """
import os, struct
while head := os.read(0, 8):
    (start, stop) = struct.unpack("=qq", os.read(0, 16))
    os.write(1, struct.pack("=qq", 1, start // 4096 + 1))
"""


class Cut(Scripted):
    """Readers that end in the middle of their answer."""

    script = "import os; os.read(0, 24); os.write(1, bytes([1, 0, 0]))"


class Sleeping(Scripted):
    """Readers that never answer."""

    script = "import time; time.sleep(60)"


@contextmanager
def readers(setup: Setup, jobs: int = 1) -> Iterator[tuple[Readers, list[Answer]]]:
    answers: list[Answer] = []
    pool = Readers(setup, answers.append, lambda: None)
    pool.start(jobs)
    try:
        yield pool, answers
    finally:
        pool.stop()


def of(kind: type[Setup], file: int = 0) -> Setup:
    return kind(file, B, past_cache=False, keep_cache=True)


@pytest.mark.slow
def test_real_readers_name_the_blocks_that_hold_data(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(B) + b"x" * B + bytes(2 * B) + b"x")
    tasks = ([(0, 2 * B)], [(2 * B, 4 * B)], [(0, B), (4 * B, 4 * B + 1)])
    with path.open("rb") as file, readers(of(Setup, file.fileno()), 2) as (pool, got):
        for task in tasks:
            pool.give(task)
        pool.finish()
    assert sorted(got) == [
        Answer([(0, B), (4 * B, 4 * B + 1)], [4]),
        Answer([(0, 2 * B)], [1]),
        Answer([(2 * B, 4 * B)], []),
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_answered_once_however_many_there_are(jobs: int) -> None:
    with readers(of(Echo), jobs) as (pool, got):
        for task in TASKS:
            pool.give(task)
        assert len(got) >= len(TASKS) - 2 * jobs, "each has one task that waits"
        pool.finish()
        assert sorted(got) == [Answer(task, [n + 1]) for n, task in enumerate(TASKS)]


@pytest.mark.parametrize("kind", [Dying, Cut])
def test_the_tasks_of_readers_that_die_are_given_back(kind: type[Setup]) -> None:
    with readers(of(kind), 2) as (pool, got):
        for task in TASKS:
            pool.give(task)
        pool.finish()
        assert sorted(got) == [Answer(task, None) for task in TASKS]


def test_where_no_reader_can_be_started_tasks_are_given_back_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nothing/there")
    with readers(of(Setup)) as (pool, got):
        pool.give(TASKS[0])
        assert got == [Answer(TASKS[0], None)]


class GaveUpError(Exception):
    """Whoever scans does not want to go on."""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_while_nothing_is_answered_it_asks_whether_to_go_on_and_leaves_no_reader() -> None:
    def give_up() -> None:
        raise GaveUpError

    before = children()
    pool = Readers(of(Sleeping), lambda answer: None, give_up)
    pool.start(2)
    assert len(children() - before) == 2
    pool.give(TASKS[0])
    with pytest.raises(GaveUpError):
        pool.finish()
    pool.stop()
    assert children() == before


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())
