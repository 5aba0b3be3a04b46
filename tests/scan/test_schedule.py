"""The scan on every kind of file: each works, or is refused with its exit code and leaves nothing."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from bitarray.util import zeros
from hypothesis import given, settings
from hypothesis import strategies as st

from imsprep.errors import ReadError
from imsprep.image.file import RawImage
from imsprep.options import ScanOptions
from imsprep.scan import pool, schedule
from imsprep.scan.scan import scan
from imsprep.scan.schedule import FullRead, How
from imsprep.system.mounts import file_system
from imsprep.units import KIB, MIB
from tests.support.running import Outcome

Run = Callable[..., Outcome]


def shell(*words: object) -> str:
    return subprocess.run(
        [str(word) for word in words], check=True, capture_output=True, text=True
    ).stdout.strip()


def can_loop() -> bool:
    """Return whether this process may make block devices of files."""
    return os.geteuid() == 0 and shutil.which("losetup") is not None and _loop_works()


def _loop_works() -> bool:
    return subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode == 0


loops = pytest.mark.skipif(not can_loop(), reason="needs root and loop devices")


@pytest.fixture(params=["here", "readers"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process, then by others."""
    if request.param == "readers":
        monkeypatch.setattr(schedule, "READ_HERE", 0)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A block device of 64 MiB of written zeros and one byte, and the file behind it."""
    file = tmp_path / "behind.raw"
    file.write_bytes(bytes(64 * MIB))
    with file.open("r+b") as behind:
        os.pwrite(behind.fileno(), b"x", 33 * MIB)
    name = Path(shell("losetup", "-f", "--show", file))
    try:
        yield name, file
    finally:
        shell("losetup", "-d", name)


SIZE = 80 * MIB


def near(unit: int) -> st.SearchStrategy[int]:
    """Places at the multiples of a unit below SIZE, and a byte before and behind them."""
    multiples = st.integers(0, SIZE // unit).map(lambda n: n * unit)
    near = st.tuples(multiples, st.sampled_from([-1, 0, 1])).map(sum)
    return near.map(lambda place: min(max(0, place), SIZE))


@pytest.mark.slow
@settings(max_examples=30)
@given(
    block_size=st.sampled_from([4 * KIB, 512 * KIB, 2 * MIB, 32 * MIB]),
    data=st.data(),
    apart=st.booleans(),
)
def test_every_range_that_is_added_is_read_whole_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, block_size: int, data: st.DataObject, apart: bool
) -> None:
    """Whatever ends where, adjacent or apart, and however it is cut into tasks."""
    place = st.one_of(near(4 * KIB), near(block_size))
    edges = sorted(set(data.draw(st.lists(place, min_size=2, max_size=12))))
    # Adjacent ranges have all edges in common.
    ranges = list(zip(edges[::2], edges[1::2], strict=False)) if apart else pairwise(edges)
    inside = st.one_of(place, st.sampled_from(edges), st.sampled_from(edges).map(lambda e: e - 1))
    marked = data.draw(st.lists(inside.filter(lambda at: 0 <= at < SIZE), max_size=6))
    path = tmp_path_factory.mktemp("ranges") / "disk.raw"
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at in marked:
            os.pwrite(file.fileno(), b"x", at)
    bits, done = zeros(-(-SIZE // block_size), endian="little"), []
    expected = set()
    with RawImage.open(path) as image:
        how = How(block_size, jobs=1, past_cache=False, keep_cache=True)
        with FullRead(image, bits, how, done.append) as reading:
            total = 0
            for start, stop in ranges:
                reading.add(start, stop)
                total += stop - start
                expected |= {at // block_size for at in marked if start <= at < stop}
            assert reading.size == total
            reading.finish()
    assert set(bits.search(1)) == expected
    assert sum(done) == total


@pytest.mark.parametrize("given_back", [False, True])
@pytest.mark.parametrize("gap", [1, 4 * KIB, MIB])
def test_ranges_that_are_apart_are_each_read_also_when_a_reader_gives_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap: int, given_back: bool
) -> None:
    """Several in one task, with data in the last of them; what lies between them is not read."""
    path, size = tmp_path / "disk.raw", 4 * KIB
    ranges = [(at, at + size) for at in range(0, 5 * (size + gap), size + gap)]
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at in (ranges[1][0], ranges[-1][1] - 1, *([ranges[2][1]] if gap > size else [])):
            os.pwrite(file.fileno(), b"x", at)
    if given_back:  # as if each had died at once
        monkeypatch.setattr(schedule, "READ_HERE", 0)
        monkeypatch.setattr(pool.Readers, "start", lambda readers, jobs: None)
    bits, done = zeros(SIZE // size, endian="little"), list[int]()
    with RawImage.open(path) as image:
        how = How(size, jobs=1, past_cache=False, keep_cache=True)
        with FullRead(image, bits, how, done.append) as reading:
            for start, stop in ranges:
                reading.add(start, stop)
            reading.finish()
    assert set(bits.search(1)) == {ranges[1][0] // size, (ranges[-1][1] - 1) // size}
    assert sum(done) == reading.size == 5 * size


def test_a_range_is_cut_at_multiples_and_keeps_its_ends() -> None:
    assert list(schedule.cut([(0, 8), (8, 12), (13, 13), (15, 17)], 4)) == [
        (0, 4), (4, 8), (8, 12), (15, 16), (16, 17),
    ]  # fmt: skip
    assert list(schedule.batched(range(30), 16, first=2)) == [
        [0, 1], list(range(2, 10)), list(range(10, 26)), list(range(26, 30)),
    ]  # fmt: skip


@loops
@pytest.mark.usefixtures("either_way")
def test_a_block_device_is_scanned(device: tuple[Path, Path]) -> None:
    with RawImage.open(device[0]) as image:
        found = scan(image)
    assert (image.size, found.block_map.allocated, found.block_map[16]) == (64 * MIB, 1, True)


@pytest.mark.slow
@loops
def test_a_device_is_imported_by_a_link_and_nothing_is_kept_in_dev(
    imsprep: Run, device: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, name = set(os.listdir("/dev")), device[0]
    order = (
        "--via",
        "raw",
        "--name",
        "a",
        "--type",
        "DataImage",
        "--min-disk",
        "40",
        "--to",
        "local:cloud",
    )
    for words in (("import", name, *order), ("upload", name, "--to", "local:cloud")):
        outcome = imsprep(*words)
        assert (outcome.code, f"ln -s {name} disk.raw" in outcome.err) == (2, True), outcome.err
    assert {n for n in os.listdir("/dev") if n.startswith(name.name)} <= before
    shell("ln", "-s", name, "disk.raw")
    outcome = imsprep("import", "disk.raw", *order, "--json")
    assert outcome.code == 0, outcome.err
    assert {"disk.mf", "disk.imsprep.json"} <= set(os.listdir(tmp_path))
    (made,) = (tmp_path / "cloud" / ".emulator" / "disks").iterdir()
    assert made.read_bytes() == device[1].read_bytes()


@loops
@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("block_size", [4 * KIB, 2 * MIB])
def test_a_device_that_fails_is_named_with_the_byte(
    device: tuple[Path, Path], block_size: int
) -> None:
    os.truncate(device[1], 40 * MIB)  # the kernel answers EIO for what is not there
    with (
        RawImage.open(device[0]) as image,
        pytest.raises(ReadError, match=r"byte 41943040 of /dev/loop\d+: Input/output error"),
    ):
        scan(image, ScanOptions(block_size=block_size))


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], tuple[Path, Path]]]:
    """Mount a new file system: returns the folder and its device."""
    folders: list[Path] = []

    def mount(kind: str) -> tuple[Path, Path]:
        if shutil.which(f"mkfs.{kind}") is None:
            pytest.skip(f"not installed: mkfs.{kind}")
        disk, folder = tmp_path / f"{kind}.img", tmp_path / kind
        folder.mkdir()
        with disk.open("wb") as file:
            file.truncate(400 * MIB)
        shell(f"mkfs.{kind}", "-q", disk)
        try:
            shell("mount", "-o", "loop", disk, folder)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"cannot mount {kind}: {error.stderr}")
        folders.append(folder)
        return folder, disk

    try:
        yield mount
    finally:
        for folder in folders:
            subprocess.run(["umount", folder], check=False)


@loops
def test_a_device_that_is_mounted_is_refused(
    imsprep: Run, mounted: Callable[[str], tuple[Path, Path]]
) -> None:
    folder, _ = mounted("ext4")
    name = shell("findmnt", "-no", "SOURCE", folder)
    outcome = imsprep("check", name)
    assert outcome.code == 3
    assert "it is mounted" in outcome.err


@loops
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_holes_are_believed_on_a_file_system_that_reports_them(
    mounted: Callable[[str], tuple[Path, Path]], kind: str
) -> None:
    folder, _ = mounted(kind)
    path = folder / "disk.raw"
    with path.open("wb") as file:
        file.truncate(40 * MIB)
        os.pwrite(file.fileno(), b"x" * MIB, 10 * MIB)
        os.pwrite(file.fileno(), bytes(MIB), 20 * MIB)
    with RawImage.open(path) as image:
        assert file_system(image.fileno()) == kind
        for holes in ("auto", "trust", "verify"):
            found = scan(image, ScanOptions(holes=holes))
            assert (found.block_map.allocated, found.block_map[5]) == (1, True)
            assert (found.coverage.holes > 0) == (holes != "verify")


@pytest.mark.slow
@loops
@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("keep_cache", [False, True])
def test_a_damaged_sector_of_a_file_is_named(
    mounted: Callable[[str], tuple[Path, Path]], keep_cache: bool
) -> None:
    """btrfs knows what it stored, so that a flipped byte on its disk is an I/O error of the file."""
    folder, disk = mounted("btrfs")
    path = folder / "disk.raw"
    content = bytearray(40 * MIB)
    content[20 * MIB - 4 * KIB : 20 * MIB] = b"here" * KIB
    path.write_bytes(content)
    shell("umount", folder)
    with disk.open("r+b") as raw, mmap.mmap(raw.fileno(), 0) as stored:
        # Two pages behind: the second of a block, so that the block's probe is in order.
        stored[stored.find(b"here" * KIB) + 8 * KIB] = 33
    shell("mount", "-o", "loop", disk, folder)
    with RawImage.open(path) as image, pytest.raises(ReadError, match="Input/output error") as got:
        scan(image, ScanOptions(keep_cache=keep_cache))
    offset = int(str(got.value).split()[3])
    assert 20 * MIB <= offset <= 20 * MIB + 4 * KIB


def test_an_io_error_of_a_probe_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(8 * MIB))
    read = os.pread

    def fail(file: int, length: int, offset: int) -> bytes:
        if offset == 4 * MIB:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(file, length, offset)

    monkeypatch.setattr(os, "pread", fail)
    monkeypatch.delattr(os, "RWF_NOWAIT")
    with RawImage.open(path) as image, pytest.raises(ReadError, match="byte 4194304 of"):
        scan(image)


NAMES = ["disk\n.raw", os.fsdecode(b"disk\xff\xfe.raw"), "-disk.raw", "дı∫k 🖴.raw", "a" * 250]


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_name_is_no_hindrance(imsprep: Run, tmp_path: Path, name: str) -> None:
    try:
        (tmp_path / name).write_bytes(b"x" + bytes(8191))
    except OSError:
        pytest.skip("this file system cannot hold such a name")
    outcome = imsprep("check", "--scan", "--json", tmp_path / name)
    assert outcome.json["images"][0]["facts"]["coverage"] == {
        "holes": 0,
        "probed": 8192,
        "read": 0,
    }


def test_an_error_of_an_odd_name_is_one_line(imsprep: Run, tmp_path: Path) -> None:
    outcome = imsprep("check", tmp_path / "no\nsuch\xff.raw")
    assert (outcome.code, outcome.err.count("\n")) == (3, 1)


def test_stdin_is_refused(imsprep: Run) -> None:
    outcome = imsprep("bitmap", "-")
    assert outcome.code == 3
    assert "stdin" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("change", ["shrinks", "grows", "vanishes"])
def test_an_image_that_changes_leaves_no_bitmap(
    imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(100 * MIB))
    finish = schedule.FullRead.finish

    def change_and_finish(self: schedule.FullRead) -> None:
        if change == "vanishes":
            path.unlink()
        else:
            os.truncate(path, 4096 if change == "shrinks" else 101 * MIB)
        finish(self)

    monkeypatch.setattr(schedule.FullRead, "finish", change_and_finish)
    outcome = imsprep("bitmap", path)
    assert outcome.code == 4
    assert outcome.err.count("\n") == 1
    assert {p.name for p in tmp_path.iterdir()} <= {"disk.raw"}


@pytest.mark.parametrize(("age_s", "waits"), [(0.001, True), (5.0, False), (-60.0, False)])
def test_a_file_that_was_just_written_is_opened_a_tick_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_s: float, waits: bool
) -> None:
    """File times are coarse: of two writes within one tick, the second would not be seen."""
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x")
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "time", lambda: path.stat().st_ctime + age_s)
    with RawImage.open(path):
        assert bool(slept) == waits
