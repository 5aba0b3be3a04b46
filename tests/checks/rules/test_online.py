from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from imsprep.checks import registry
from imsprep.checks.facts import Facts
from imsprep.errors import ServiceError, TransferError
from imsprep.ims.listed import CloudImage
from imsprep.ims.region import RegionFacts, look_at_region
from imsprep.ims.request import RequestFields
from imsprep.report import Severity
from imsprep.store.bucket import BucketFacts, BucketQuestion, look_at_bucket
from imsprep.store.contract import BucketHead, ObjectFacts, Upload
from imsprep.store.directory import DirectoryStore
from imsprep.store.obs import open_obs
from tests.support.ims.imscloud import KEY, cloud
from tests.support.running import Outcome
from tests.support.store import s3cloud

THERE = ObjectFacts("disk.raw", 100, "e", "STANDARD", None, {})
GOOD = BucketFacts("images", "disk.raw", object=THERE, region="eu-de", asked_region="eu-de")
BAD = {
    "IMS701": BucketFacts("images", "disk.raw", refusal="403"),
    "IMS702": BucketFacts("images", "disk.raw", storage_class="WARM"),
    "IMS703": BucketFacts("images", "disk.raw", object=THERE._replace(storage_class="COLD")),
    "IMS704": BucketFacts("images", "disk.raw", object=THERE._replace(size=99)),
    "IMS705": BucketFacts("images", "disk.raw", unfinished=2),
    "IMS706": BucketFacts("my.images", "disk.raw"),
    "IMS709": BucketFacts("images", "disk.raw", may_write=False, write_refusal="403"),
    "IMS710": BucketFacts("images", "disk.raw", region="eu-nl", asked_region="eu-de"),
}
REGION = RegionFacts((49, 50), ("Ubuntu 22.04 server 64bit", "CentOS 7.6 64bit"))


def fired(cloud: Any, **more: Any) -> set[str]:
    report = registry.run(Facts(name="disk.raw", file_size=100, bucket=cloud, **more))
    return {f.rule for f in report.findings if f.rule.startswith("IMS7")}


@pytest.mark.parametrize("rule", BAD)
def test_a_rule_fires_where_it_should_and_only_there(rule: str) -> None:
    assert fired(BAD[rule]) == {rule}


def test_a_good_bucket_passes_everything() -> None:
    assert fired(GOOD) == set()


def test_a_bucket_that_was_not_asked_passes_nothing() -> None:
    report = registry.run(Facts(name="disk.raw", file_size=100))
    assert {s.rule for s in report.skipped} >= set(BAD)


@pytest.mark.parametrize(
    ("region", "os_version", "rules"),
    [
        (REGION, "Ubuntu 22.04 server 64bit", set()),
        (REGION, "Ubuntu 22.04 Server 64bit", {"IMS708"}),
        (REGION, None, set()),
    ],
)
def test_a_region_is_judged(region: Any, os_version: str | None, rules: set[str]) -> None:
    assert fired(GOOD, region=region, request=RequestFields(os_version=os_version)) == rules


@pytest.mark.parametrize(("size", "rules"), [(99, {"IMS704"}), (100, set()), (101, {"IMS704"})])
def test_an_object_of_any_other_size_is_told(size: int, rules: set[str]) -> None:
    found = dataclasses.replace(GOOD, object=THERE._replace(size=size))
    assert fired(found) == rules


def test_the_region_s_list_does_not_bind_a_data_disk() -> None:
    request = RequestFields(type="DataImage", os_version="none of the list")
    assert fired(GOOD, region=REGION, request=request) == set()
    system = RequestFields(os_version="none of the list")
    assert fired(GOOD, region=REGION, request=system) == {"IMS708"}


def test_a_full_account_takes_no_image() -> None:
    assert fired(GOOD, region=RegionFacts((50, 50))) == {"IMS707"}
    assert fired(GOOD, region=RegionFacts((49, 50))) == set()


def test_a_region_that_does_not_answer_passes_nothing() -> None:
    class Silent:
        def images(self, name: str, tag: str | None = None, *, limit_s: float) -> list[CloudImage]:
            raise ServiceError("401 who are you?")

        def image_quota(self, *, limit_s: float) -> tuple[int, int] | None:
            raise ServiceError("403 no rights")

        def os_versions(self, *, limit_s: float) -> list[str]:
            raise TransferError("timed out")

    region = look_at_region(Silent())
    request = RequestFields(os_version="x")
    report = registry.run(Facts(name="d.raw", file_size=1, region=region, request=request))
    said = {s.rule: s.reason for s in report.skipped}
    assert (said["IMS707"], said["IMS708"]) == ("403 no rights", "timed out")
    (finding,) = [f for f in report.findings if f.rule == "IMS711"]
    assert "401 who are you?" in finding.message


def test_a_name_that_is_in_use_is_a_warning() -> None:
    image = CloudImage("i-1", "web01", "active", None)
    region = dataclasses.replace(REGION, images=(image,))
    assert fired(GOOD, region=region, request=RequestFields(name=image.name)) == {"IMS712"}
    assert fired(GOOD, region=region) == set()


