"""A watcher: what the events of one call put on the screen, and how to go on after an end."""

from __future__ import annotations

import itertools
from functools import partial

import pytest

from imsprep.cli.progress import bars
from imsprep.cli.progress.board import BOARD
from imsprep.cli.progress.watcher import Watcher
from imsprep.errors import WaitTimeoutError
from imsprep.options import ImportOptions, WaitOptions
from imsprep.progress import Event, job_event
from imsprep.units import GIB, MIB
from tests.support.terminal import Terminal

Captured = pytest.CaptureFixture[str]


def rows(terminal: Terminal) -> list[str]:
    BOARD.draw()
    return terminal.rows


def steps(terminal: Terminal) -> list[str]:
    """The first word of each row."""
    return [row.split()[0] for row in rows(terminal)]


def test_a_step_has_a_bar_from_its_first_event_to_the_end(terminal: Terminal) -> None:
    with Watcher(quiet=False) as watcher:
        assert rows(terminal) == []
        watcher(Event("scan", total=GIB))
        watcher(Event("scan", GIB // 2, GIB))
        assert rows(terminal)[0].startswith("scan      50%|")
        watcher(Event("digest", total=GIB))
        assert steps(terminal) == ["scan", "digest"]
    assert rows(terminal) == []


def test_nothing_is_drawn_quietly_but_jobs_are_known(terminal: Terminal) -> None:
    with Watcher(quiet=True) as watcher:
        watcher.begin_check()
        watcher(Event("scan", MIB, GIB))
        watcher(job_event(40, "RUNNING", "8a12"))
        watcher(Event("scan", text="news"))
        assert rows(terminal) == []
        assert watcher.jobs == ["8a12"]


def test_one_of_several_files_has_its_name(terminal: Terminal) -> None:
    with Watcher(quiet=False, file="b.raw") as watcher:
        watcher(Event("digest", MIB, GIB))
        assert rows(terminal)[0].startswith("b.raw           digest")


def test_the_same_news_are_said_once(capsys: Captured) -> None:
    with Watcher(quiet=False) as watcher:
        for text in ("one", "one", "two", "one"):
            watcher(Event("import", text=text))
    assert capsys.readouterr().err.splitlines() == ["one", "two", "one"]


def test_a_look_at_the_image_ends_with_the_first_step(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count(0, 60)  # a minute goes by whenever somebody looks
    late = partial(bars.ClockRow, clock=lambda: next(seconds))
    monkeypatch.setattr("imsprep.cli.progress.watcher.ClockRow", late)
    with Watcher(quiet=False) as watcher:
        watcher.begin_check()
        assert steps(terminal) == ["check"]
        watcher(Event("convert", MIB, GIB))
        assert steps(terminal) == ["convert"]
        watcher.begin_check()
        assert steps(terminal) == ["convert", "check"]
        watcher.end_steps()
        assert rows(terminal) == []


def test_what_is_packed_while_it_is_sent_is_seen_in_the_bar_of_the_upload(
    terminal: Terminal,
) -> None:
    with Watcher(quiet=False) as watcher:
        watcher(Event("convert", MIB, GIB))
        watcher(Event("upload"))
        assert steps(terminal) == ["upload"]
        watcher(Event("convert", GIB // 2, GIB))
        watcher(Event("upload", MIB, sent=MIB))
        assert rows(terminal)[0].startswith("upload    50%|")


def test_an_upload_ends_when_the_job_begins(terminal: Terminal) -> None:
    with Watcher(quiet=False) as watcher:
        watcher(Event("upload", total=2 * MIB, sent=2 * MIB))
        watcher(Event("upload", MIB, sent=MIB))
        watcher(job_event(None, "", "8a12"))
        assert steps(terminal) == ["upload"]
        watcher(job_event(40, "RUNNING", "8a12"))
        sent, job = rows(terminal)
        assert sent.startswith("upload   1 MiB sent in")
        assert job.startswith("import    40%|")
        watcher(job_event(100, "SUCCESS", "8a12"))
        assert rows(terminal) == [sent]


def test_without_a_bar_each_state_of_a_job_is_a_line(capsys: Captured) -> None:
    with Watcher(quiet=False) as watcher:
        for percent, status in ((None, "INIT"), (None, "INIT"), (40, "RUNNING"), (100, "SUCCESS")):
            watcher(job_event(percent, status, "8a12"))
    assert capsys.readouterr().err.splitlines() == [
        "job 8a12: INIT", "job 8a12: RUNNING 40%", "job 8a12: SUCCESS",
    ]  # fmt: skip


ELSEWHERE = ImportOptions(to="bkt", name="n", site="otc", region="eu-de", api="v2.1")
HERE = ImportOptions(to="local:a b", name="n", site="otc", endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(("options", "again"), [
    (ELSEWHERE, " --site otc --region eu-de --api v2.1"),
    (HERE, " --to 'local:a b' --site otc --endpoint http://127.0.0.1:9 --api v2"),
    (WaitOptions(site="otc"), " --site otc --api v2"),
])  # fmt: skip
def test_an_interruption_tells_how_to_wait_for_the_job(
    capsys: Captured, options: ImportOptions | WaitOptions, again: str
) -> None:
    def interrupted(watcher: Watcher) -> None:
        with watcher.going_on(options):
            watcher(Event("import", text="asked", job_id="8a 12"))
            raise KeyboardInterrupt

    with Watcher(quiet=True) as watcher, pytest.raises(KeyboardInterrupt):
        interrupted(watcher)
    assert capsys.readouterr().err.splitlines() == [
        f"job 8a 12 goes on; to wait for it: imsprep wait '8a 12'{again}",
        "run the same command again to continue",
    ]


def test_an_interruption_of_an_upload_tells_what_was_sent(capsys: Captured) -> None:
    def interrupted(watcher: Watcher) -> None:
        with watcher.going_on(ELSEWHERE):
            watcher(Event("upload", total=2 * MIB, sent=2 * MIB))
            watcher(Event("upload", MIB, sent=MIB))
            raise KeyboardInterrupt

    with Watcher(quiet=True) as watcher, pytest.raises(KeyboardInterrupt):
        interrupted(watcher)
    assert capsys.readouterr().err.splitlines() == [
        "upload   1 MiB sent so far",
        "run the same command again to continue",
    ]


def test_a_limit_that_was_reached_names_the_command_that_waits_on() -> None:
    with (
        Watcher(quiet=True) as watcher,
        pytest.raises(WaitTimeoutError) as told,
        watcher.going_on(ELSEWHERE),
    ):
        raise WaitTimeoutError("after 5 s", job_id="8a12")
    assert str(told.value) == ("after 5 s: imsprep wait 8a12 --site otc --region eu-de --api v2.1")


def test_a_limit_without_a_job_stays_as_it_is() -> None:
    limit = WaitTimeoutError("after 5 s")
    with (
        Watcher(quiet=True) as watcher,
        pytest.raises(WaitTimeoutError) as told,
        watcher.going_on(ELSEWHERE),
    ):
        raise limit
    assert told.value is limit
