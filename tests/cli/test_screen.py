"""The screen: its width and colours, what is said on it, and the log that is kept beside it."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from imsprep.cli import screen
from imsprep.report import Finding, Report, Severity
from imsprep.units import MIB
from tests.support.running import Outcome
from tests.support.terminal import Terminal

Given = Callable[..., None]


class Stream(io.StringIO):
    """A stream behind which somebody looks, or nobody."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


SEEN, UNSEEN = Stream(terminal=True), Stream(terminal=False)


@pytest.fixture(autouse=True)
def plain(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither options nor an environment that says anything of the screen."""
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_stream_that_is_closed_is_no_terminal() -> None:
    closed = io.StringIO()
    closed.close()
    assert not screen.is_terminal(closed)
    assert (screen.is_terminal(SEEN), screen.is_terminal(UNSEEN)) == (True, False)


@pytest.mark.parametrize(("real", "given_", "columns"), [
    (120, None, 120), (120, "100", 100), (80, "100", 80), (0, "100", 100), (0, None, 80),
    (120, "wide", 120), (120, "0", 120), (120, "-1", 120),
])  # fmt: skip
def test_a_variable_makes_a_terminal_narrower_and_never_wider(
    monkeypatch: pytest.MonkeyPatch, real: int, given_: str | None, columns: int
) -> None:
    monkeypatch.setattr(SEEN, "fileno", lambda: 9, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda file: os.terminal_size((real, 24)))
    if given_ is not None:
        monkeypatch.setenv("COLUMNS", given_)
    assert screen.columns(SEEN) == columns
    assert screen.columns(UNSEEN) is None


def test_a_terminal_that_does_not_tell_its_width_has_eighty_columns() -> None:
    assert screen.columns(SEEN) == 80  # it has no file descriptor


@pytest.mark.parametrize(("options", "environment", "seen", "unseen"), [
    ((), {}, True, False),
    ((), {"NO_COLOR": "1"}, False, False),
    ((), {"NO_COLOR": ""}, True, False),
    ((), {"TERM": "dumb"}, False, False),
    (("--color", "always"), {"NO_COLOR": "1"}, True, True),
    (("--color", "never"), {}, False, False),
    (("--color", "auto"), {}, True, False),
])  # fmt: skip
def test_an_option_beats_the_environment_and_that_the_terminal(
    given: Given, monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...], environment: dict[str, str], seen: bool, unseen: bool,
) -> None:  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    given(*options)
    assert (screen.has_colours(SEEN), screen.has_colours(UNSEEN)) == (seen, unseen)


def test_progress_is_a_bar_only_where_one_can_be_drawn(
    given: Given, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert screen.progress_mode() == screen.BAR
    monkeypatch.setenv("TERM", "dumb")
    assert screen.progress_mode() == screen.PLAIN
    for mode in (screen.BAR, screen.JSON, screen.NONE):
        given("--progress", mode)
        assert screen.progress_mode() == mode


def test_without_a_terminal_progress_is_plain() -> None:
    assert screen.progress_mode() == screen.PLAIN
    assert screen.end_bars() is False


def test_words_go_on_two_columns_to_the_right_or_in_a_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    text = "  one two three four five\n\nsix"
    assert screen.wrapped(text, SEEN) == "  one two three four\n    five\n\nsix"
    assert screen.wrapped(text, SEEN, 8) == "  one two three four\n        five\n\nsix"
    assert screen.wrapped("a" * 30, SEEN) == "a" * 30
    assert screen.wrapped(text, UNSEEN) == text


def test_findings_are_shown_as_the_stream_and_the_options_want(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    given("-v", "--color", "never")
    style = screen.style_for(SEEN, quiet=True)
    assert (style.width, style.colour, style.notes, style.quiet) == (70, False, True, True)
    given("--color", "always")
    style = screen.style_for(UNSEEN)
    assert (style.width, style.colour, style.quiet) == (80, True, False)


def test_a_terminal_that_is_very_wide_gets_lines_that_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert screen.style_for(SEEN).width == 100


def test_a_profile_is_known_until_the_next_run() -> None:
    assert screen.profile() is None
    screen.use_profile("prod")
    screen.use_profile(None)
    assert screen.profile() == "prod"
    screen.reset()
    assert screen.profile() is None


def test_what_is_said_is_a_line_for_people_or_for_programs(
    given: Given, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.say("done")
    given("--progress", "json")
    screen.say("done")
    line, event = capsys.readouterr().err.splitlines()
    assert (line, json.loads(event)) == ("done", {"event": "message", "text": "done"})


@pytest.mark.parametrize(("options", "shown"), [
    ((), []), (("-v",), ["a request"]), (("-vv",), ["a request", "a step"]),
])  # fmt: skip
def test_as_often_as_v_is_given_more_of_the_log_is_shown(
    given: Given, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], shown: list[str]
) -> None:
    given(*options)
    log = logging.getLogger("imsprep.ims.client")
    log.info("a %s", "request")
    log.debug("a step")
    screen.say("news")
    assert capsys.readouterr().err.splitlines() == [*shown, "news"]
    assert screen.verbosity() == len("".join(options).strip("-"))


def test_a_log_has_all_that_is_said_and_the_next_run_adds_nothing(
    given: Given, tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    given("--log-file", log)
    screen.say("news")
    logging.getLogger("imsprep.scan").debug("a step")
    screen.reset()
    logging.getLogger("imsprep.scan").warning("of the next run")
    first, second = log.read_text().splitlines()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(time + r" INFO    imsprep\.said news", first)
    assert re.fullmatch(time + r" DEBUG   imsprep\.scan a step", second)


def test_what_is_no_log_is_not_added_to(given: Given, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("2026-01-01 a log of another program\n")
    with pytest.raises(click.BadParameter, match="is not a log of imsprep"):
        given("--log-file", log)
    assert log.read_text() == "2026-01-01 a log of another program\n"
    with pytest.raises(click.BadParameter, match="cannot write"):
        given("--log-file", tmp_path / "gone" / "run.log")


def test_a_message_is_wrapped_at_words(terminal: Terminal) -> None:
    screen.say("word " * 60)
    assert len(terminal.rows) > 1
    assert all(row.strip().split(" ")[-1] == "word" for row in terminal.rows)


def test_a_coloured_report_above_the_bars_keeps_its_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    finding = Finding("IMS101", Severity.WARNING, "file", "A title", "a message")
    screen.say_report(Report("a.raw", (finding,)))
    width = min(terminal.columns, 100)
    assert f"warning  A title{'IMS101':>{width - 16}}" in terminal.rows


@pytest.mark.slow
def test_a_log_file_gets_requests_and_decisions_and_no_secrets(
    tmp_path: Path, imsprep: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "AKSECRET")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "SKSECRET")
    disk, log = tmp_path / "disk.raw", tmp_path / "run.log"
    disk.write_bytes(b"data".ljust(MIB, b"\0"))
    words = ("import", disk, "--via", "raw", "--name", "a", "--type", "DataImage", "--min-disk", 40,
             "--to", f"local:{tmp_path}/cloud")  # fmt: skip
    done = imsprep(*words, "--log-file", log)
    assert done.code == 0, done.err
    text = log.read_text()
    assert re.search(r"^\d{4}-\d\d-\d\dT[\d:.]+Z INFO +imsprep.ims.client POST http", text, re.M)
    assert "is sent: image as disk.raw, bitmap as disk.mf" in text
    assert "SECRET" not in text
    assert "ims.client" not in done.err
    assert "POST http" not in done.err
    loud = imsprep(*words, "-v")
    assert "is sent: image as disk.raw" in loud.err


def test_a_log_file_that_cannot_be_written_is_a_usage_error(
    tmp_path: Path, imsprep: Callable[..., Outcome]
) -> None:
    done = imsprep("info", tmp_path, "--log-file", tmp_path / "gone" / "run.log")
    assert (done.code, "cannot write" in done.err) == (2, True)


@pytest.mark.parametrize(
    "content", [b"data".ljust(MIB, b"\0"), bytes(MIB), b"2026-01-01 a log of another program\n"]
)
def test_a_log_is_added_to_logs_only(
    tmp_path: Path, imsprep: Callable[..., Outcome], content: bytes
) -> None:
    disk, log = tmp_path / "disk.raw", tmp_path / "run.log"
    disk.write_bytes(content)
    words = ("upload", disk, "--to", f"local:{tmp_path}/cloud", "-q", "--log-file")
    done = imsprep(*words, disk)
    assert (done.code, "is not a log of imsprep" in done.err) == (2, True)
    assert disk.read_bytes() == content
    log.touch()
    sizes = []
    for _ in range(2):
        assert imsprep(*words, log).code == 0
        sizes.append(log.stat().st_size)
    assert 0 < sizes[0] < sizes[1]
