"""Locks: one holder at a time, whatever ends it, and nothing left over."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from imsprep.errors import ReadError, TransferError
from imsprep.system import locking
from imsprep.system.locking import locked

HOLD = "import sys; from pathlib import Path; from imsprep.system.locking import locked\nwith locked(Path(sys.argv[1]), 'x'):\n    print('held', flush=True); sys.stdin.read()"


def test_a_lock_has_one_holder_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with locked(path, "disk.raw"):
        with pytest.raises(TransferError, match=r"another imsprep works on disk\.raw"), locked(path, "disk.raw"):  # fmt: skip
            raise AssertionError("held twice")
        assert path.exists()
    assert list(tmp_path.iterdir()) == []
    with locked(path, "disk.raw"):
        pass


def test_whoever_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    path, slept = tmp_path / "a.lock", []
    outer = locked(path, "x")
    outer.__enter__()

    def nap(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            outer.__exit__(None, None, None)

    with locked(path, "x", wait_s=60, sleep=nap):
        assert len(slept) == 3


@pytest.mark.parametrize("wait_s", [0.0, 3.0])
def test_nobody_waits_longer_than_was_said(tmp_path: Path, wait_s: float) -> None:
    slept: list[float] = []
    with locked(tmp_path / "a.lock", "x"), pytest.raises(TransferError):  # noqa: SIM117 - what is nested fails
        with locked(tmp_path / "a.lock", "x", wait_s=wait_s, sleep=slept.append):
            raise AssertionError("held twice")
    assert sum(slept) == wait_s


def test_a_killed_holder_holds_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TransferError), locked(path, "x"):
            pass
        holder.kill()
        holder.wait()
        with locked(path, "x"):
            pass
    assert not path.exists()


def test_a_file_that_its_holder_removed_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened before the first holder ends, locked after: by then another holds a new file."""
    path, real = tmp_path / "a.lock", locking.fcntl.flock
    first, second = locked(path, "x"), locked(path, "x")
    first.__enter__()

    def late(file: int, operation: int) -> None:
        monkeypatch.setattr(locking.fcntl, "flock", real)
        first.__exit__(None, None, None)
        second.__enter__()
        real(file, operation)

    monkeypatch.setattr(locking.fcntl, "flock", late)
    with pytest.raises(TransferError), locked(path, "x"):
        raise AssertionError("held twice")
    second.__exit__(None, None, None)
    assert not path.exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_where_nothing_can_be_locked_it_goes_on(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, "no locks here")

    monkeypatch.setattr(locking.fcntl, "flock", refuse)
    with locked(tmp_path / "a.lock", "x"):
        assert (tmp_path / "a.lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_many_threads_never_hold_it_together(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    inside, most, turns = 0, 0, 0
    count = threading.Lock()

    def work() -> None:
        nonlocal inside, most, turns
        for _ in range(50):
            with locked(path, "x", wait_s=1e6, sleep=lambda s: None):
                with count:
                    inside += 1
                    most = max(most, inside)
                    turns += 1
                with count:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, 200)
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot write"), locked(tmp_path / "no" / "a.lock", "x"):
        pass


def test_a_file_that_is_no_lock_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text("somebody's")
    with pytest.raises(ReadError, match=r"is not a lock file of imsprep"), locked(path, "x"):
        raise AssertionError("taken")
    assert path.read_text() == "somebody's"


@pytest.mark.parametrize("there", [True, False])
def test_what_a_link_names_is_neither_made_nor_locked(there: bool, tmp_path: Path) -> None:
    path, other = tmp_path / "a.lock", tmp_path / "other"
    if there:
        other.touch()
    path.symlink_to(other)
    with pytest.raises(ReadError, match="cannot write"), locked(path, "x"):
        pass
    assert (path.is_symlink(), other.exists()) == (True, there)


def test_a_pipe_is_not_removed_as_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    os.mkfifo(path)
    with pytest.raises(ReadError, match="is not a lock file"), locked(path, "x"):
        pass
    assert path.is_fifo()
