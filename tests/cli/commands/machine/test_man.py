"""`imsprep man`: the page of a command, or where all of them are."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import Outcome, need

Run = Callable[..., Outcome]


def test_each_command_has_its_page(imsprep: Run) -> None:
    assert imsprep("man").out.startswith('.TH "IMSPREP"')
    page = imsprep("man", "check").out
    assert page.startswith(".TH ")
    assert "imsprep-check" in page or "imsprep check" in page
    folder = Path(imsprep("man", "--path").out.strip())
    assert (folder / "imsprep-check.1").read_text("utf-8") == page


def test_a_page_that_is_not_there_says_what_there_is(imsprep: Run) -> None:
    for name in ("nothing", "../errors"):
        done = imsprep("man", name)
        assert done.code == 3
        assert (
            done.err
            == f"imsprep: there is no page for {name!r}; imsprep --help lists the commands\n"
        )


@pytest.mark.slow
@need("man")
@pytest.mark.parametrize("has_man", [True, False])
def test_a_terminal_gets_the_page_as_man_shows_it(tmp_path: Path, has_man: bool) -> None:
    ours, theirs = pty.openpty()
    path = os.environ["PATH"] if has_man else str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "imsprep", "man", "man"],
        stdout=theirs, env={**os.environ, "PATH": path, "MANPAGER": "cat", "TERM": "dumb"},
        check=False,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # EIO: all was read
            break
    os.close(ours)
    assert done.returncode == 0
    assert (b".SH NAME" in shown) is not has_man
    assert b"imsprep-man" in shown or not has_man
