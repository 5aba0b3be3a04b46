"""`imsprep emulator`: it serves until it is interrupted, with a key that it prints."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.mark.slow
def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imsprep", "emulator", "--data", str(tmp_path), "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as served:
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
