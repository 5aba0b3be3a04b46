"""Jobs and images of the emulator: what a job holds an image to, and what outlives a process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from huaweicloudsdkims.v2 import (
    ListImagesRequest,
    ShowJobProgressRequest,
)

from imsprep.emulator.faults import Faults, parse
from imsprep.emulator.jobs import check_fit
from imsprep.emulator.materialise import accept
from imsprep.emulator.validate import RefusedError
from imsprep.errors import ReadError
from imsprep.image.formats import MAX_SIZE
from imsprep.units import GIB
from tests.support.emulator.imports import (
    BODY,
    ZVHD2_BODY,
    ended,
    import_by_sdk,
    outcome,
    sdk,
)
from tests.support.image.treedigest import tree_digest
from tests.support.ims.imscloud import Objects, cloud, raw_disk
from tests.support.zvhd2.files import build


def test_a_disk_larger_than_min_disk_fails_late(tmp_path: Path) -> None:
    class Huge(Objects):
        def head(self, key: str) -> Any:
            found = super().head(key)
            size = 11 << 30 if key == "disk.raw" else 704
            return found and found._replace(size=size)

    disk, bitmap = raw_disk()
    assert outcome(tmp_path, Huge(disk_raw=disk, disk_mf=bitmap)) == ("FAIL", "IMG.0111")


def test_min_disk_is_in_gib_and_a_disk_may_fill_it() -> None:
    check_fit({"min_disk": 10}, 10 * GIB)
    with pytest.raises(RefusedError, match=r"IMG\.0111"):
        check_fit({"min_disk": 10}, 10 * GIB + 512)


def test_an_object_may_have_the_largest_size_and_no_byte_more() -> None:
    class Sized(Objects):
        def head(self, key: str) -> Any:
            found = super().head(key)
            return found and found._replace(size=self.size if key == "disk.raw" else 704)

    objects = Sized(disk_raw=raw_disk()[0], disk_mf=raw_disk()[1])
    objects.size = MAX_SIZE
    assert accept(objects, "disk.raw").size == MAX_SIZE
    objects.size = MAX_SIZE + 1
    with pytest.raises(RefusedError, match=r"IMG\.0059"):
        accept(objects, "disk.raw")


def test_a_zvhd2_is_held_against_min_disk_by_its_virtual_size(tmp_path: Path) -> None:
    """Its file is a few kilobytes; 10 GiB and a sector are 11 GiB when they are unpacked."""
    data = build({0: b"data"}, 10 * GIB + 512).data
    with cloud(tmp_path, Objects(disk_zvhd2=data)) as (_, url, _):
        answer = ended(sdk(url), import_by_sdk(sdk(url), ZVHD2_BODY))
    assert (answer.status, answer.error_code) == ("FAIL", "IMG.0111")
    assert "11 GiB" in answer.fail_reason


def test_the_quota_of_images_is_kept(tmp_path: Path) -> None:
    disk, bitmap = raw_disk()
    objects = Objects(disk_raw=disk, disk_mf=bitmap)
    assert outcome(tmp_path, objects, image_quota=0) == ("refused", "IMG.0015")


def test_a_job_of_an_earlier_run_is_known_and_an_unfinished_one_is_begun_again(
    tmp_path: Path,
) -> None:
    with cloud(tmp_path, faults=Faults(slow_job_s=600)) as (_, url, objects):
        job_id = import_by_sdk(sdk(url), BODY)
        running = sdk(url).show_job_progress(ShowJobProgressRequest(job_id=job_id))
        assert running.status in ("INIT", "RUNNING")
    with cloud(tmp_path, objects) as (emulator, url, _):
        assert ended(sdk(url), job_id).status == "SUCCESS"
        assert emulator.board.images()[0].disk["digest"] == tree_digest(objects.objects["disk.raw"])
    with cloud(tmp_path, objects) as (_, url, _):
        assert ended(sdk(url), job_id).status == "SUCCESS"


def test_an_emulator_ends_at_once_and_leaves_no_half_disk(tmp_path: Path) -> None:
    class Endless(Objects):
        reads = 0

        def head(self, key: str) -> Any:
            found = super().head(key)
            return found and found._replace(size=(5 << 30) if key == "disk.raw" else 320)

        def read(self, key: str, offset: int, length: int) -> bytes:
            if key != "disk.raw":
                return bytes(length)
            self.reads += 1
            time.sleep(0.01)
            return bytes(length)

    objects = Endless(disk_raw=b"x", disk_mf=b"x")
    with cloud(tmp_path, objects) as (_, url, _):
        job_id = import_by_sdk(sdk(url), BODY)
        while not objects.reads:
            time.sleep(0.01)
    assert objects.reads < 640
    assert list((tmp_path / "disks").iterdir()) == []
    with cloud(tmp_path) as (_, url, _):
        assert ended(sdk(url), job_id).status == "SUCCESS"


def test_a_failed_import_leaves_no_image_for_the_next_emulator_either(tmp_path: Path) -> None:
    with cloud(tmp_path, faults=parse(["fail-job=IMG.0111"])) as (emulator, url, objects):
        assert ended(sdk(url), import_by_sdk(sdk(url), BODY)).status == "FAIL"
        assert emulator.board.images() == []
    with cloud(tmp_path, objects) as (emulator, url, _):
        assert emulator.board.images() == []
        assert sdk(url).list_images(ListImagesRequest()).images == []
    assert list((tmp_path / "disks").iterdir()) == []


def test_a_record_that_is_none_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "x.json").write_text("{")
    with pytest.raises(ReadError, match=r"x\.json is not a record"), cloud(tmp_path):
        pass
