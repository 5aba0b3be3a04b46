"""A terminal to draw on, and the options of the screen as a command takes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import click
import pytest

from imsprep.cli import screen
from imsprep.cli.progress import bars, board
from tests.support.terminal import Terminal


@pytest.fixture(params=[60, 80, 120])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    shown = Terminal(request.param)
    # Not sys.stderr itself, which pytest sets again when the fixture is done.
    streams = SimpleNamespace(stderr=shown, stdout=shown, modules=sys.modules)
    for module in (bars, board, screen):
        monkeypatch.setattr(module, "sys", streams)
    monkeypatch.setenv("COLUMNS", str(request.param))
    screen.reset()
    yield shown
    board.BOARD.end()


@pytest.fixture
def given() -> Iterator[Callable[..., None]]:
    """Take options of the screen, to the end of the test: `given("--progress", "json")`."""

    def take(*words: object) -> None:
        command = screen.screen_options(click.Command("x", callback=lambda: None))
        command.main([str(word) for word in words], standalone_mode=False)

    screen.reset()
    yield take
    screen.reset()
