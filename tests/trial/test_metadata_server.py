"""One request to the metadata service, on stdin and stdout, and the line that it leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def ask(folder: Path, request: bytes) -> tuple[bytes, str]:
    log = folder / "log"
    done = subprocess.run(
        [sys.executable, "-m", "imsprep.trial.metadata_server", str(log)],
        input=request, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stderr == b""
    return done.stdout, log.read_text()


def test_a_request_is_answered_and_logged(tmp_path: Path) -> None:
    path = "/openstack/latest/meta_data.json"
    reply, log = ask(tmp_path, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.")
    assert b" 200 " in reply.split(b"\r\n")[0]
    assert log == f"{path}\n"
    ask(tmp_path, b"GET /none HTTP/1.1\r\n\r\n")
    assert (tmp_path / "log").read_text() == f"{path}\n/none\n"


@pytest.mark.parametrize("request_", [b"", b"GET", b"\xff\xfe\r\n\r\n", b"x" * 70_000])
def test_what_is_no_request_ends_it_without_a_traceback(tmp_path: Path, request_: bytes) -> None:
    _, log = ask(tmp_path, request_)
    assert log.count("\n") == 1
