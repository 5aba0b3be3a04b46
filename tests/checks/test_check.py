"""Many images under one policy: in order, each by itself, and folders for the images in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.checks.check import CheckTask, check_one, expand, preflight
from imsprep.checks.policy import Policy
from imsprep.checks.reporters import Failure
from imsprep.errors import ReadError, UsageError
from imsprep.report import Report
from imsprep.store.bucket import BucketFacts


def made(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 4096)
    return paths


def test_a_folder_stands_for_the_images_directly_in_it(tmp_path: Path) -> None:
    first, second, *_ = made(tmp_path, "a.raw", "b.QCOW2", ".hidden.raw", "notes.txt", "sub/c.raw")
    assert expand([tmp_path]) == [first, second]
    assert expand([first, tmp_path]) == [first, second], "nothing is named twice"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert expand([empty]) == [empty], "that it has none is said of it"


def test_a_pattern_that_no_shell_replaced_stands_for_files(tmp_path: Path) -> None:
    first, second = made(tmp_path, "a1.raw", "a2.raw")
    assert expand([tmp_path / "a*.raw"]) == [first, second]
    assert expand([tmp_path / "b*.raw"]) == [tmp_path / "b*.raw"]
    (odd,) = made(tmp_path, "[a].raw")
    assert expand([odd]) == [odd], "a file of just this name"


def test_results_come_in_order_and_one_that_fails_stops_none(tmp_path: Path) -> None:
    first, last = made(tmp_path, "1.raw", "3.raw")
    gone, done = tmp_path / "2.raw", list[int]()
    run = preflight([first, gone, last], CheckTask(), jobs=3, progress=done.append)
    assert [type(result) for result in run.results] == [Report, Failure, Report]
    assert [Path(result.image).name for result in run.results] == ["1.raw", "2.raw", "3.raw"]
    failure = run.results[1]
    assert isinstance(failure, Failure)
    assert failure.kind == "ReadError"


def test_reproducible_results_name_no_folder(tmp_path: Path) -> None:
    (image,) = made(tmp_path, "1.raw")
    task = CheckTask(reproducible=True)
    run = preflight([image, tmp_path / "gone.raw"], task)
    assert [result.image for result in run.results] == ["1.raw", "gone.raw"]
    assert str(tmp_path) not in str(run.results)


def test_an_unknown_rule_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="IMS000"):
        preflight([tmp_path / "gone.raw"], CheckTask(policy=Policy(select=("IMS000",))))


def test_a_bucket_is_asked_for_the_object_that_an_import_makes(tmp_path: Path) -> None:
    asked: list[str] = []

    def online(name: str) -> BucketFacts:
        asked.append(name)
        return BucketFacts("images", name)

    (raw,) = made(tmp_path, "disk.raw")
    check_one(raw, CheckTask(online=online), lambda count: None)
    assert asked == ["disk.zvhd2"], "a RAW disk without a bitmap is packed"
    with pytest.raises(ReadError):
        check_one(tmp_path / "gone.raw", CheckTask(), lambda count: None)
