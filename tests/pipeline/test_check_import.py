"""The check before an import: its upload format, its request, and whom it asks when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imsprep.bitmap.layout import BitmapLayout, Match
from imsprep.cloud.sites import SITES
from imsprep.errors import ReadError, UsageError
from imsprep.ims.region import RegionFacts
from imsprep.ims.request import RequestFields
from imsprep.options import DEFAULT_SITE, ImportOptions
from imsprep.pipeline.check_import import (
    Examined,
    bitmap_key,
    examine,
    missing_of,
    reason_for,
    why_not,
)
from imsprep.pipeline.import_task import task_of
from imsprep.pipeline.values import ImportTask
from imsprep.report import Finding, Report, Severity
from imsprep.store.bucket import BucketFacts
from imsprep.units import MIB
from imsprep.zvhd2.source import OpenImage
from tests.support.image.ova import OVF
from tests.support.image.raw_disk import write_disk
from tests.support.zvhd2.files import of_disk

CONTENT = b"\xeb" + bytes(509) + b"\x55\xaa"
LEARNED = BitmapLayout(2 * MIB, matched=(Match("0" * 64, 1, 1),))
Task = Callable[..., ImportTask]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return write_disk(tmp_path / "disk.raw", 4 * MIB, [(0, CONTENT)])


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Make the task of an import of a data disk into a folder, which asks nobody."""

    def make(**options: Any) -> ImportTask:
        values = {"to": f"local:{tmp_path}/cloud", "name": "a", "type": "DataImage", "min_disk": 40}
        return replace(task_of(ImportOptions(**{**values, **options})), ask_bucket=None)

    return make


def examined(path: Path, task: ImportTask) -> Examined:
    with OpenImage.open(path) as image:
        return examine(image, task)


def test_a_missing_file_is_named_before_what_its_request_lacks(tmp_path: Path) -> None:
    fields = RequestFields(name="web01")
    with pytest.raises(ReadError, match="No such file"):
        missing_of(tmp_path / "web.qcow2", fields, SITES[DEFAULT_SITE])


def test_an_import_has_its_key_request_and_report(disk: Path, task: Task, tmp_path: Path) -> None:
    found = examined(disk, task())
    assert (found.upload_format, found.key) == ("zvhd2", "disk.zvhd2")
    assert found.request.as_body()["image_url"] == "images:disk.zvhd2"
    assert (found.report.image, found.boot_mode) == (str(disk), None)
    assert found.facts.importing
    assert not (tmp_path / "cloud").exists(), "nothing is written"


@pytest.mark.parametrize(("options", "upload_format", "key", "reason"), [
    ({}, "zvhd2", "disk.zvhd2", "raw is not taken: it needs a bitmap that the vendor's tool made"),
    ({"via": "raw"}, "raw", "disk.raw", "raw is what was asked for"),
    ({"via": "zvhd2"}, "zvhd2", "disk.zvhd2", "zvhd2 is what was asked for"),
    ({"bitmap": "disk.mf"}, "raw", "disk.raw", "raw is taken for the bitmap that is given"),
    ({"layout": LEARNED}, "raw", "disk.raw", "raw is taken: the bitmap's layout was learned"),
    ({"layout": BitmapLayout(2 * MIB)}, "zvhd2", "disk.zvhd2", "raw is not taken"),
    ({"key": "web/d"}, "zvhd2", "web/d", "raw is not taken"),
    ({"keep_container": "kept.zvhd2"}, "zvhd2", "kept.zvhd2", "raw is not taken"),
])  # fmt: skip
def test_raw_is_taken_only_with_a_bitmap_that_is_proven(
    disk: Path, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any], upload_format: str, key: str, reason: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk.mf").write_bytes(b"\x03" if "bitmap" in options else b"")
    if "bitmap" not in options:
        (tmp_path / "disk.mf").unlink()
    asked = task(**options)
    found = examined(disk, asked)
    assert (found.upload_format, found.key) == (upload_format, key)
    assert reason_for(found.facts, asked).startswith(reason)


def test_a_container_goes_as_it_is(tmp_path: Path, task: Task) -> None:
    path = tmp_path / "made.zvhd2"
    path.write_bytes(of_disk(CONTENT + bytes(4 * MIB - 512)))
    found = examined(path, task())
    assert (found.upload_format, found.key) == ("raw", "made.zvhd2")


def test_the_bitmap_lies_beside_its_image_by_its_name() -> None:
    assert bitmap_key("web/disk.raw") == "web/disk.mf"
    assert bitmap_key("web.d/disk") == "web.d/disk.mf"


