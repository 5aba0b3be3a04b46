"""Bench: rates of files made for it, and what an image will take; a clock of the test's own."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imsprep.errors import ReadError
from imsprep.image.file import RawImage
from imsprep.options import BenchOptions, EstimateOptions, ScanOptions
from imsprep.scan import bench, estimate
from imsprep.scan.scan import scan
from imsprep.units import GIB, KIB, MIB, TIB
from tests.support.running import Outcome

Run = Callable[..., Outcome]


def ticking() -> Callable[[], float]:
    """A clock that is a second later whenever it is asked."""
    numbers = itertools.count()
    return lambda: float(next(numbers))


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every file forgotten when asked to, whatever file system is under the tests."""
    monkeypatch.setattr("imsprep.scan.bench.make_cold", lambda image, ranges: True)
    monkeypatch.setattr("imsprep.scan.estimate.make_cold", lambda image, ranges: True)


def make_image(path: Path, size: int, data: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for place, content in data.items():
            os.pwrite(file.fileno(), content, place)
    return path


@pytest.mark.usefixtures("cold")
def test_every_kind_is_measured_cold_and_cached_and_nothing_is_left(tmp_path: Path) -> None:
    size = 16 * MIB
    made = bench.bench(tmp_path, BenchOptions(size=size, runs=2), ticking())
    assert [(one.what, one.cache) for one in made.rates] == [
        ("disk", "cold"),
        ("hole", "any"),
        *((kind, cache) for kind in ("zeros", "random", "mixed") for cache in ("cold", "cached")),
    ]
    assert {one.bytes_per_s for one in made.rates} == {(size, size, size)}
    assert (made.missing, list(tmp_path.iterdir())) == ((), [])


def test_a_file_holds_what_its_kind_says(tmp_path: Path) -> None:
    size = 64 * MIB
    expected = {"hole": [0, 0], "zeros": [0, 0], "random": [32, 32], "mixed": [16, 16]}
    for kind, (data, by_a_page) in expected.items():
        with bench._scratch(tmp_path) as path:
            bench._fill(path, kind, size, lambda count: None)
            assert list(tmp_path.iterdir()) == [], "it has no name while it is used"
            with RawImage.open(path) as image:
                found = scan(image, ScanOptions(holes="trust", force_share=True))
                assert found.block_map.allocated == data, kind
                assert found.coverage.holes == (size if kind == "hole" else 0)
                assert found.coverage.probed == by_a_page * 2 * MIB


def test_a_file_is_removed_where_it_must_keep_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.scan.bench.Path.exists", lambda path: False)  # no /proc
    with bench._scratch(tmp_path) as path:
        assert [path] == list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_measured_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imsprep.scan.bench.make_cold", lambda image, ranges: False)
    monkeypatch.setattr("imsprep.scan.bench.make_cached", lambda image, ranges, progress: False)
    made = bench.bench(tmp_path, BenchOptions(size=MIB, runs=1), ticking())
    assert [(one.what, one.cache) for one in made.rates] == [("hole", "any")]
    assert len([line for line in made.missing if line.startswith("cold: not measured")]) == 1
    assert "mixed, cached: not measured" in str(made)


def test_no_room_and_no_folder_are_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"too little room in .*use smaller files"):
        bench.bench(tmp_path, BenchOptions(size=1 << 60), ticking())
    with pytest.raises(ReadError, match=r"cannot measure in .*No such file"):
        bench.bench(tmp_path / "none", BenchOptions(size=MIB), ticking())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_file(tmp_path: Path, number: int, code: int) -> None:
    words = [sys.executable, "-m", "imsprep", "bench", "--synthetic", "--size", "64m"]
    run = subprocess.Popen(
        [*words, "--runs", "100", "--dir", tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    files = Path(f"/proc/{run.pid}/fd")
    while not any(str(tmp_path) in name for name in names_of(files)):
        assert run.poll() is None
    run.send_signal(number)
    run.communicate(timeout=60)
    assert run.returncode == code
    assert list(tmp_path.iterdir()) == []


def names_of(files: Path) -> Iterator[str]:
    """The names of a process's open files; one that was closed meanwhile has none."""
    for file in files.iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(file)


@pytest.mark.usefixtures("cold")
def test_a_small_image_is_measured_as_a_whole(tmp_path: Path) -> None:
    image = make_image(
        tmp_path / "disk.raw", GIB, {0: b"x" * 4096, 64 * MIB: bytes(16 * MIB), 512 * MIB: b"x" * 512}
    )  # fmt: skip
    before = image.stat()
    made = estimate.estimate(
        image, EstimateOptions(runs=2, bandwidth=MIB, holes="trust"), ticking()
    )
    assert (made.size, made.extents) == (GIB, 3)
    assert made.sampled == made.stored
    assert made.scan_s == (2, 2, 2), "a second for the list of extents, one for the scan"
    assert made.data_bytes == (4 * MIB,) * 3
    assert made.upload_s == (4, 4, 4)
    assert made.disk_bytes_per_s == (16 * MIB,) * 3
    after = image.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


@pytest.mark.usefixtures("cold")
def test_a_sample_stands_for_all_that_is_stored(tmp_path: Path) -> None:
    extents = 4096
    image = make_image(tmp_path / "disk.raw", TIB, {})
    with image.open("r+b") as file:
        for number in range(extents):
            content = b"x" if number % 4 == 0 else b"\0"
            os.pwrite(file.fileno(), content * 4 * KIB, number * (TIB // extents))
    made = estimate.estimate(image, EstimateOptions(runs=3, holes="trust"), ticking())
    assert made.extents == extents
    assert made.sampled == 32 * 4 * KIB, "8 windows of 4 blocks take a second by this clock"
    assert made.scan_s == (1 + extents / 32,) * 3
    assert made.data_bytes == (extents // 4 * 2 * MIB,) * 3
    assert made.probed == pytest.approx(0.25)


@pytest.mark.usefixtures("cold")
def test_windows_are_added_until_they_take_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(tmp_path / "disk.raw", 512 * MIB, {at * 2 * MIB: b"x" for at in range(256)})
    monkeypatch.setattr(
        "imsprep.scan.estimate._ENOUGH_S", 1.5
    )  # seconds; the clock gives 1 for each
    made = estimate.estimate(image, EstimateOptions(runs=3, holes="trust"), ticking())
    assert made.sampled == made.stored


def test_an_image_of_holes_takes_no_sample(tmp_path: Path, imsprep: Run) -> None:
    image = make_image(tmp_path / "disk.raw", TIB, {})
    said = imsprep("bench", image, "--bandwidth", "1m", "--holes", "trust", "--json").json
    assert (said["size"], said["stored"], said["sampled"], said["extents"]) == (TIB, 0, 0, 0)
    assert said["upload_s"] == said["data_bytes"] == {"min": 0, "median": 0, "max": 0}
    assert said["disk_bytes_per_s"] is None


def test_holes_that_are_not_believed_are_sampled_too(tmp_path: Path, imsprep: Run) -> None:
    image = make_image(tmp_path / "disk.raw", 64 * MIB, {0: b"x"})
    said = imsprep("bench", image, "--holes", "verify", "--runs", 1, "--json").json
    assert (said["stored"], said["extents"], said["sampled"]) == (64 * MIB, 1, 64 * MIB)
    assert said["data_bytes"]["median"] == pytest.approx(2 * MIB, rel=1e-3)


def test_the_table_names_the_folder_and_every_rate(tmp_path: Path, imsprep: Run) -> None:
    done = imsprep("bench", "--synthetic", "--size", "1m", "--runs", 1, "--dir", tmp_path)
    assert done.code == 0
    assert done.out.startswith("1 MiB (1048576 bytes) of each kind in ")
    rows = [line.split("  ")[0] for line in done.out.splitlines() if "B/s" in line]
    assert {"scan of hole", "scan of zeros, cached", "scan of mixed, cached"} <= set(rows)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "name an IMAGE to estimate, or give --synthetic"),
        (("disk.raw", "--synthetic"), 2, "not both"),
        (("disk.raw", "--size", "1g"), 2, "--dir and --size are for --synthetic"),
        (("--synthetic", "--bandwidth", "1m"), 2, "--bandwidth is for an IMAGE"),
        (("--synthetic", "--size", "1k"), 2, "is too small"),
        (("none.raw",), 3, "cannot read none.raw: No such file"),
        (("empty.raw",), 1, "empty.raw is empty"),
        (("disk.qcow2",), 1, "disk.qcow2 is qcow2"),
    ],
)
def test_what_cannot_be_done_is_said(
    imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], code: int, words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("empty.raw").touch()
    Path("disk.qcow2").write_bytes(b"QFI\xfb" + bytes(64 * KIB))
    done = imsprep("bench", *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
