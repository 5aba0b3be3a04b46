"""Where calls of Linux, or of POSIX, are missing, imsprep finds and makes the same."""

from __future__ import annotations

import json
import lzma
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imsprep.units import MIB
from tests.support.paths import ROOT
from tests.support.system.other_systems import MACOS, WINDOWS

pytestmark = pytest.mark.slow

_SIZE = 96 * MIB


def _disk(folder: Path) -> None:
    """Write a sparse disk with data at odd places, and the same compressed."""
    content, chance = bytearray(_SIZE), random.Random(5)
    for offset, length in ((0, 512), (4 * MIB - 1, 2), (30 * MIB, 3 * MIB), (_SIZE - 1, 1)):
        content[offset : offset + length] = chance.randbytes(length - 1) + b"x"
    with open(folder / "disk.raw", "wb") as file:
        file.truncate(_SIZE)
        for start in range(0, _SIZE, MIB):
            if any(piece := content[start : start + MIB]):
                file.seek(start)
                file.write(piece)
    (folder / "disk.raw.xz").write_bytes(lzma.compress(content, preset=0))


def _answers(folder: Path, system: str) -> Any:
    folder.mkdir()
    _disk(folder)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.system.all_ways", system],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Any:
    answers = _answers(tmp_path_factory.mktemp("here") / "linux", "linux")
    assert len(set(answers["digests"])) == 1
    return answers


@pytest.mark.parametrize("system", [MACOS, WINDOWS])
def test_all_is_found_and_made_as_on_linux(system: str, here: Any, tmp_path: Path) -> None:
    there = _answers(tmp_path / system, system)
    if system == WINDOWS:  # has no processes that read for a scan
        there["reader"] = here["reader"]
    assert there == here
