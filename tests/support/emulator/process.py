"""The local image service, started for a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECRET = "a-secret-that-must-not-be-seen"


@contextmanager
def emulator(folder: Path, *options: str) -> Iterator[dict[str, str]]:
    """`imsprep emulator` as a process of its own; yields the environment of its clients."""
    environment = {**os.environ, "HUAWEICLOUD_SDK_AK": "AKTEST", "HUAWEICLOUD_SDK_SK": SECRET}
    command = [
        sys.executable,
        "-m",
        "imsprep",
        "emulator",
        "--data",
        str(folder),
        "--json",
        *options,
    ]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            environment["URL"] = json.loads(process.stdout.readline())["url"]
            yield environment
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                _, said = process.communicate(timeout=120)  # it may be in fsync
            except subprocess.TimeoutExpired:
                process.kill()  # or the end of the block would wait for it
                raise
            assert SECRET not in said
        assert process.returncode == 143
