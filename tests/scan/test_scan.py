"""The scan: the same answer as the obvious loop, whatever way it takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imsprep.errors import ImageChangedError, ImageInUseError, ReadError
from imsprep.image.file import ALLOWED, RawImage
from imsprep.options import ScanOptions
from imsprep.scan import holes, pool, schedule
from imsprep.scan import scan as module
from imsprep.scan.holes import HOLES
from imsprep.scan.scan import Scan, scan
from imsprep.units import KIB, MIB

# Bytes, and whether zeros are written or left as a hole where there is no data.
Writes = list[tuple[int, int, bool]]


def make(path: Path, size: int, writes: Writes) -> Path:
    """Make a file of holes with runs of data and of written zeros."""
    with path.open("wb") as file:
        file.truncate(size)
        for offset, length, data in writes:
            os.pwrite(file.fileno(), bytes(length - data) + b"x" * data, offset)
        file.truncate(size)
    return path


def by_the_obvious_loop(path: Path, block_size: int) -> list[bool]:
    data = path.read_bytes()
    return [any(data[i : i + block_size]) for i in range(0, len(data), block_size)]


def scanned(
    path: Path, progress: Callable[[int], None] = lambda count: None, **options: Any
) -> Scan:
    with RawImage.open(path) as image:
        found = scan(image, ScanOptions(**options), progress)
    assert sum(found.coverage) == path.stat().st_size
    return found


@pytest.fixture
def by_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all that is read in full read by processes."""
    monkeypatch.setattr(schedule, "READ_HERE", 0)


