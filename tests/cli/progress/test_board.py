"""The board: its rows stay the only ones, whatever is written above them and however wide it is."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyte.modes import DECAWM

from imsprep import cli
from imsprep.cli.progress import board
from imsprep.cli.progress.board import BOARD, Board
from tests.support.paths import ROOT
from tests.support.running import need
from tests.support.terminal import Terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    shown = Terminal(40, lines=8)
    monkeypatch.setattr(board, "sys", SimpleNamespace(stderr=shown))
    monkeypatch.setattr(shown, "fileno", lambda: 2)
    monkeypatch.setattr(os, "get_terminal_size", lambda file: os.terminal_size((40, 8)))
    return shown


@pytest.fixture
def rows(terminal: Terminal) -> Iterator[Board]:
    made = Board()
    yield made
    made.end()


def test_rows_are_drawn_below_what_is_written(terminal: Terminal, rows: Board) -> None:
    assert not rows.write("without rows it is for the caller to write")
    said = ["one", "two"]
    first, second = (lambda: said[0]), (lambda: said[1])
    rows.add(first)
    rows.add(second)
    assert rows.write("news\nin two lines")
    assert terminal.rows == ["news", "in two lines", "one", "two"]
    said[0] = "1"
    rows.draw()
    assert terminal.rows == ["news", "in two lines", "1", "two"]
    rows.remove(first)
    assert terminal.rows == ["news", "in two lines", "two"]
    rows.remove(first)
    rows.remove(second)
    assert terminal.rows == ["news", "in two lines"]


def test_a_drawing_that_is_interrupted_leaves_no_terminal_that_does_not_wrap(
    terminal: Terminal, rows: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row() -> str:
        return "one"

    def interrupted(text: str) -> int:
        monkeypatch.undo()
        monkeypatch.setattr(board, "sys", SimpleNamespace(stderr=terminal))
        terminal.write(text[: text.index("l") + 1])
        raise KeyboardInterrupt

    rows.add(row)
    monkeypatch.setattr(terminal, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rows.remove(row)
    assert DECAWM not in terminal.screen.mode
    rows.end()
    assert DECAWM in terminal.screen.mode
    assert terminal.rows == []


def test_news_scroll_and_rows_stay_at_the_foot(terminal: Terminal, rows: Board) -> None:
    rows.add(lambda: "one")
    rows.add(lambda: "two")
    for number in range(20):
        rows.write(f"line {number}")
    assert terminal.rows[-3:] == ["line 19", "one", "two"]
    assert "one" not in terminal.rows[:-2]


def test_more_rows_than_the_terminal_has_lines_are_counted(terminal: Terminal, rows: Board) -> None:
    for number in range(12):
        rows.add(partial("row {}".format, number))
    assert terminal.rows == [*(f"row {n}" for n in range(6)), "… and 6 more"]


def test_what_was_typed_over_a_row_goes_with_it(terminal: Terminal, rows: Board) -> None:
    rows.add(lambda: "one")
    terminal.write("^C")
    assert rows.end()
    assert terminal.rows == []


def test_ctrl_c_leaves_neither_a_row_nor_an_empty_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    def row() -> str:
        return "a row"

    def interrupted(*arguments: object) -> None:
        BOARD.add(row)
        BOARD.remove(row)  # as the bar of a step that an exception ends
        raise KeyboardInterrupt

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("imsprep.api.check_images", interrupted)
    monkeypatch.setenv("TERM", "xterm")
    assert cli.run(["check", "disk.raw"]) == 130
    assert screen.getvalue().endswith("\r\x1b[K" + "imsprep: interrupted\n")
    assert "\n" not in screen.getvalue()[:-1]


def test_after_the_end_no_row_appears(terminal: Terminal, rows: Board) -> None:
    assert not rows.end()
    rows.add(lambda: "late")
    assert terminal.rows == []
    rows.begin()
    rows.add(lambda: "of the next command")
    assert terminal.rows == ["of the next command"]


def test_a_terminal_that_went_away_is_no_failure(
    rows: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(text: str) -> int:
        raise OSError(5, "Input/output error")

    stream = SimpleNamespace(write=gone, fileno=lambda: 2)
    monkeypatch.setattr(board, "sys", SimpleNamespace(stderr=stream))
    rows.add(lambda: "one")
    assert rows.end()


_WIDE_ROWS = """
import os, time
from imsprep.cli.progress.board import BOARD
def row(letter):
    return lambda: letter * (os.get_terminal_size(2).columns - 1)
for letter in "abcd":
    BOARD.add(row(letter))
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    time.sleep(0.05)
    BOARD.draw()
"""


@pytest.mark.slow
@need("tmux")
def test_a_window_that_is_made_narrower_and_wider_keeps_one_row_of_each(tmp_path: Path) -> None:
    def tmux(*words: str) -> str:
        command = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def until_shown(expected: list[str]) -> list[str]:
        deadline, lines = time.monotonic() + 10, [""]
        while time.monotonic() < deadline and lines[-len(expected) :] != expected:
            time.sleep(0.05)
            lines = tmux("capture-pane", "-p").rstrip("\n").split("\n")
        return lines

    script = tmp_path / "rows.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{_WIDE_ROWS}")
    program = f"seq 40; exec {sys.executable} {script}"
    tmux("new-session", "-d", "-x", "80", "-y", "24", program)
    try:
        for columns in (80, 120, 60, 100, 50, 80):
            tmux("resize-window", "-x", str(columns), "-y", "24")
            expected = [letter * (columns - 1) for letter in "abcd"]
            lines = until_shown(expected)
            assert lines[-4:] == expected
            assert lines[-5] == "40"
    finally:
        tmux("kill-server")
