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


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut must not leave the new name with the content of neither file."""
    steps: list[tuple[str, bytes]] = []
    target = tmp_path / "disk.mf"
    target.write_bytes(b"old")
    sync, replace = os.fsync, os.replace

    def fsync(file: int) -> None:
        is_folder = os.path.samestat(os.fstat(file), tmp_path.stat())
        steps.append(
            ("folder" if is_folder else "file", b"" if is_folder else os.pread(file, 9, 0))
        )
        sync(file)

    def renamed(old: Path, new: Path) -> None:
        steps.append(("rename", target.read_bytes()))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    atomic.write_bytes(target, b"new")
    assert steps == [("file", b"new"), ("rename", b"old"), ("folder", b"")]
    assert target.read_bytes() == b"new"


def test_whatever_goes_wrong_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "disk.mf"
    target.write_bytes(b"old")
    with pytest.raises(TypeError), atomic.writing(target) as file:
        file.writelines([b"half of the n", "no bytes"])
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["disk.mf"]
