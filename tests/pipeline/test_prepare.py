"""Prepare: an image becomes a plan of objects, and nothing of it is sent."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imsprep.bitmap.layout import DEFAULT_LAYOUT
from imsprep.errors import FindingsError, ImageChangedError, ReadError
from imsprep.image.identity import Identity
from imsprep.options import ImportOptions
from imsprep.pipeline.container.kept import ContainerSidecar
from imsprep.pipeline.import_task import task_of
from imsprep.pipeline.prepare import prepare
from imsprep.pipeline.values import ImportTask, Prepared
from imsprep.system import lease
from imsprep.units import GIB, MIB
from imsprep.upload.plan import SCAN_BLOCK
from imsprep.zvhd2.reader import Zvhd2Reader
from imsprep.zvhd2.source import OpenImage
from tests.support.image.raw_disk import write_disk
from tests.support.image.treedigest import tree_digest
from tests.support.zvhd2.files import of_disk

BLOCK = 2 * MIB
HEAD = b"\xeb" + bytes(509) + b"\x55\xaa"
SIZE = 5 * BLOCK + 512
Task = Callable[..., ImportTask]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk with data in its first and its fourth block."""
    return write_disk(tmp_path / "disk.raw", SIZE, [(0, HEAD), (3 * BLOCK + 5, b"data")])


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Make the task of an import of a data disk into a folder, which asks nobody."""

    def make(*, dry_run: bool = False, **options: Any) -> ImportTask:
        values = {"to": f"local:{tmp_path}/cloud", "name": "a", "type": "DataImage", "min_disk": 40}
        made = task_of(ImportOptions(**{**values, **options}), dry_run=dry_run)
        return replace(made, ask_bucket=None)

    return make


def prepared(path: Path, task: ImportTask) -> Prepared:
    with OpenImage.open(path) as image:
        return prepare(image, task)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_raw_disk_is_sent_with_the_bitmap_that_is_made_of_it(disk: Path, task: Task) -> None:
    scanned: list[int] = []
    made = prepared(disk, replace(task(via="raw"), progress=scanned.append))
    image, bitmap = made.artefacts
    mf = disk.with_suffix(".mf")
    assert (image.role, image.path, image.key, image.identity) == (
        "image", disk, "disk.raw", Identity.of(disk),
    )  # fmt: skip
    assert (bitmap.role, bitmap.path, bitmap.key, bitmap.identity) == (
        "bitmap", mf, "disk.mf", Identity.of(mf),
    )  # fmt: skip
    assert mf.read_bytes() == b"\x09"
    assert (made.size, made.data_bytes, made.layout) == (SIZE, 2 * SCAN_BLOCK, DEFAULT_LAYOUT)
    assert sum(scanned) == SIZE
    assert image.plan.size == SIZE
    assert not made.estimated


def test_a_disk_is_packed_while_it_is_sent(disk: Path, task: Task, tmp_path: Path) -> None:
    before = files(tmp_path)
    made = prepared(disk, task())
    (container,) = made.artefacts
    assert (container.role, container.path, container.key) == ("container", disk, "disk.zvhd2")
    assert container.streaming is not None
    assert made.estimated
    assert (made.size, made.data_bytes) == (GIB, 2 * BLOCK)
    assert made.comparison is not None
    assert made.comparison.reason.startswith("raw is not taken")
    assert [one.name for one in made.comparison.formats] == ["zvhd2"]
    assert files(tmp_path) == before


@pytest.mark.parametrize("kept", [False, True])
def test_a_dry_run_makes_no_container_and_prices_both_formats(
    disk: Path, task: Task, tmp_path: Path, kept: bool
) -> None:
    before = files(tmp_path)
    made = prepared(disk, task(dry_run=True, **({"work_dir": tmp_path} if kept else {})))
    (container,) = made.artefacts
    assert (container.estimated, container.streaming) == (True, None)
    assert container.path == (tmp_path / "disk.zvhd2" if kept else disk)
    assert made.comparison is not None
    assert [one.name for one in made.comparison.formats] == ["raw", "zvhd2"]
    assert files(tmp_path) == before


def test_a_container_that_is_kept_is_made_once(disk: Path, task: Task, tmp_path: Path) -> None:
    news: list[str] = []
    keeping = replace(task(keep_container=tmp_path / "k.zvhd2"), log=news.append)
    first, second = prepared(disk, keeping), prepared(disk, keeping)
    place = tmp_path / "k.zvhd2"
    assert news == [f"{place} was made", f"{place} is of this state of the image: used again"]
    (container,) = first.artefacts
    assert (container.path, container.key, container.estimated) == (place, "k.zvhd2", False)
    assert container.identity == Identity.of(place)
    assert (first.image, first.identity) == (disk, Identity.of(disk))
    assert first.artefacts == second.artefacts
    with Zvhd2Reader.open(place) as reader:
        assert reader.read(SIZE) == disk.read_bytes()
    sidecar = ContainerSidecar.read(place)
    assert sidecar is not None
    assert first.digest == sidecar.digest == tree_digest(disk.read_bytes())


def test_a_zvhd2_is_sent_as_it_is_when_all_of_it_unpacks(tmp_path: Path, task: Task) -> None:
    path, news = tmp_path / "made.zvhd2", list[str]()
    content = (HEAD + bytes(BLOCK)).ljust(2 * BLOCK, b"\0")
    path.write_bytes(of_disk(content))
    made = prepared(path, replace(task(), log=news.append))
    (container,) = made.artefacts
    assert (container.role, container.path, container.key) == ("container", path, "made.zvhd2")
    assert news == [f"verifying {path}: every block is unpacked"]
    assert made.digest == tree_digest(content)
    assert (made.size, made.data_bytes) == (GIB, BLOCK)
    damaged = bytearray(path.read_bytes())
    damaged[4096 + 48 + 9] ^= 0xFF  # in the first payload
    path.write_bytes(damaged)
    with pytest.raises(FindingsError) as told:
        prepared(path, task())
    assert "IMS312" in str(told.value)


def test_findings_stop_it_before_the_scan(disk: Path, task: Task, tmp_path: Path) -> None:
    scanned: list[int] = []
    asked = replace(task(name=" a", via="raw"), progress=scanned.append)
    with pytest.raises(FindingsError, match="is stopped by 1 finding") as told:
        prepared(disk, asked)
    assert told.value.report is not None
    assert (scanned, files(tmp_path)) == ([], {"disk.raw"})
    made = prepared(disk, replace(asked, fail_on=None))
    assert len(made.artefacts) == 2


@pytest.mark.parametrize(("claim", "stops"), [(b"\x09", False), (b"\x3f", False), (b"\x01", True)])
def test_a_bitmap_that_calls_data_empty_stops_it(
    disk: Path, task: Task, tmp_path: Path, claim: bytes, stops: bool
) -> None:
    bitmap = tmp_path / "theirs.mf"
    bitmap.write_bytes(claim)
    asked = task(bitmap=bitmap, layout=DEFAULT_LAYOUT)
    if stops:
        with pytest.raises(FindingsError, match="IMS404"):
            prepared(disk, asked)
        return
    made = prepared(disk, asked)
    assert (made.artefacts[1].path, made.artefacts[1].key) == (bitmap, "disk.mf")
    assert bitmap.read_bytes() == claim


def test_an_image_that_changes_meanwhile_is_refused(disk: Path, task: Task) -> None:
    def change(count: int) -> None:
        os.utime(disk, (0, 0))

    with pytest.raises(ImageChangedError):
        prepared(disk, replace(task(via="raw"), progress=change))


@pytest.mark.slow
def test_an_image_that_another_program_writes_is_refused_or_noted(disk: Path, task: Task) -> None:
    with disk.open("rb") as file:
        if lease.writers(file.fileno()).state != lease.NONE:
            pytest.skip("the temporary folder lies on a file system that does not tell")
    with disk.open("r+b"):
        with pytest.raises(ReadError, match="is open for writing"):
            prepared(disk, task())
        assert prepared(disk, task(force_share=True)).sharing is not None


def test_it_takes_the_time_of_its_clock_and_hands_on_the_bucket(disk: Path, task: Task) -> None:
    ticks = itertools.count(100)
    asked = replace(task(), clock=lambda: float(next(ticks)))
    made = prepared(disk, asked)
    assert made.seconds == next(ticks) - 101
    assert made.open_store is asked.open_store
