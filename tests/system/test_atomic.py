"""Atomic files, from several threads."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imsprep.errors import ReadError
from imsprep.system import atomic
from imsprep.system.atomic import leftovers, writing


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    """A process that works for days would run out of files."""
    before = open_files()
    yield
    assert open_files() == before


def open_files() -> list[str]:
    folder = f"/proc/{os.getpid()}/fd"
    found = [os.path.join(folder, number) for number in os.listdir(folder)]
    return sorted(path for path in found if os.path.lexists(path))  # not that of the list itself


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


@pytest.mark.parametrize("at", ["writelines", "fsync", "replace"])
def test_whatever_goes_wrong_leaves_the_old_file_and_no_other(
    tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "disk.mf"
    target.write_bytes(b"old")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if at == "writelines":
        with pytest.raises(TypeError), atomic.writing(target) as file:
            file.writelines([b"half of the n", "no bytes"])
    else:
        with monkeypatch.context() as patch:
            patch.setattr(os, at, full)
            with pytest.raises(ReadError, match=r"cannot write .*disk.mf: No space left .* free"):
                atomic.write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["disk.mf"]


@pytest.mark.parametrize("name", ["disk.mf", "x" * 255, "\N{MUSICAL SYMBOL G CLEF}" * 63])
def test_until_it_is_whole_it_is_hidden_beside_and_two_writers_do_not_meet(
    tmp_path: Path, name: str
) -> None:
    with atomic.writing(tmp_path / name) as one, atomic.writing(tmp_path / name) as two:
        hidden = os.listdir(tmp_path)
        one.write(b"one")
        two.write(b"two")
    assert len(hidden) == 2
    assert all(part.startswith(".") and part.endswith(".part") for part in hidden)
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"one"  # which ended last


def test_a_folder_that_cannot_be_synced_is_no_failure_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, refused = os.fsync, []

    def fsync(file: int) -> None:
        if os.path.samestat(os.fstat(file), tmp_path.stat()):
            refused.append(file)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic.write_bytes(tmp_path / "disk.mf", b"new")
    assert (tmp_path / "disk.mf").read_bytes() == b"new"
    (folder,) = refused
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(folder)


def test_a_device_or_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReadError, match=r"cannot write .*pipe: it is not a regular file"):
        atomic.write_bytes(tmp_path / "pipe", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_what_a_killed_writer_left_is_removed_by_the_next_and_what_is_written_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "disk.zvhd2"
    code = (
        "import os, sys, signal; from pathlib import Path; from imsprep.system.atomic import leftovers, writing, writing\n"
        "with writing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    for name in ("disk.zvhd2", "other.zvhd2"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=False)
    mine, other = (leftovers(tmp_path, n) for n in ("disk.zvhd2", "other.zvhd2"))
    assert (len(mine), len(other)) == (1, 1)
    assert sorted(leftovers(tmp_path)) == sorted(mine + other)
    theirs = [
        tmp_path / n for n in (".disk.zvhd2.part", ".disk.zvhd2.0123.part", "disk.zvhd2.part")
    ]
    for each in theirs:
        each.write_bytes(b"somebody's")
    with writing(path) as file:
        file.write(b"whole")
        assert leftovers(tmp_path) == other  # neither this one nor the one that is removed
        with writing(path) as second:  # two at once: neither takes the other's away
            second.write(b"later")
    assert path.read_bytes() == b"whole"
    assert leftovers(tmp_path) == other
    assert all(each.read_bytes() == b"somebody's" for each in theirs)


def test_missing_folders_are_made_where_that_is_wanted(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "disk.mf"
    with pytest.raises(ReadError, match=r"cannot write .*disk\.mf"), writing(target):
        pass
    assert not (tmp_path / "a").exists()
    with writing(target, parents=True) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("times", [1, 3])
def test_a_folder_that_another_process_takes_away_meanwhile_is_made_again(
    tmp_path: Path, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, left = tmp_path / "a" / "disk.mf", times
    really_open = os.open

    def opened(path: Path, *arguments: int) -> int:
        nonlocal left
        if str(path).endswith(".part") and left:
            left -= 1
            target.parent.rmdir()
        return really_open(path, *arguments)

    monkeypatch.setattr(os, "open", opened)
    with writing(target, parents=True) as file:
        file.write(b"new")
    assert (target.read_bytes(), left) == (b"new", 0)


def test_a_file_that_was_taken_for_a_leftover_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open, taken = os.open, []

    def opened(path: Path, *arguments: int) -> int:
        file = really_open(path, *arguments)
        if str(path).endswith(".part") and not taken:
            taken.append(path)
            os.unlink(path)
        return file

    monkeypatch.setattr(os, "open", opened)
    atomic.write_bytes(tmp_path / "disk.mf", b"new")
    assert taken
    assert (tmp_path / "disk.mf").read_bytes() == b"new"


def test_a_link_that_is_called_like_a_leftover_is_none(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    link = tmp_path / f".disk.mf.{'0' * 16}.part"
    link.symlink_to(other)
    assert leftovers(tmp_path) == []
    atomic.write_bytes(tmp_path / "disk.mf", b"new")
    assert link.is_symlink()
    assert other.read_bytes() == b"theirs"
