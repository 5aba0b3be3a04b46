"""QEMU's monitor: answers among events, and a program that goes away."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imsprep.trial.qmp import Monitor, MonitorError

GREETING = {"QMP": {"version": {}, "capabilities": []}}


@contextmanager
def monitor(folder: Path, *answers: list[dict[str, object]]) -> Iterator[tuple[Monitor, list[str]]]:
    """A monitor that greets, then says these lines for each command; it hangs up after the last."""
    path, asked = folder / "qmp", list[str]()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                connection.sendall(json.dumps(GREETING).encode() + b"\n")
                for said, line in zip(([{"return": {}}], *answers), lines, strict=False):
                    asked.append(json.loads(line)["execute"])
                    connection.sendall(b"".join(json.dumps(one).encode() + b"\n" for one in said))

        thread = threading.Thread(target=serve)
        thread.start()
        opened = Monitor(path)
        try:
            yield opened, asked
        finally:
            opened.close()
            thread.join(20)


def test_an_answer_is_found_among_events(tmp_path: Path) -> None:
    event = {"event": "RESET", "data": {}}
    with monitor(tmp_path, [event, {"return": {"running": True}}], [{"return": {}}]) as (
        opened,
        asked,
    ):
        assert opened.ask("query-status") == {"running": True}
        assert opened.take_events() == [event]
        assert opened.take_events() == [], "it has hung up, and nothing is new"
    assert asked == ["qmp_capabilities", "query-status", "query-status"]


def test_a_refusal_is_told_in_its_words(tmp_path: Path) -> None:
    refusal = {"error": {"class": "GenericError", "desc": "no such device"}}
    with (
        monitor(tmp_path, [refusal]) as (opened, _),
        pytest.raises(MonitorError, match=r"^no such device$"),
    ):
        opened.ask("device_del", id="x")


def test_a_program_that_ended_or_speaks_nonsense_is_an_error(tmp_path: Path) -> None:
    with monitor(tmp_path) as (opened, _), pytest.raises(MonitorError):
        opened.ask("query-status")


def test_where_nothing_listens_there_is_no_monitor(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Monitor(tmp_path / "none")
