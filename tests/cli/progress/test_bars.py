"""Bars: what stands on the screen while a step goes on, and after it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.cli import screen
from imsprep.cli.progress import bars, board
from imsprep.cli.progress.bars import JobBar, ProgressBar
from imsprep.progress import Event
from imsprep.units import GIB, MIB
from tests.support.paths import ROOT
from tests.support.terminal import Terminal, run_on_terminal


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def redraw() -> None:
    board.BOARD.draw()


def test_an_upload_shows_what_travels_and_what_is_copied_at_their_own_rates(
    terminal: Terminal,
) -> None:
    clock = Clock()
    with ProgressBar(
        Event("upload", total=40 * GIB, sent=2 * GIB, copied=38 * GIB), quiet=False, clock=clock
    ) as bar:
        clock.now += 10
        bar(11 * GIB, sent=GIB, copied=10 * GIB)
        redraw()
        (row,) = terminal.rows
        assert row.startswith("upload    50%|")
        assert len(row) <= terminal.columns
        assert row.endswith("0:28 left")  # the copy takes longer than the rest to send
        assert "1/2 GiB sent" in row
        if terminal.columns > 60:
            assert "1/2 GiB sent, 102.4 MiB/s; " in row
        if terminal.columns == 120:
            assert "10/38 GiB copied, 1 GiB/s" in row


def test_the_clock_ticks_while_a_part_travels(terminal: Terminal) -> None:
    clock = Clock()
    with ProgressBar(Event("upload", total=GIB, sent=GIB), quiet=False, clock=clock):
        clock.now += 65
        redraw()
        assert "1:05" in terminal.rows[0]


def test_no_bar_is_left_while_the_job_runs_and_the_job_has_percent(terminal: Terminal) -> None:
    clock = Clock()
    job = JobBar(quiet=False, clock=clock)
    with ProgressBar(Event("upload", total=MIB, sent=MIB), quiet=False, clock=clock) as bar:
        clock.now += 4
        bar(MIB, sent=MIB)
        job.status("8a12", "RUNNING", 0.4, ended=False)
        clock.now += 31
        redraw()
        first, second = terminal.rows
        assert first == "upload   1 MiB sent in 0:04 (256 KiB/s)"
        assert second.startswith("import    40%|")
        assert second.endswith("running, 0:31")
        job.status("8a12", "SUCCESS", 1.0, ended=True)
    assert terminal.rows == [first]  # its id stands in what the command prints


def test_lines_stand_above_a_bar_and_never_in_it(terminal: Terminal) -> None:
    with ProgressBar(Event("scan", total=GIB), quiet=False, clock=Clock()) as bar:
        bar(MIB)
        screen.say("news of a job")
        redraw()
        assert terminal.rows[0] == "news of a job"
        assert terminal.rows[1].startswith("scan ")


def test_a_program_gets_lines_of_json(
    given: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    given("--progress", "json")
    clock = Clock()
    with ProgressBar(
        Event("upload", total=2 * MIB, sent=MIB, copied=MIB), quiet=False, clock=clock
    ) as bar:
        clock.now += 1
        bar(MIB, sent=MIB)
        clock.now += 1
        bar(MIB, copied=MIB)
    screen.say("done")
    first, second, said = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["sent"], first["to_copy"]) == ("progress", MIB, MIB)
    assert (second["done"], second["total"]) == (2 * MIB, 2 * MIB)
    assert said == {"event": "message", "text": "done"}


def test_a_batch_has_one_bar_an_image_and_none_when_it_ended(terminal: Terminal) -> None:
    at = bars.ImageBars(quiet=False)
    for image in ("a-image-with-a-long-name.raw", "b.raw"):
        at.show(image, Event("scan", MIB, GIB))
    at.show("b.raw", Event("upload", total=GIB, sent=GIB))
    at.show("b.raw", Event("upload", MIB, sent=MIB))
    redraw()
    first, second = terminal.rows
    assert first.startswith("…th-a-long-name scan")
    assert second.startswith("b.raw           upload")
    assert max(map(len, terminal.rows)) <= terminal.columns
    at.show("b.raw", Event("import", 40, 100, text="RUNNING", job_id="1"))
    screen.say("[1/2] done")
    at.end("b.raw")
    redraw()
    assert terminal.rows[0] == "[1/2] done"
    at.end("a-image-with-a-long-name.raw")
    assert terminal.rows == ["[1/2] done"]


def test_an_image_of_a_batch_has_a_row_from_its_start_through_all_steps(
    terminal: Terminal,
) -> None:
    clock = Clock()
    at = bars.ImageBars(quiet=False, clock=clock)
    at.begin("a.raw")
    at.begin("b.raw")
    assert terminal.rows == ["a.raw           check    0:00", "b.raw           check    0:00"]
    clock.now += 3
    redraw()
    assert terminal.rows[1] == "b.raw           check    0:03"
    at.show("a.raw", Event("scan", MIB, MIB))  # all of it, and the next step has not begun
    redraw()
    assert terminal.rows[0].startswith("a.raw           scan     100%|")
    assert len(terminal.rows) == 2
    at.show("a.raw", Event("import", text="RUNNING", job_id="1"))
    redraw()
    assert terminal.rows[0] == "a.raw           import   running, 0:00"
    at.end("a.raw")
    assert [row.split()[0] for row in terminal.rows] == ["b.raw"]
    at.end("b.raw")
    assert terminal.rows == []


def test_a_log_names_an_image_before_there_is_anything_to_count(
    given: Callable[..., None],
) -> None:
    given("--progress", "plain")
    clock = Clock()
    at = bars.ImageBars(quiet=False, clock=clock)
    at.begin("a.raw")
    clock.now += 4
    assert at.lines() == ["  a.raw           check    0:04"]


def test_a_check_has_a_clock_after_a_second_and_nothing_stays(terminal: Terminal) -> None:
    clock = Clock()
    row = bars.ClockRow("check", quiet=False, clock=clock)
    row.words = "1/3 images; "
    redraw()
    assert terminal.rows == []
    clock.now += 12
    redraw()
    assert terminal.rows == ["check    1/3 images; 0:12"]
    row.close()
    assert terminal.rows == []


def test_a_job_has_a_bar_only_where_the_service_says_how_far_it_is(terminal: Terminal) -> None:
    at = bars.ImageBars(quiet=False)
    at.show("b.raw", Event("import", text="RUNNING", job_id="1"))
    redraw()
    assert terminal.rows == ["b.raw           import   running, 0:00"]
    at.show("b.raw", Event("import", 40, 100, text="RUNNING", job_id="1"))
    redraw()
    assert terminal.rows[0].startswith("b.raw           import    40%|")
    at.end("b.raw")


def test_a_log_has_a_line_an_image_that_fits_into_80_columns(
    given: Callable[..., None],
) -> None:
    given("--progress", "plain")
    at = bars.ImageBars(quiet=False)
    for image in ("a/folder/and/a-long-name.raw", "b.raw"):
        at.show(image, Event("upload", total=900 * GIB, sent=99 * GIB, copied=801 * GIB))
        at.show(image, Event("upload", 55 * GIB, sent=55 * GIB))
    at.show("c.raw", Event("import", 40, 100, text="RUNNING", job_id="1"))
    long, short, job = lines = at.lines()
    assert max(map(len, lines)) <= 80
    assert long.split()[:3] == ["a-long-name.raw", "upload", "56%"]
    assert short.split()[:4] == ["b.raw", "upload", "56%", "55/99"]
    assert job == "  c.raw           import    40%  running, 0:00"
    assert bars.ImageBars(quiet=True).lines() == []


def test_an_image_is_labelled_by_its_name_where_its_path_is_long() -> None:
    assert bars.label_of("images/web01.qcow2", "scan").split() == ["web01.qcow2", "scan"]
    assert bars.label_of("a/web.raw", "scan").split() == ["a/web.raw", "scan"]
    assert bars.label_of("debian-12.x86.qcow2", "scan").split() == ["debian-12.x86", "scan"]


def test_what_is_packed_while_it_is_sent_has_a_share_of_the_disk(terminal: Terminal) -> None:
    at = bars.ImageBars(quiet=False)
    at.show("b.raw", Event("convert", MIB, GIB))
    at.show("b.raw", Event("upload"))  # how much there will be to send is not known
    for _ in range(8):
        at.show("b.raw", Event("convert", GIB // 16, GIB))
        at.show("b.raw", Event("upload", MIB, sent=MIB))
    redraw()
    (row,) = terminal.rows
    assert row.startswith("b.raw           upload    50%|")
    assert "8 MiB sent" in row or terminal.columns == 60
    at.show("b.raw", Event("convert", GIB // 2, GIB))
    redraw()
    assert terminal.rows[0].startswith("b.raw           upload    99%|")
    at.end("b.raw")
    assert terminal.rows == []


def test_an_estimated_total_is_marked_and_never_reached(terminal: Terminal) -> None:
    clock = Clock()
    with ProgressBar(
        Event("upload", total=GIB, sent=GIB, estimated=True), quiet=False, clock=clock
    ) as bar:
        clock.now += 10
        bar(GIB // 2, sent=GIB // 2)
        redraw()
        assert "0.5/~1 GiB sent" in terminal.rows[0]
        clock.now += 11
        bar(GIB, sent=GIB)
        redraw()
        (row,) = terminal.rows
        assert row.startswith("upload    99%|")
        assert "1.5 GiB sent" in row
        assert "left" not in row
        bar.finish()
    assert terminal.rows == ["upload   1.5 GiB sent in 0:21 (73.1 MiB/s)"]


def test_lines_of_an_upload_end_with_what_it_came_to(
    given: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    given("--progress", "plain")
    clock = Clock()
    with ProgressBar(Event("upload", total=2 * MIB, sent=2 * MIB), quiet=False, clock=clock) as bar:
        clock.now += 11
        bar(MIB, sent=MIB)
        clock.now += 5
        bar(MIB, sent=MIB)
        bar.finish()
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("upload: 50%; 1/2 MiB sent, ")
    assert last == "upload   2 MiB sent in 0:16 (128 KiB/s)"


def test_lines_of_one_of_several_files_name_it(
    given: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    given("--progress", "plain")
    clock = Clock()
    with ProgressBar(
        Event("digest", total=2 * MIB), quiet=False, file="b/disk.raw", clock=clock
    ) as bar:
        clock.now += 11
        bar(MIB)
        clock.now += 5
        bar(MIB)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("digest b/disk.raw: 50%; 1/2 MiB, ")
    assert last == "digest   b/disk.raw: 2 MiB in 0:16 (128 KiB/s)"


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_an_import_on_a_terminal_is_quiet_and_keeps_to_its_width(
    tmp_path: Path, columns: int
) -> None:
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(256 * MIB)
        file.write(os.urandom(4 * MIB))
    command = [sys.executable, "-m", "imsprep", "import", str(disk), "--name", "a", "--type", "DataImage",
               "--min-disk", "40", "--to", "local:cloud", "--limit-rate", "2m"]  # fmt: skip
    stale = {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}  # of another window
    code, seen, last = run_on_terminal(command, columns, {**os.environ, **stale}, tmp_path)
    assert code == 0, last
    assert any(row.startswith("upload ") and "%|" in row for row in seen)
    assert not [row for row in last if "%|" in row]
    assert any(row.startswith("image ") for row in last)
