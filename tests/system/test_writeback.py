"""A growing file is synced behind the writer, as far as it is final and no further."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imsprep.system import writeback
from imsprep.system.writeback import WriteBehind
from imsprep.units import MIB

STEP = 64 * MIB


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What was dropped from the page cache: start and end in bytes."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(
        writeback, "advise", lambda file, start, end, what: found.append((start, end))
    )
    return found


def test_it_is_synced_step_by_step_from_where_it_was_before(
    tmp_path: Path, dropped: list[tuple[int, int]]
) -> None:
    with (tmp_path / "file").open("wb") as file, WriteBehind(file.fileno()) as behind:
        for less, enough in ((STEP - 1, STEP), (STEP + 1, 3 * STEP)):
            behind.done(less)
            behind.done(enough)
            behind.wait()
    assert dropped == [(0, STEP), (STEP, 3 * STEP)]


def test_what_cannot_be_synced_is_left_to_the_end(
    tmp_path: Path, dropped: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    with (tmp_path / "file").open("wb") as file, WriteBehind(file.fileno()) as behind:
        behind.done(STEP)
    assert dropped == []
