"""`imsprep man`: the page of a command, or where all of them are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.running import Outcome

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
