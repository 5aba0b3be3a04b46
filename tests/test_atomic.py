"""Atomic files, from several threads."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imsprep import atomic


def test_threads_that_write_at_once_leave_the_umask_and_the_modes_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.umask

    def slowly(mask: int) -> int:
        before = real(mask)
        time.sleep(0.005)  # as if another thread came to work just here
        return before

    atomic._umask.cache_clear()
    monkeypatch.setattr(os, "umask", slowly)
    old = real(0o022)
    try:
        barrier = threading.Barrier(4)

        def write(number: int) -> None:
            barrier.wait()
            atomic.write_bytes(tmp_path / f"{number}", b"x")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
        assert real(0o022) == 0o022
    finally:
        real(old)
        atomic._umask.cache_clear()


def test_a_signal_at_the_moment_the_file_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = os.open

    def interrupted(*arguments: object, **options: object) -> int:
        os.close(really_open(*arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "open", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic.writing(tmp_path / "disk.mf"):
        pass
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
