"""The emulator on a port of this machine, and nowhere else."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
import requests

from imsprep.emulator.app import Settings
from imsprep.emulator.server import serving
from imsprep.errors import UsageError


def settings(folder: Path) -> Settings:
    return Settings("AK", "SK", lambda name: None, folder)


def test_it_serves_while_the_block_runs_and_is_gone_behind_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(settings(tmp_path)) as (_, url):
        assert url.startswith("http://127.0.0.1:")
        assert requests.get(f"{url}/v2/cloudimages", timeout=20).status_code == 401
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=20)
    assert not [thread for thread in threading.enumerate() if thread.name == "emulator"]
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", ""), "a library prints nothing"


def test_a_port_that_is_taken_is_wrong_usage(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = f"cannot listen on 127.0.0.1:{port}"
        with pytest.raises(UsageError, match=said) as told, serving(settings(tmp_path), port):
            pytest.fail("it served")
    assert told.value.remedies == ("port",)
    with serving(settings(tmp_path), port) as (_, url):
        assert url == f"http://127.0.0.1:{port}"


def test_it_ends_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), serving(settings(tmp_path)) as (_, url):
        raise KeyError
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=20)
