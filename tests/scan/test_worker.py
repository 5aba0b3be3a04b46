"""The reading process, run in this one: whichever way the bytes come, the blocks are the same."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import select
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsprep.scan import protocol, worker
from imsprep.scan.pool import Setup
from imsprep.scan.worker import PAGE, Reader
from imsprep.system import pagecache
from imsprep.system.mounts import file_system
from imsprep.units import KIB, MIB
from tests.support.system.page_cache import cached_pages, drop

SIZE = 3 * MIB + 5 * KIB + 11


def blocks_by_the_obvious_loop(
    data: bytes, ranges: list[tuple[int, int]], block_size: int
) -> list[int]:
    return sorted({at // block_size for a, b in ranges for at in range(a, b) if data[at]})


# Where ranges end in practice, and one byte beside it.
EDGES = st.tuples(
    st.sampled_from([4 * KIB, 12 * KIB, 256 * KIB, MIB, 2 * MIB]), st.integers(0, 800),
    st.sampled_from([-1, 0, 0, 1]),
).map(lambda edge: min(max(0, edge[0] * edge[1] + edge[2]), SIZE))  # fmt: skip
ENDS = st.one_of(st.integers(0, SIZE), EDGES)
RANGES = st.lists(
    st.tuples(ENDS, ENDS).map(lambda ends: tuple(sorted(ends))),
    max_size=3,
)
PLACES = st.one_of(st.integers(0, SIZE - 1), EDGES.map(lambda edge: min(edge, SIZE - 1)))


@pytest.mark.slow
@settings(max_examples=60)
@given(
    places=st.dictionaries(PLACES, st.integers(1, 255), max_size=6),
    ranges=RANGES,
    block_size=st.sampled_from([4 * KIB, 12 * KIB, 256 * KIB, 2 * MIB, 32 * MIB]),
    way=st.sampled_from(["mapped", "copied", "past the cache", "through the cache", "mixed"]),
    window=st.sampled_from([64 * KIB, MIB, 16 * MIB]),
)
def test_blocks_with_data_are_those_with_a_byte_that_is_not_zero(
    tmp_path_factory: pytest.TempPathFactory,
    places: dict[int, int],
    ranges: list[tuple[int, int]],
    block_size: int,
    way: str,
    window: int,
) -> None:
    data = bytearray(SIZE)
    for place, value in places.items():
        data[place] = value
    path = tmp_path_factory.mktemp("reader") / "disk.raw"
    path.write_bytes(data)
    file = os.open(path, os.O_RDONLY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "WINDOW", window)
        patch.setattr(worker, "SHORTEST", 4)
        patch.setattr(worker, "POOR", 0 if way == "mapped" else 1 << 60)  # copy after a window
        patch.setattr(worker, "COPIED", 100 * KIB)
        try:
            if way not in ("mapped", "copied"):
                drop(file)
            if way == "mixed":
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
                for at in range(0, SIZE, 300 * KIB):
                    os.pread(file, 100 * KIB, at)
            one = Reader(
                file,
                block_size=block_size,
                past_cache=way != "through the cache",
                keep_cache=False,
            )
            found = one.blocks_with_data(ranges)
        finally:
            os.close(file)
    assert found == blocks_by_the_obvious_loop(data, ranges, block_size)


@pytest.mark.parametrize("past_cache", [True, False])
@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("start", [4 * KIB, 96 * KIB, 252 * KIB])
def test_the_tail_of_a_range_as_long_as_whole_blocks_is_looked_at(
    start: int, blocks: int, past_cache: bool, tmp_path: Path
) -> None:
    """It begins inside of a block, and ends as far inside of another, which holds the data."""
    path, size = tmp_path / "disk.raw", 256 * KIB
    stop = start + blocks * size
    for place, found in ((stop - 1, [blocks]), (start, [0]), (stop, []), (start - 1, [])):
        data = bytearray(5 * size)
        data[place] = 1
        path.write_bytes(data)
        with path.open("rb") as file:
            one = Reader(file.fileno(), block_size=size, past_cache=past_cache, keep_cache=False)
            assert one.blocks_with_data([(start, stop)]) == found


def faulting(patch: pytest.MonkeyPatch, poor: int) -> None:
    """Have the kernel say that the window which is mapped as number `poor` cost a fault a page."""
    calls, faults = itertools.count(), 0

    def getrusage(who: int) -> SimpleNamespace:
        nonlocal faults
        window, behind = divmod(next(calls), 2)  # it is asked before and behind each
        faults += (MIB // PAGE if window == poor else 1) if behind else 0
        return SimpleNamespace(ru_minflt=faults)

    patch.setattr(resource, "getrusage", getrusage)
    patch.setattr(worker, "WINDOW", MIB)


def test_what_maps_page_by_page_is_copied_and_mapping_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(40 * MIB))
    faulting(monkeypatch, poor=3)
    copied, real = list[int](), os.preadv

    def preadv(file: int, views: list[memoryview], offset: int) -> int:
        copied.append(offset // MIB)
        return real(file, views, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    with path.open("rb") as file:
        one = Reader(file.fileno(), block_size=2 * MIB, past_cache=True, keep_cache=False)
        assert one.blocks_with_data([(0, 40 * MIB)]) == []
    assert copied == [*range(4, 4 + worker.AGAIN)]


def test_a_file_cut_short_while_it_is_copied_ends_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(3 * MIB))
    faulting(monkeypatch, poor=0)
    real = os.preadv

    def preadv(file: int, views: list[memoryview], offset: int) -> int:
        os.truncate(path, MIB + 300 * KIB + 7)
        return real(file, views, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    with path.open("rb") as file:
        one = Reader(file.fileno(), block_size=2 * MIB, past_cache=True, keep_cache=False)
        with pytest.raises(EOFError):
            one.blocks_with_data([(0, 3 * MIB)])


def pages_dropped(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Return a set in which every page is put that the kernel is asked to drop from now on."""
    dropped, real = set[int](), pagecache.advise

    def advise(number: int, start: int, stop: int, advice: str) -> None:
        if advice == "POSIX_FADV_DONTNEED":
            dropped.update(range(start // PAGE, -(-stop // PAGE)))
        real(number, start, stop, advice)

    monkeypatch.setattr(pagecache, "advise", advise)
    return dropped


def test_what_is_to_be_kept_in_the_page_cache_is_not_dropped(
    disk_of_20: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = pages_dropped(monkeypatch)
    for keep_cache in (True, False):
        with disk_of_20.open("rb") as file:
            drop(file.fileno())
            if file_system(file.fileno()) == "tmpfs":
                pytest.skip("a tmpfs is the page cache")
            one = Reader(file.fileno(), block_size=MIB, past_cache=False, keep_cache=keep_cache)
            assert one.blocks_with_data([(0, 20 * MIB)]) == [0, 8, 19]
        assert bool(dropped) != keep_cache


@pytest.mark.parametrize("past_cache", [True, False])
@pytest.mark.parametrize("known", [True, False], ids=["cachestat", "mincore"])
def test_the_page_cache_is_left_as_it_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, past_cache: bool, known: bool
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(40 * MIB + 1000))
    file = os.open(path, os.O_RDONLY)
    if file_system(file) == "tmpfs":
        pytest.skip("a tmpfs is the page cache")
    if not known:
        monkeypatch.setattr(pagecache, "CACHESTAT_MACHINES", ())
    drop(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
    for at, length in (
        (5 * MIB, 2 * MIB), (20 * MIB + 4096, 40_000), (30 * MIB, 1), (39 * MIB, MIB + 1000),
    ):  # fmt: skip
        os.pread(file, length, at)
    before, dropped = cached_pages(path), pages_dropped(monkeypatch)
    one = Reader(file, block_size=2 * MIB, past_cache=past_cache, keep_cache=False)
    assert one.blocks_with_data([(0, 40 * MIB + 1000)]) == []
    os.close(file)
    # The system may drop pages at any time, but nobody else reads this file.
    assert cached_pages(path) <= before
    assert not dropped & before


@pytest.mark.parametrize("past_cache", [True, False])
def test_only_the_rest_of_a_block_with_data_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, past_cache: bool
) -> None:
    monkeypatch.setattr(worker, "WINDOW", 64 * KIB)  # its edges lie within blocks
    block_size = 12 * KIB
    data = bytearray(1020 * KIB)
    straddling = [at // block_size for at in range(64 * KIB, len(data), 64 * KIB)]
    for block in straddling:
        data[block * block_size] = 1  # found in the window before the edge
        data[(block + 2) * block_size - 1] = 1  # all that the next block holds
    path = tmp_path / "disk.raw"
    path.write_bytes(data)
    with path.open("rb") as file:
        drop(file.fileno())
        one = Reader(file.fileno(), block_size=block_size, past_cache=past_cache, keep_cache=False)
        found = one.blocks_with_data([(0, len(data))])
    assert found == blocks_by_the_obvious_loop(bytes(data), [(0, len(data))], block_size)
    assert len(found) > len(straddling)


def test_a_file_that_ends_too_early_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(MIB))
    with path.open("rb") as file:
        drop(file.fileno())
        one = Reader(file.fileno(), block_size=MIB, past_cache=True, keep_cache=False)
        with pytest.raises(EOFError):
            one.blocks_with_data([(0, 3 * MIB)])


def reading(path: Path, direct_fails_with: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Return the blocks of a file where reads past the cache fail, from the second one on."""
    real, really_open = os.preadv, os.open
    refused, past = list[int](), list[int]()

    def opened(name: str, flags: int) -> int:
        file = really_open(name, flags)
        past.extend([file] if flags & os.O_DIRECT else [])
        return file

    patch.setattr(os, "open", opened)
    with path.open("rb") as file:
        one = Reader(file.fileno(), block_size=MIB, past_cache=True, keep_cache=False)
        if not past:
            pytest.skip("the temporary folder lies on a file system without O_DIRECT")
        (direct,), count = past, 0

        def preadv(number: int, views: list[memoryview], offset: int) -> int:
            nonlocal count
            count += number == direct
            if number == direct and count > 1:
                refused.append(offset)
                raise OSError(direct_fails_with, os.strerror(direct_fails_with))
            return real(number, views, offset)

        drop(file.fileno())
        patch.setattr(os, "preadv", preadv)
        try:
            return one.blocks_with_data([(0, path.stat().st_size)])
        finally:
            patch.undo()
            assert len(refused) == 1  # it is tried once


@pytest.fixture
def disk_of_20(tmp_path: Path) -> Path:
    """A disk of 20 MiB, with data in its first, ninth and last."""
    path, data = tmp_path / "disk.raw", bytearray(20 * MIB)
    for place in (0, 8 * MIB + 5, 20 * MIB - 1):
        data[place] = 1
    path.write_bytes(data)
    return path


def test_where_reads_past_the_cache_are_refused_it_goes_through_the_cache(
    disk_of_20: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reading(disk_of_20, errno.EINVAL, monkeypatch) == [0, 8, 19]


def test_a_bad_sector_is_not_taken_for_that(
    disk_of_20: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        reading(disk_of_20, errno.EIO, monkeypatch)


def test_where_nothing_is_read_past_the_cache_it_goes_through_the_cache(
    disk_of_20: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: str, flags: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(path, flags)

    with disk_of_20.open("rb") as file:
        drop(file.fileno())
        monkeypatch.setattr(os, "open", refuse)
        one = Reader(file.fileno(), block_size=MIB, past_cache=True, keep_cache=False)
        assert one.blocks_with_data([(0, 20 * MIB)]) == [0, 8, 19]


# The process.


def test_a_process_answers_task_after_task_and_ends_with_its_input(disk_of_20: Path) -> None:
    tasks = [[(0, 9 * MIB), (19 * MIB, 20 * MIB)], [(MIB, 8 * MIB)], [(8 * MIB, 9 * MIB)]]
    with disk_of_20.open("rb") as file:
        setup = Setup(file.fileno(), block_size=MIB, past_cache=True, keep_cache=False)
        process = subprocess.Popen(
            setup.command(), bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=[file.fileno()],
        )  # fmt: skip
        with process:
            assert process.stdin
            assert process.stdout
            for task, blocks in zip(tasks, ([0, 8, 19], [], [8]), strict=True):
                process.stdin.write(protocol.task(task))
                # The answer comes before the next task.
                assert select.select([process.stdout], [], [], 30)[0]
                assert protocol.read_answer(process.stdout.read) == blocks
            process.stdin.close()
            assert process.wait(30) == 0


def test_a_process_whose_parent_is_gone_answers_nothing(disk_of_20: Path) -> None:
    with disk_of_20.open("rb") as file:
        setup = Setup(file.fileno(), block_size=MIB, past_cache=True, keep_cache=False)
        *command, _ = setup.command()
        done = subprocess.run(
            [*command, "0"], input=protocol.task([(0, MIB)]), capture_output=True,
            pass_fds=[file.fileno()], check=True,
        )  # fmt: skip
    assert done.stdout == b""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_process_dies_with_its_parent_and_leaves_no_core_file() -> None:
    """Asked of the kernel: PR_GET_PDEATHSIG is 2, PR_GET_DUMPABLE 3 (<linux/prctl.h>)."""
    code = """
import ctypes, os, sys
from imsprep.scan import worker
sys.argv[1:] = ["0", "4096", "0", "1", str(os.getppid())]
worker.main()
signal = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(signal))
print(signal.value, ctypes.CDLL(None).prctl(3), file=sys.stderr)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert done.stderr.split() == [b"9", b"0"]