@pytest.mark.parametrize(("options", "said", "remedies"), [
    ({"name": None}, "the import needs name", ("name",)),
    ({"min_disk": None},
     "the import needs min_disk (10 to 1024 GB on huawei-intl, not less than the disk)",
     ("min_disk",)),
    ({"type": None, "name": None, "min_disk": None},
     "the import needs name, min_disk (10 to 1024 GB on huawei-intl, not less than the disk)"
     " and os_version", ("name", "min_disk", "os_version")),
    ({"image_url": "other:x"}, "image_url is other:x, but the object would be images:disk.zvhd2",
     ()),
    ({"via": "zvhd2", "bitmap": "disk.mf"}, "a bitmap belongs to a RAW image", ()),
])  # fmt: skip
def test_a_request_that_cannot_be_sent_is_refused_before_the_rules(
    disk: Path, task: Task, options: dict[str, Any], said: str, remedies: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as told:
        examined(disk, task(**options))
    assert str(told.value).startswith(said)
    assert told.value.remedies == remedies


def test_a_folder_takes_an_os_version_of_the_form_of_those_that_are_listed(
    disk: Path, task: Task
) -> None:
    odd: dict[str, Any] = {"type": None, "os_version": "Debian 10"}
    with pytest.raises(
        UsageError, match="os_version is 'Debian 10', which the service behind local: would refuse"
    ) as told:
        examined(disk, task(**odd))
    assert "Debian GNU/Linux 10" in str(told.value)
    for fine in (
        {**odd, "os_version": "Debian GNU/Linux 99.0.0 64bit"},
        {**odd, "endpoint": "http://127.0.0.1:9"},  # of an emulator that says so itself
        {"os_version": "Debian 10"},  # a data disk has none
    ):
        examined(disk, task(**fine))


def test_a_bitmap_that_is_named_and_missing_cannot_be_read(
    disk: Path, task: Task, tmp_path: Path
) -> None:
    with pytest.raises(ReadError, match="there is no bitmap"):
        examined(disk, task(bitmap=tmp_path / "none.mf"))


def test_a_bitmap_of_somebody_else_is_not_to_be_replaced(disk: Path, task: Task) -> None:
    disk.with_suffix(".mf").write_bytes(b"mine")
    with pytest.raises(UsageError, match="was not made by imsprep"):
        examined(disk, task(via="raw"))
    examined(disk, task(via="zvhd2"))


def test_a_bitmap_will_be_made_where_none_is_given(disk: Path, task: Task) -> None:
    bitmap = examined(disk, task(via="raw")).facts.bitmap
    assert bitmap is not None
    assert bitmap.to_be_made
    assert not disk.with_suffix(".mf").exists()


class Cloud:
    """Whom an import asks: what was asked, and what it says."""

    def __init__(self) -> None:
        self.keys: list[list[str]] = []
        self.names: list[str] = []

    def bucket(self, key: str, *, more_keys: list[str], origin: str) -> BucketFacts:
        self.keys.append([key, *more_keys])
        return BucketFacts("images", key)

    def region(self, name: str) -> RegionFacts:
        self.names.append(name)
        return RegionFacts(quota=(3, 3))


def with_cloud(task: ImportTask) -> tuple[ImportTask, Cloud]:
    cloud = Cloud()
    return replace(task, ask_bucket=cloud.bucket, ask_service=cloud.region), cloud


@pytest.mark.parametrize(("via", "keys"), [
    ("raw", ["disk.raw", "disk.mf"]), ("zvhd2", ["disk.zvhd2"]),
])  # fmt: skip
def test_bucket_and_service_are_asked_last(
    disk: Path, task: Task, via: str, keys: list[str]
) -> None:
    asked, cloud = with_cloud(task(via=via))
    found = examined(disk, asked)
    assert (cloud.keys, cloud.names) == ([keys], ["a"])
    assert found.facts.bucket == BucketFacts("images", keys[0])
    assert found.facts.region is not None
    assert "IMS707" in {one.rule for one in found.report.findings}, "the quota is used up"


def test_nobody_is_asked_of_an_import_that_stops_anyway(disk: Path, task: Task) -> None:
    asked, cloud = with_cloud(task(name=" a"))
    found = examined(disk, asked)
    assert found.report.fails(Severity.ERROR)
    assert (cloud.keys, cloud.names) == ([], [])
    examined(disk, replace(asked, fail_on=None))
    assert (len(cloud.keys), len(cloud.names)) == (1, 1)


def test_a_folder_that_cannot_be_written_is_told_at_once(disk: Path, task: Task) -> None:
    asked, cloud = with_cloud(task(to="local:/dev/null/x"))
    with pytest.raises(UsageError, match="cannot write to /dev/null/x"):
        examined(disk, asked)
    assert cloud.keys == []


def test_what_an_exported_machine_proposes_is_asked_for_and_said(
    tmp_path: Path, task: Task
) -> None:
    path, news = tmp_path / "web.ovf", list[str]()
    path.write_text(OVF.format(size1=4 * MIB, size2=4 * MIB, capacity=4 * MIB))
    for name in ("web-disk1.vmdk", "web-disk2.vmdk"):
        write_disk(tmp_path / name, 4 * MIB, [(0, CONTENT)])
    found = examined(path, replace(task(name=None), log=news.append))
    assert found.request.name == "web-server-01"
    assert "proposed from the descriptor: name web-server-01" in news


def test_each_finding_that_stops_an_import_is_a_line_with_its_fix() -> None:
    findings = (
        Finding("IMS109", Severity.ERROR, "size", "A title", "4095 bytes", fix="round it up"),
        Finding("IMS405", Severity.WARNING, "name", "A title", "a message"),
        Finding("IMS210", Severity.ERROR, "boot", "A title", "waived", waived="known"),
    )  # fmt: skip
    report = Report("a.raw", findings)
    assert why_not(report, Severity.ERROR).splitlines() == [
        "the import of a.raw is stopped by 1 finding:",
        "  IMS109 error: 4095 bytes; fix: round it up",
    ]
    assert len(why_not(report, Severity.WARNING).splitlines()) == 3
