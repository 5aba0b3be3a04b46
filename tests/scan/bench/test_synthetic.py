"""Bench: rates of files made for it, and what an image will take; a clock of the test's own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imsprep.errors import ReadError
from imsprep.image.file import RawImage
from imsprep.options import BenchOptions, ScanOptions
from imsprep.scan.bench import synthetic
from imsprep.scan.scan import scan
from imsprep.units import KIB, MIB
from tests.support.measured import ticking
from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.mark.slow
@pytest.mark.usefixtures("cold")
def test_every_kind_is_measured_cold_and_cached_and_nothing_is_left(tmp_path: Path) -> None:
    size = 16 * MIB
    made = synthetic.bench(tmp_path, BenchOptions(size=size, runs=2), ticking())
    assert [(one.what, one.cache) for one in made.rates] == [
        ("disk", "cold"),
        ("hole", "any"),
        *((kind, cache) for kind in ("zeros", "random", "mixed") for cache in ("cold", "cached")),
    ]
    assert {one.bytes_per_s for one in made.rates} == {(size, size, size)}
    assert (made.missing, list(tmp_path.iterdir())) == ((), [])


@pytest.mark.slow
def test_a_file_holds_what_its_kind_says(tmp_path: Path) -> None:
    size = 64 * MIB
    expected = {"hole": [0, 0], "zeros": [0, 0], "random": [32, 32], "mixed": [16, 16]}
    for kind, (data, by_a_page) in expected.items():
        with synthetic.scratch_file(tmp_path) as path:
            synthetic.fill(path, kind, size, lambda count: None)
            assert list(tmp_path.iterdir()) == [], "it has no name while it is used"
            with RawImage.open(path) as image:
                found = scan(image, ScanOptions(holes="trust", force_share=True))
                assert found.block_map.allocated == data, kind
                assert found.coverage.holes == (size if kind == "hole" else 0)
                assert found.coverage.probed == by_a_page * 2 * MIB


def test_a_file_is_removed_where_it_must_keep_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.scan.bench.synthetic.Path.exists", lambda path: False)  # no /proc
    with synthetic.scratch_file(tmp_path) as path:
        assert [path] == list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_cannot_be_measured_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imsprep.scan.bench.synthetic.make_cold", lambda image, ranges: False)
    monkeypatch.setattr(
        "imsprep.scan.bench.synthetic.make_cached", lambda image, ranges, progress: False
    )
    made = synthetic.bench(tmp_path, BenchOptions(size=MIB, runs=1), ticking())
    assert [(one.what, one.cache) for one in made.rates] == [("hole", "any")]
    assert len([line for line in made.missing if line.startswith("cold: not measured")]) == 1
    assert "mixed, cached: not measured" in str(made)


def test_no_room_and_no_folder_are_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"too little room in .*use smaller files"):
        synthetic.bench(tmp_path, BenchOptions(size=1 << 60), ticking())
    with pytest.raises(ReadError, match=r"cannot measure in .*No such file"):
        synthetic.bench(tmp_path / "none", BenchOptions(size=MIB), ticking())
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


@pytest.mark.slow
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
        (("disk.qcow2",), 2, "disk.qcow2 is qcow2"),
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