@pytest.fixture(params=["here", "readers"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process, then by others."""
    if request.param == "readers":
        monkeypatch.setattr(schedule, "READ_HERE", 0)


RUNS = st.lists(
    st.tuples(st.integers(0, 800 * KIB), st.integers(1, 60_000), st.booleans()), max_size=8
)


@pytest.mark.slow
@given(
    writes=RUNS,
    size=st.integers(0, 900 * KIB),
    block_size=st.sampled_from([512, 4 * KIB, 12 * KIB, 96 * KIB, 256 * KIB, 512 * KIB, 32 * MIB]),
    holes=st.sampled_from(HOLES),
    keep_cache=st.booleans(),
)
@example(writes=[], size=0, block_size=512, holes="auto", keep_cache=False)
def test_a_block_is_allocated_if_any_byte_of_it_is_not_zero(
    tmp_path_factory: pytest.TempPathFactory,
    writes: Writes,
    size: int,
    block_size: int,
    holes: str,
    keep_cache: bool,
) -> None:
    path = make(tmp_path_factory.mktemp("scan") / "disk.raw", size, writes)
    found = scanned(path, block_size=block_size, holes=holes, keep_cache=keep_cache)
    assert found.block_map.flags().tolist() == by_the_obvious_loop(path, block_size)


@settings(max_examples=25)
@given(
    writes=RUNS,
    size=st.integers(1, 900 * KIB),
    block_size=st.sampled_from([4 * KIB, 256 * KIB, 512 * KIB]),
    holes=st.sampled_from(HOLES),
    jobs=st.integers(1, 3),
)
@pytest.mark.slow
@pytest.mark.usefixtures("by_readers")
def test_readers_give_the_same_answer(
    tmp_path_factory: pytest.TempPathFactory,
    writes: Writes,
    size: int,
    block_size: int,
    holes: str,
    jobs: int,
) -> None:
    path = make(tmp_path_factory.mktemp("scan") / "disk.raw", size, writes)
    found = scanned(path, block_size=block_size, holes=holes, jobs=jobs)
    assert found.block_map.flags().tolist() == by_the_obvious_loop(path, block_size)


def near(size: int, unit: int) -> st.SearchStrategy[int]:
    """Places at the multiples of a unit up to a size, and a byte before and behind them."""
    multiples = st.integers(0, size // unit).map(lambda n: n * unit)
    return st.tuples(multiples, st.sampled_from([-1, 0, 1])).map(lambda t: max(0, sum(t)))


@st.composite
def edged(draw: st.DrawFn) -> tuple[int, int, Writes]:
    """A block size, a size and runs of data and written zeros that end beside edges."""
    block_size = draw(st.sampled_from([4 * KIB, 64 * KIB, 256 * KIB, 512 * KIB]))
    size = draw(st.one_of(near(3 * MIB, block_size), near(3 * MIB, 4 * KIB)))
    place = st.one_of(near(3 * MIB, 4 * KIB), near(3 * MIB, block_size))
    runs = draw(st.lists(st.tuples(place, place, st.booleans()), max_size=6))
    ends = draw(st.lists(place, max_size=4))  # single bytes
    writes = [(min(a, b), abs(a - b), data) for a, b, data in runs if data is False or a != b]
    return block_size, size, writes + [(at, 1, True) for at in ends]


@pytest.mark.slow
@settings(max_examples=40)
@given(edged(), st.sampled_from(HOLES))
def test_a_range_may_end_at_any_edge(
    tmp_path_factory: pytest.TempPathFactory, disk: tuple[int, int, Writes], holes: str
) -> None:
    block_size, size, writes = disk
    path = make(tmp_path_factory.mktemp("edges") / "disk.raw", size, writes)
    found = scanned(path, block_size=block_size, holes=holes)
    assert found.block_map.flags().tolist() == by_the_obvious_loop(path, block_size)


# A single byte beside every kind of edge: of a page, a probe, a piece, a buffer, a window, a task.
EDGES = [0, 4 * KIB, 64 * KIB, 256 * KIB, 2 * MIB, 4 * MIB, 6 * MIB, 32 * MIB, 35 * MIB + 77]


@pytest.mark.slow
@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("block_size", [4 * KIB, 2 * MIB, 32 * MIB])
def test_a_single_byte_at_every_edge_is_found(tmp_path: Path, block_size: int) -> None:
    size = EDGES[-1]
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(size))  # written zeros: all of it must be read
    with path.open("r+b", buffering=0) as file:
        # In one scan as many places as lie in blocks of their own, so that none hides another.
        left = sorted({edge + by for edge in EDGES for by in (-1, 0, 1)} & set(range(size)))
        while left:
            places = {place // block_size: place for place in reversed(left)}
            left = [place for place in left if place not in places.values()]
            for place in places.values():
                os.pwrite(file.fileno(), b"x", place)
            found = scanned(path, block_size=block_size, jobs=1, force_share=True).block_map
            assert [n for n, on in enumerate(found.flags()) if on] == sorted(places)
            for place in places.values():
                os.pwrite(file.fileno(), b"\0", place)


def test_it_says_for_how_many_bytes_each_source_vouches(tmp_path: Path) -> None:
    path = make(tmp_path / "disk.raw", 20 * MIB, [(0, 4096, True), (8 * MIB, 2 * MIB, False)])
    assert scanned(path, holes="trust").coverage == (18 * MIB - 4096, 4096, 2 * MIB)
    assert scanned(path, holes="verify").coverage == (0, 2 * MIB, 18 * MIB)


def test_verify_finds_data_that_the_file_system_calls_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "disk.raw", 8 * MIB, [(5 * MIB, 10, True)])
    monkeypatch.setattr(RawImage, "data", lambda self: iter(()))
    assert not scanned(path, holes="trust").block_map.allocated
    assert scanned(path, holes="verify").block_map.allocated == 1


@pytest.mark.parametrize(("name", "in_holes"), [("ext4", 8 * MIB), ("zfs", 0), ("", 0)])
def test_auto_trusts_only_file_systems_that_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, in_holes: int
) -> None:
    path = make(tmp_path / "disk.raw", 8 * MIB, [])
    monkeypatch.setattr(holes, "file_system", lambda file: name)
    assert scanned(path, holes="auto").coverage.holes == in_holes


@pytest.mark.parametrize(("name", "past"), [("ext4", True), ("nfs4", False), ("", False)])
def test_the_cache_is_passed_by_only_where_nothing_newer_lies_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, past: bool
) -> None:
    path = make(tmp_path / "disk.raw", 8 * MIB, [])
    told: list[schedule.How] = []

    class Noting(schedule.FullRead):
        def __init__(self, image: RawImage, bits: object, how: schedule.How, progress: object):
            told.append(how)
            super().__init__(image, bits, how, progress)

    monkeypatch.setattr(module, "FullRead", Noting)
    monkeypatch.setattr(holes, "file_system", lambda file: name)
    scanned(path)
    scanned(path, keep_cache=True)
    assert [how.past_cache for how in told] == [past, False]


@pytest.mark.usefixtures("either_way")
def test_progress_adds_up_to_the_size(tmp_path: Path) -> None:
    path = make(tmp_path / "disk.raw", 90 * MIB + 5, [(0, 3000, True), (MIB, 70 * MIB, False)])
    told: list[int] = []
    scanned(path, progress=told.append)
    assert sum(told) == 90 * MIB + 5
    assert min(told) >= 0


def test_waiting_for_readers_is_reported_and_adds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_readers: None
) -> None:
    path = make(tmp_path / "disk.raw", 20 * MIB, [(0, 20 * MIB, False)])
    monkeypatch.setattr(pool, "TICK_S", 0.001)  # a reader needs more to start
    told: list[int] = []
    scanned(path, progress=told.append, holes="verify")
    assert told.count(0) > 1
    assert min(told) == 0
    assert sum(told) == 20 * MIB


def cut_short(path: Path) -> None:
    os.truncate(path, 4096)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0")


def swap(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.slow
@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("change", [cut_short, grow, rewrite, swap, os.unlink])
def test_a_change_during_the_scan_is_noticed(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(200 * MIB))
    pending = [change]

    def progress(count: int) -> None:
        while pending:
            pending.pop()(path)

    with pytest.raises(ImageChangedError, match=r"disk\.raw"):
        scanned(path, progress=progress)
    assert not pending


def test_a_change_at_the_very_end_of_the_scan_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "disk.raw", MIB, [(0, 10, True)])
    finish = schedule.FullRead.finish

    def late(reading: schedule.FullRead) -> None:
        finish(reading)
        rewrite(path)

    monkeypatch.setattr(schedule.FullRead, "finish", late)
    with pytest.raises(ImageChangedError):
        scanned(path)


@pytest.mark.slow
def test_an_image_with_a_writer_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "disk.raw", 8 * MIB, [(5 * MIB, 10, True)])
    told: list[int] = []
    with path.open("r+b"):
        with pytest.raises(ImageInUseError, match=r"disk\.raw is open for writing"):
            scanned(path, progress=told.append)
        assert told == []
        found = scanned(path, force_share=True)
    assert found.sharing is not None
    assert found.sharing.writers == ALLOWED
    assert found.block_map.flags().tolist() == by_the_obvious_loop(path, 2 * MIB)


def test_an_image_that_changed_before_the_scan_is_noticed(tmp_path: Path) -> None:
    path = make(tmp_path / "disk.raw", MIB, [(0, 10, True)])
    with RawImage.open(path) as image:
        rewrite(path)
        told: list[int] = []
        with pytest.raises(ImageChangedError):
            scan(image, progress=told.append)
        assert told == []  # nothing was read


# What some platforms lack; each set is taken away together.
MISSING = {
    "no holes": ["SEEK_DATA", "SEEK_HOLE"],
    "no hints": ["posix_fadvise"],
    "no reads from the cache": ["RWF_NOWAIT"],
    "macOS": ["SEEK_DATA", "SEEK_HOLE", "posix_fadvise", "RWF_NOWAIT", "sched_getaffinity"],
    "Windows": ["SEEK_DATA", "SEEK_HOLE", "posix_fadvise", "RWF_NOWAIT", "preadv", "pread",
                "sched_getaffinity", "O_NONBLOCK"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("missing", MISSING)
def test_without_a_call_the_answer_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    path = make(tmp_path / "disk.raw", 80 * MIB + 5, [(9, 9, True), (3 * MIB, 70 * MIB, False)])
    expected = by_the_obvious_loop(path, 2 * MIB)
    for name in MISSING[missing]:
        monkeypatch.delattr(os, name)
    if missing == "Windows":
        monkeypatch.setattr(schedule, "HAS_READERS", False)
    assert scanned(path).block_map.flags().tolist() == expected


def test_where_no_reader_can_be_started_it_reads_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_readers: None
) -> None:
    path = make(tmp_path / "disk.raw", 20 * MIB, [(0, 20 * MIB, True)])
    for broken in ("/nothing/there", "/bin/false"):
        monkeypatch.setattr("sys.executable", broken)
        assert scanned(path).block_map.allocated == 1


BIG = 1 << 40  # of holes, which take minutes to be read


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command that scans for minutes, with readers at work."""
    path = make(tmp_path / "disk.raw", BIG, [(0, 10, True)])
    command = [*IMSPREP, "check", "--scan", "--holes", "verify", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        wait_for(lambda: readers_of(process.pid))
        yield process
    finally:
        process.kill()
        process.communicate()


IMSPREP = [sys.executable, "-m", "imsprep"]


def readers_of(pid: int) -> list[int]:
    """Return the readers that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something is true; a minute is for a machine that is very busy."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_scan_and_its_readers(
    endless: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    readers = readers_of(endless.pid)
    endless.send_signal(number)
    code = endless.wait(60)
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    for reader in readers:
        wait_for(lambda reader=reader: is_gone(reader))


def test_a_reader_that_is_killed_costs_only_time(tmp_path: Path, by_readers: None) -> None:
    path = make(tmp_path / "disk.raw", 100 * MIB, [(0, 90 * MIB, False), (99 * MIB, 5, True)])

    def kill_one(count: int) -> None:
        for reader in readers_of(os.getpid())[:1]:
            os.kill(reader, signal.SIGKILL)

    found = scanned(path, holes="verify", progress=kill_one).block_map
    assert (found.allocated, found[49]) == (1, True)


def test_a_folder_and_a_missing_file_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ReadError, match="cannot read"), RawImage.open(path):
            pass


def test_an_image_that_became_shorter_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * 4096)
    with RawImage.open(path) as image:
        path.write_bytes(b"y" * 2048)
        with pytest.raises(ImageChangedError, match="truncated"):
            image.pread(0, 4096)
