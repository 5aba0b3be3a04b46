"""The page of a batch."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from imsprep.pipeline.batch.reports import render
from imsprep.pipeline.batch.values import DONE, FAILED, REFUSED, BatchSummary, Outcome


def test_the_page_is_whole_and_obeys_nobody(nasty: BatchSummary) -> None:
    page = render(nasty, "html")
    opened: list[str] = []

    class Check(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            assert tag != "script"
            if tag not in ("meta", "br"):
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Check().feed(page)
    assert opened == []
    for word in ("http:", "https:", "url(", "@import"):
        assert word not in page
    assert "prefers-color-scheme:dark" in page
    assert "@media screen and (max-width" in page
    for title in ("image", "state", "image id"):
        assert f'data-title="{title}"' in page


def test_the_foot_says_what_is_left_to_do() -> None:
    def foot(*states: str) -> str:
        codes = {DONE: 0, REFUSED: 1, FAILED: 5}
        outcomes = tuple(Outcome(f"{s}.raw", s, s, exit_code=codes[s]) for s in states)
        page = render(BatchSummary("plan.yaml", outcomes), "html")
        return page[page.index("<footer>") : page.index("</footer>")]

    assert "run the same command" not in foot(DONE)
    assert foot(DONE, FAILED).endswith("run the same command again to continue")
    for states in ((DONE, REFUSED), (REFUSED, FAILED)):
        assert "mend what is refused, or take it out of the plan" in foot(*states)