def test_a_name_of_an_image_that_may_be_used_again_is_a_note() -> None:
    image = CloudImage("i-1", "web01", "active", None)
    region = dataclasses.replace(REGION, images=(image,), ours=("i-1",))
    request = RequestFields(name=image.name)
    report = registry.run(Facts(name="d.raw", file_size=1, region=region, request=request))
    (finding,) = report.of("IMS712")
    assert (finding.severity, "second image" in (finding.fix or "")) == (Severity.NOTE, True)


def test_a_bucket_that_may_not_be_written_to_is_told_and_left_as_it_was(tmp_path: Path) -> None:
    class Closed(DirectoryStore):
        def create(self, key: str, metadata: Mapping[str, str]) -> str:
            raise ServiceError("403 AccessDenied")

    (tmp_path / "b").mkdir()
    assert (
        look_at_bucket(Closed(tmp_path / "b"), BucketQuestion("b", "k", try_write=True)).may_write
        is False
    )
    store = DirectoryStore(tmp_path / "b")
    assert look_at_bucket(store, BucketQuestion("b", "k", try_write=True)).may_write is True
    assert list(store.list_uploads()) == list(store.list_objects()) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"region": None}, "does not say"),
        ({"region": "China"}, "'China', which is not the name"),
        ({"asked_region": None}, "no region was given"),
    ],
)
def test_a_region_that_is_not_told_is_skipped(changes: dict[str, Any], reason: str) -> None:
    report = registry.run(Facts("disk.raw", 100, bucket=dataclasses.replace(GOOD, **changes)))
    (skipped,) = [s for s in report.skipped if s.rule == "IMS710"]
    assert reason in skipped.reason


@pytest.mark.slow
def test_check_asks_bucket_and_region_over_http(
    imsprep: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", KEY.access_key)
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", KEY.secret_key)
    image = tmp_path / "disk.raw"
    image.write_bytes(b"x" * 1024)
    with (
        s3cloud.localhost_resolves(),
        s3cloud.serve() as (strict, obs),
        cloud(tmp_path / "ims", image_quota=0) as (_, ims, _objects),
    ):
        bucket: Any = open_obs("images", endpoint=obs, region="us-east-1", credentials=KEY)
        bucket.client.create_bucket(Bucket="images")
        strict.reset()
        strict.bucket_says = {"x-obs-bucket-location": "us-east-1"}
        where = ("--region", "us-east-1", "--obs-endpoint", obs, "--endpoint", ims)
        done = imsprep(
            "check", image, "--select", "IMS7", "--json", "--online", "obs:images", *where,
            "--os-version", "Ubuntu 1.04", "--site", "otc",
        )  # fmt: skip
        asked = {method for method, _, _ in strict.log}
    (report,) = done.json["images"]
    assert done.code == 1, done.err
    assert {"IMS707", "IMS708"} <= {f["rule"] for f in report["findings"]}
    assert {"IMS701", "IMS702", "IMS709", "IMS710"} <= set(report["passed"])
    assert "PUT" not in asked  # nothing but an upload that was begun (POST) and ended
    assert {"POST", "DELETE"} <= asked


def test_a_bucket_is_looked_at(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.create("disk.raw", {})
    store.put("disk.raw", b"12345")
    found = look_at_bucket(store, BucketQuestion("images", "disk.raw"))
    assert (found.unfinished, found.storage_class) == (1, "STANDARD")
    assert found.object is not None
    assert found.object.size == 5


def test_a_list_of_uploads_that_is_refused_is_missing_and_stops_nothing(tmp_path: Path) -> None:
    class Refusing(DirectoryStore):
        def list_uploads(self, prefix: str = "") -> list[Upload]:
            raise ServiceError("501 NotImplemented")

    found = look_at_bucket(Refusing(tmp_path), BucketQuestion("b", "disk.raw"), strict=True)
    report = registry.run(Facts(name="d.raw", file_size=1, bucket=found))
    assert (found.refusal, found.unfinished) == (None, None)
    assert {s.rule: s.reason for s in report.skipped}["IMS705"] == "501 NotImplemented"
    assert not {"IMS701", "IMS705"} & {f.rule for f in report.findings}


def test_a_refusal_is_a_fact() -> None:
    class Refusing:
        def head_bucket(self) -> BucketHead:
            raise ServiceError("403 AccessDenied")

    assert look_at_bucket(Refusing(), BucketQuestion("b", "k")).refusal == "403 AccessDenied"


def test_check_asks_the_bucket_and_writes_nothing(
    imsprep: Callable[..., Outcome], tmp_path: Path
) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(b"x" * 1024)
    imsprep("check", image, "--online", f"local:{tmp_path}/cloud", "--select", "IMS7")
    assert not (tmp_path / "cloud").exists()
    # An import sends a ZVHD2 of it.
    DirectoryStore(tmp_path / "cloud/images").create("disk.zvhd2", {})
    shown = imsprep("check", image, "--online", f"local:{tmp_path}/cloud", "--select", "IMS7")
    assert "IMS705" in shown.out
