"""`imsprep emulator`: it serves until it is interrupted, with a key that it prints."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.support.running import Outcome

Run = Callable[..., Outcome]
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def start(data: Path) -> subprocess.Popen[str]:
    """Start an emulator as a process of its own."""
    command = [sys.executable, "-m", "imsprep", "emulator", "--data", str(data), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    with start(tmp_path) as served:
        assert served.stdout is not None
        said = json.loads(served.stdout.readline())
        assert said["schema"] == "imsprep.emulator/1"
        answer = requests.get(f"{said['url']}/v2/cloudimages", timeout=20)
        assert answer.status_code == 401
        served.send_signal(signal.SIGINT)
        _, err = served.communicate(timeout=20)
    assert served.returncode == 130
    assert "serving; end with Ctrl-C" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(LIBC, "tgkill"), reason="not available: tgkill of glibc 2.30")
def test_a_signal_that_another_thread_receives_ends_it_too(tmp_path: Path) -> None:
    with start(tmp_path) as served:
        assert served.stdout is not None
        served.stdout.readline()
        time.sleep(1)  # until it waits for its end
        other = max(int(thread.name) for thread in Path(f"/proc/{served.pid}/task").iterdir())
        assert other != served.pid
        assert LIBC.tgkill(served.pid, other, signal.SIGTERM) == 0
        try:
            served.communicate(timeout=20)
        finally:
            served.kill()
    assert served.returncode == 143


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--fault", "none"), "fault"), (("--port", "70000"), "expected 0 to 65535")],
)
def test_what_cannot_be_served_is_wrong_usage(
    imsprep: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = imsprep("emulator", "--data", tmp_path, *words)
    assert done.code == 2
    assert said in done.err
