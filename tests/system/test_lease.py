"""Leases: a writer is seen however it holds the file, and what cannot be known is said to be so."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imsprep.system import lease
from imsprep.system.lease import NONE, SOME, UNKNOWN, writers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[int]:
    """A file of two pages on a local file system, open for reading."""
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(8192))
    file = os.open(path, os.O_RDONLY)
    if lease.file_system(file) not in lease.LOCAL:
        pytest.skip("the temporary folder lies on a file system that does not tell")
    yield file
    os.close(file)


def path_of(file: int) -> str:
    return os.readlink(f"/proc/self/fd/{file}")


def test_a_file_that_is_only_read_has_no_writers(opened: int) -> None:
    other = os.open(path_of(opened), os.O_RDONLY)
    assert writers(opened).state == NONE
    assert writers(opened).state == NONE  # the lease was given back
    os.close(other)


@pytest.mark.parametrize("mode", [os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_APPEND])
def test_a_program_that_has_it_open_for_writing_is_named(opened: int, mode: int) -> None:
    writing = os.open(path_of(opened), mode)
    found = writers(opened)
    assert found.state == SOME
    assert f"(process {os.getpid()})" in found.why
    os.close(writing)
    assert writers(opened).state == NONE


def test_a_mapping_whose_file_was_closed_is_a_writer(opened: int) -> None:
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    writing = os.open(path_of(opened), os.O_RDWR)
    both = mmap.PROT_READ | mmap.PROT_WRITE
    at = ctypes.c_void_p(libc.mmap(None, ctypes.c_size_t(8192), both, mmap.MAP_SHARED, writing, 0))
    os.close(writing)  # Python's own mapping would keep it open
    try:
        assert writers(opened) == (SOME, "")
    finally:
        libc.munmap(at, ctypes.c_size_t(8192))
    assert writers(opened).state == NONE


def test_a_private_mapping_is_none(opened: int) -> None:
    with mmap.mmap(opened, 8192, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE):
        assert writers(opened).state == NONE


def test_a_writer_that_goes_away_at_once_is_waited_for(
    opened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = os.open(path_of(opened), os.O_RDWR)
    monkeypatch.setattr(time, "sleep", lambda seconds: os.close(writing))
    assert writers(opened).state == NONE


@pytest.mark.parametrize(
    ("problem", "kind", "state"),
    [
        (0, "ext4", NONE),
        (0, "vfat", NONE),
        (errno.EAGAIN, "btrfs", SOME),
        (errno.EAGAIN, "exfat", SOME),
        (0, "overlay", UNKNOWN),  # a mapping of the file below is not seen
        (0, "nfs4", UNKNOWN),  # another machine may write
        (0, "", UNKNOWN),
        (errno.EAGAIN, "xfs", SOME),
        (errno.EAGAIN, "overlay", SOME),
        (errno.EAGAIN, "nfs4", UNKNOWN),  # it says so without a delegation
        (errno.EAGAIN, "cifs", UNKNOWN),
        (errno.EAGAIN, "", UNKNOWN),
        (errno.EACCES, "ext4", UNKNOWN),
        (errno.EINVAL, "fuse.sshfs", UNKNOWN),
        (errno.EINVAL, "ext4", UNKNOWN),
        (errno.ENOSYS, "ext4", UNKNOWN),
    ],
)
def test_what_the_kernel_says_counts_where_it_knows(
    tmp_path: Path, problem: int, kind: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(file: int, command: int, argument: int) -> int:
        if problem and command == fcntl.F_SETLEASE:
            raise OSError(problem, os.strerror(problem))
        return 0

    monkeypatch.setattr(fcntl, "fcntl", answer)
    monkeypatch.setattr(lease, "file_system", lambda file: kind)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(8192))
    with path.open("rb") as file:  # on whichever file system it lies
        found = writers(file.fileno())
    assert found.state == state
    assert (found.why != "") == (state == UNKNOWN)


def test_another_users_file_is_unknown(opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, command: int, argument: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert writers(opened).state == UNKNOWN
    assert "only the owner of the file" in writers(opened).why


def test_a_system_without_leases_is_unknown(opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fcntl, "F_SETLEASE")
    assert writers(opened) == (UNKNOWN, "this system has no leases")


_HOLDS_IT = """
import fcntl, os, sys, time
from imsprep.system import lease
file = os.open(sys.argv[1], os.O_RDONLY)
real = fcntl.fcntl
def held(file, command, argument):
    if command == fcntl.F_SETLEASE and argument == fcntl.F_UNLCK:
        print("held", flush=True)
        sys.stdin.readline()  # a program opens the file for writing meanwhile
    return real(file, command, argument)
fcntl.fcntl = held
print(lease.writers(file).state, flush=True)
"""


def test_a_program_that_comes_while_the_lease_is_held_kills_nobody(opened: int) -> None:
    asking = subprocess.Popen(
        [sys.executable, "-c", _HOLDS_IT, path_of(opened)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert asking.stdin is not None
    assert asking.stdout is not None
    assert asking.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError):  # it breaks the lease, and does not wait
        os.open(path_of(opened), os.O_RDWR | os.O_NONBLOCK)
    time.sleep(0.1)
    assert asking.poll() is None
    out, _ = asking.communicate("go on\n")
    assert (out, asking.returncode) == ("none\n", 0)
    assert signal.SIGURG != signal.SIGIO
