"""Any program stands for QEMU's: it gets nothing to read, is heard, and ends with the block."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import pytest

from imsprep.image.qemu import program
from imsprep.image.qemu.program import last_line, running

# Says that it is ready, so that a signal comes when it is set up.
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_a_program_reads_nothing_and_what_it_says_is_kept(tmp_path: Path) -> None:
    code = (
        "import os, sys; print(repr(sys.stdin.read()), os.environ['A'], os.getcwd(), flush=True);"
        "print('  at last \\n\\n', file=sys.stderr)"
    )
    with (
        tempfile.TemporaryFile() as log,
        running(python(code), log, environment={"A": "b"}, folder=tmp_path) as process,
    ):
        assert process.wait(20) == 0
        assert last_line(log) == "at last"
        log.seek(0)
        assert log.readline().decode().split() == ["''", "b", str(tmp_path)]


def test_a_program_ends_with_the_block_also_after_an_error() -> None:
    with tempfile.TemporaryFile() as log:
        with (
            pytest.raises(KeyError),
            running(python("import time; time.sleep(60)"), log) as process,
        ):
            raise KeyError
        assert process.returncode == -15


def test_a_program_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "STOP_S", 0.1)
    with tempfile.TemporaryFile() as log:
        with running(python(DEAF), log) as process:
            deadline = time.monotonic() + 20
            while not last_line(log) and time.monotonic() < deadline:
                time.sleep(0.01)
        assert process.returncode == -9


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"one\ntwo\n", "two"),
        (b"\xff is no UTF-8", "\ufffd is no UTF-8"),
    ],
)
def test_the_last_line_is_the_last_that_says_something(said: bytes, line: str) -> None:
    with tempfile.TemporaryFile() as log:
        log.write(said)
        assert last_line(log) == line
