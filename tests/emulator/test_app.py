"""The emulator: as strict as the documents, and Huawei's own SDK as its independent client."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions import exceptions
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkims.v2 import (
    GlanceDeleteImageRequest,
    ListImagesRequest,
    ListOsVersionsRequest,
    ShowImageQuotaRequest,
    ShowJobProgressRequest,
    ShowJobRequest,
)

from imsprep.cloud.sites import SITES, Site
from imsprep.emulator import validate
from imsprep.emulator.app import Settings
from imsprep.emulator.faults import Faults, parse
from imsprep.emulator.server import serving
from imsprep.errors import ServiceError, UsageError
from imsprep.ims.error_codes import CODES
from imsprep.store.obs import open_obs
from tests.support.emulator.imports import (
    BODY,
    PROJECT,
    ended,
    import_by_sdk,
    sdk,
)
from tests.support.image.treedigest import tree_digest
from tests.support.ims import imscloud
from tests.support.ims.imscloud import KEY, cloud, raw_disk
from tests.support.store import s3cloud

DATA: dict[str, Any] = {
    "name": "data01",
    "image_url": "images:disk.raw",
    "type": "DataImage",
    "min_disk": 10,
}


@pytest.mark.parametrize("safe", [False, True], ids=["v2", "v2.1"])
@pytest.mark.parametrize("body", [BODY, DATA], ids=["system", "data"])
def test_the_sdk_imports_and_the_disk_is_the_source(
    body: dict[str, Any], safe: bool, tmp_path: Path
) -> None:
    with cloud(tmp_path) as (emulator, url, objects):
        client = sdk(url)
        job_id = import_by_sdk(client, body, safe=safe)
        assert len(job_id) == 32
        answer = ended(client, job_id)
        assert answer.status == "SUCCESS"
        image = client.list_images(ListImagesRequest(name=body["name"])).images[0]
        assert image.id == answer.entities.image_id
        assert image.status == "active"
        made = emulator.board.images()[0].disk
        assert made["digest"] == tree_digest(objects.objects["disk.raw"])
        assert tree_digest(Path(made["path"]).read_bytes()) == made["digest"]


def test_the_sdk_s_older_job_query_gives_the_same(url: str) -> None:
    client = sdk(url)
    job_id = import_by_sdk(client, BODY)
    ended(client, job_id)
    with pytest.warns(DeprecationWarning, match="show_job"):
        answer = client.show_job(ShowJobRequest(job_id=job_id))
    assert answer.status == "SUCCESS"
    assert answer.entities.image_name == "web01"


def test_the_sdk_reads_quota_and_os_versions(url: str) -> None:
    client = sdk(url)
    quota = client.show_image_quota(ShowImageQuotaRequest()).quotas.resources[0]
    assert (quota.type, quota.used, quota.quota) == ("image", 0, 50)
    listed = client.list_os_versions(ListOsVersionsRequest(tag="uefi"))
    assert BODY["os_version"] in [v.os_version for p in listed.body for v in p.version_list]


def test_a_wrong_secret_is_401_with_the_gateway_s_code(url: str) -> None:
    with pytest.raises(exceptions.ClientRequestException) as caught:
        import_by_sdk(sdk(url, sk="wrong"), BODY)
    assert caught.value.status_code == 401
    assert caught.value.error_code == "APIGW.0301"


def test_an_unknown_key_is_401(url: str) -> None:
    with pytest.raises(exceptions.ClientRequestException) as caught:
        import_by_sdk(sdk(url, ak="nobody"), BODY)
    assert caught.value.status_code == 401


def test_no_signature_at_all_is_401(url: str) -> None:
    answer = requests.get(f"{url}/v2/cloudimages", timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error_code"] == "APIGW.0301"


def test_a_token_stands_for_a_key(url: str) -> None:
    key = {"access": {"key": KEY.access_key}, "secret": {"key": KEY.secret_key}}
    auth = {"auth": {"identity": {"methods": ["hw_ak_sk"], "hw_ak_sk": key}}}
    answer = requests.post(f"{url}/v3/auth/tokens", json=auth, timeout=10)
    assert answer.status_code == 201
    token = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    assert requests.get(f"{url}/v2/cloudimages", headers=token, timeout=10).status_code == 200
    token = {"X-Auth-Token": "made up"}
    assert requests.get(f"{url}/v2/cloudimages", headers=token, timeout=10).status_code == 401
    key["secret"]["key"] = "wrong"
    assert requests.post(f"{url}/v3/auth/tokens", json=auth, timeout=10).status_code == 401


# (what is changed in the system disk's body, the code); "otc:" marks the OTC editions' answer.
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "IMG.0013"),
    ({"name": ""}, "IMG.0013"),
    ({"name": "x" * 129}, "IMG.0002"),
    ({"name": " x"}, "IMG.0003"),
    ({"name": "a/b"}, "IMG.0003"),
    ({"name": 5}, "IMG.0001"),
    ({"description": "x" * 1025}, "IMG.0004"),
    ({"description": "a<b"}, "IMG.0054"),
    ({"description": "a\rb"}, "IMG.0054"),
    ({"os_version": None}, "IMG.0159"),
    ({"os_version": ""}, "IMG.0159"),
    ({"type": "FusionCompute"}, "IMG.0157"),
    ({"type": "DataImage", "os_type": "BSD"}, "IMG.0122"),
    ({"architecture": "ppc"}, "IMG.0212"),
    ({"hw_firmware_type": "efi"}, "IMG.0141"),
    ({"architecture": "arm", "hw_firmware_type": "bios"}, "IMG.0141"),
    ({"license_type": "byol"}, "IMG.0001"),
    ({"enterprise_project_id": "x"}, "IMG.0155"),
    ({"min_disk": None}, "IMG.0055"),
    ({"min_disk": 9}, "IMG.0055"),
    ({"min_disk": 1025}, "IMG.0055"),
    ({"min_disk": "40"}, "IMG.0001"),
    ({"min_disk": True}, "IMG.0001"),
    ({"os_version": "Windows 10 64bit", "min_disk": 19}, "IMG.0055"),
    ({"tags": ["a.b"], "image_tags": [{"key": "a", "value": "b"}]}, "IMG.0115"),
    ({"tags": ["a.b"] * 11}, "IMG.0116"),
    ({"tags": [".b"]}, "IMG.0115"),
    ({"tags": ["a.b", "a.c"]}, "IMG.0115"),
    ({"tags": ["x" * 37]}, "IMG.0115"),
    ({"tags": ["a." + "x" * 44]}, "IMG.0115"),
    ({"image_tags": [{"key": "a"}]}, "IMG.0001"),
    ({"image_url": None}, "IMG.0017"),
    ({"image_url": "no-colon"}, "IMG.0017"),
    ({"image_url": ":key"}, "IMG.0068"),
    ({"image_url": "A_b:key"}, "IMG.0109"),
    ({"image_url": "images:"}, "IMG.0017"),
    ({"image_url": "images:my disk.raw"}, "IMG.0175"),
    ({"image_url": "other:disk.raw"}, "IMG.0069"),
    ({"image_url": "images:absent.raw"}, "IMG.0057"),
]


@pytest.mark.parametrize(("change", "code"), REFUSALS, ids=lambda v: str(v)[:50])
def test_a_fault_in_the_body_is_refused_with_its_code(
    change: dict[str, Any], code: str, url: str
) -> None:
    body = {k: v for k, v in (BODY | change).items() if v is not None}
    with pytest.raises(exceptions.ClientRequestException) as caught:
        import_by_sdk(sdk(url), body)
    assert (caught.value.status_code, caught.value.error_code) == (400, code)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * 128},
        {"description": "x" * 1024},
        {"min_disk": 10},
        {"min_disk": 1024},
        {"os_version": "Windows 10 64bit", "min_disk": 20},
        {"tags": [f"a{n}.b" for n in range(10)]},
        {"image_tags": [{"key": f"a{n}", "value": ""} for n in range(10)]},
        {"tags": ["x" * 36 + "." + "y" * 43]},
        {"image_url": "abc:" + "k" * 1024},
        {"unheard_of": 1},  # no document says that unknown members are refused
    ],
    ids=lambda v: str(v)[:50],
)
def test_what_is_just_allowed_is_taken(change: dict[str, Any]) -> None:
    validate.check_body(BODY | change, SITES["huawei-intl"])


def test_an_eleventh_tag_is_refused_in_either_form() -> None:
    tags = [(f"a{n}", "b") for n in range(11)]
    for change in (
        {"tags": [f"{key}.{value}" for key, value in tags]},
        {"image_tags": [{"key": key, "value": value} for key, value in tags]},
    ):
        with pytest.raises(validate.RefusedError) as caught:
            validate.check_body(BODY | change, SITES["otc"])
        assert caught.value.code == "IMG.0116"


def test_the_otc_editions_answer_otherwise() -> None:
    for change, code in [({"type": "x"}, "IMG.0024"), ({"os_version": ""}, "IMG.0056")]:
        with pytest.raises(validate.RefusedError) as caught:
            validate.check_body(BODY | change, SITES["otc"])
        assert caught.value.code == code
    validate.check_body(BODY | {"min_disk": 1}, SITES["otc"])


def test_an_os_version_has_to_be_on_the_site_s_list_unless_any_is_taken() -> None:
    body = BODY | {"os_version": "Ubuntu 99.04 server 64bit"}
    with pytest.raises(validate.RefusedError) as caught:
        validate.check_body(body, SITES["otc"])
    assert caught.value.code == "IMG.0056"
    validate.check_body(body, SITES["otc"], any_os_version=True)


@pytest.mark.parametrize("site", SITES.values(), ids=lambda s: s.key)
def test_every_listed_os_version_is_taken(site: Site) -> None:
    for os_version in site.os_versions.all:
        validate.check_body(BODY | {"os_version": os_version, "min_disk": 40}, site)


@pytest.mark.parametrize(("data", "code"), [(b"", "IMG.0007"), (b"{}", "IMG.0007"), (b"{", "IMG.0001"), (b"[1]", "IMG.0001")])  # fmt: skip
def test_a_body_that_is_no_object_is_refused(data: bytes, code: str, url: str) -> None:
    key = {"access": {"key": KEY.access_key}, "secret": {"key": KEY.secret_key}}
    auth = {"auth": {"identity": {"methods": ["hw_ak_sk"], "hw_ak_sk": key}}}
    token = requests.post(f"{url}/v3/auth/tokens", json=auth, timeout=10).headers
    headers = {"X-Auth-Token": token["X-Subject-Token"]}
    path = f"{url}/v2/cloudimages/quickimport/action"
    answer = requests.post(path, data=data, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_an_unknown_job_and_a_foreign_project_are_refused(url: str) -> None:
    with pytest.raises(exceptions.ClientRequestException) as caught:
        sdk(url).show_job_progress(ShowJobProgressRequest(job_id="f" * 32))
    assert caught.value.error_code == "IMG.0023"


def by_sdk(tmp_path: Path, body: dict[str, Any], **settings: Any) -> tuple[int, str]:
    """Return status and code of an import, 200 and nothing if it was accepted."""
    with cloud(tmp_path, **settings) as (_, url, _):
        try:
            import_by_sdk(sdk(url), body)
        except exceptions.ServiceResponseException as error:
            return int(error.status_code), str(error.error_code)
    return 200, ""


@pytest.mark.slow
def test_every_documented_code_can_be_had_at_once_and_late(tmp_path: Path) -> None:
    with cloud(tmp_path) as (emulator, url, _):
        client, jobs = sdk(url), {}
        for code in sorted(CODES):
            emulator.faults = parse([f"refuse={code}"])
            with pytest.raises(exceptions.ClientRequestException) as caught:
                import_by_sdk(client, BODY)
            expected = {"IMG.0026": 403, "APIGW.0301": 401}.get(code, 400)
            assert (caught.value.error_code, caught.value.status_code) == (code, expected)
            emulator.faults = parse([f"fail-job={code}"])
            jobs[code] = ended(client, import_by_sdk(client, BODY))
    assert {code: job.error_code for code, job in jobs.items()} == {code: code for code in CODES}
    assert {job.status for job in jobs.values()} == {"FAIL"}


def test_a_name_that_is_taken_is_refused_on_request(tmp_path: Path) -> None:
    faults = parse(["unique-names"])
    assert by_sdk(tmp_path, BODY, faults=faults) == (200, "")
    assert by_sdk(tmp_path, BODY, faults=faults) == (400, "IMG.0009")
    assert by_sdk(tmp_path, BODY) == (200, "")


def test_windows_is_refused_on_request(tmp_path: Path) -> None:
    body = BODY | {"os_version": "Windows 10 64bit", "min_disk": 40}
    assert by_sdk(tmp_path, body) == (200, "")
    assert by_sdk(tmp_path, body, faults=parse(["no-windows"])) == (400, "IMG.0122")


def test_the_other_sites_serve_only_what_their_documents_have(tmp_path: Path) -> None:
    with cloud(tmp_path, site=SITES["otc"]) as (_, url, _):
        client = sdk(url)
        job_id = import_by_sdk(client, BODY)
        for ask in (
            lambda: import_by_sdk(client, BODY, safe=True),
            lambda: client.show_job_progress(ShowJobProgressRequest(job_id=job_id)),
        ):
            with pytest.raises(exceptions.ClientRequestException) as caught:
                ask()
            assert caught.value.status_code == 404
        with pytest.warns(DeprecationWarning, match="show_job"):
            assert client.show_job(ShowJobRequest(job_id=job_id)).job_id == job_id
    # No parameter there, and no document says that unknown ones are refused.
    assert by_sdk(tmp_path / "2", BODY | {"license_type": "byol"}, site=SITES["otc"]) == (200, "")


def test_faults_are_parsed_and_unknown_ones_refused() -> None:
    assert parse(["slow-job-s=2.5", "null-reasons", "query-429=3"]) == Faults(
        slow_job_s=2.5, null_reasons=True, query_429=3
    )
    with pytest.raises(UsageError, match="no fault is called 'x'"):
        parse(["x"])
    with pytest.raises(UsageError, match="needs a number"):
        parse(["query-429=many"])


@pytest.mark.slow
def test_the_objects_may_lie_in_any_s3_store(tmp_path: Path) -> None:
    with s3cloud.localhost_resolves(), s3cloud.serve() as (_, endpoint):
        open_bucket = partial(open_obs, endpoint=endpoint, region="us-east-1", credentials=KEY)
        store: Any = open_bucket("images")
        store.client.create_bucket(Bucket="images")
        disk, bitmap = raw_disk()
        store.put("disk.raw", disk)
        store.put("disk.mf", bitmap)
        settings = Settings(KEY.access_key, KEY.secret_key, open_bucket, tmp_path)
        with serving(settings) as (emulator, url):
            assert ended(sdk(url), import_by_sdk(sdk(url), BODY)).status == "SUCCESS"
            assert emulator.board.images()[0].disk["digest"] == tree_digest(disk)
            with pytest.raises(exceptions.ClientRequestException) as caught:
                import_by_sdk(sdk(url), BODY | {"image_url": "nobody:disk.raw"})
            assert caught.value.error_code in ("IMG.0069", "IMG.0057")


def test_a_secret_is_in_no_file_of_the_emulator(tmp_path: Path) -> None:
    with cloud(tmp_path) as (emulator, url, _):
        ended(sdk(url), import_by_sdk(sdk(url), BODY))
        assert KEY.secret_key not in repr(emulator.settings)
    for path in tmp_path.rglob("*.json"):
        assert KEY.secret_key not in path.read_text()
        json.loads(path.read_text())


DEEP = [b"[" * 100_000, b"{" + b"\x22a\x22:[" * 5_000]


def post(url: str, body: bytes) -> requests.Response:
    """Send any body at all, signed as the SDK does."""
    path = "/v2/cloudimages/quickimport/action"
    request = SdkRequest(
        method="POST", schema="http", host=url.removeprefix("http://"), resource_path=path,
        query_params=[], header_params={"Content-Type": "application/json"}, body=body,
    )  # fmt: skip
    credentials = BasicCredentials(KEY.access_key, KEY.secret_key, PROJECT)
    headers = credentials.sign_request(request).header_params
    return requests.post(url + path, data=body, headers=headers, timeout=20)


@pytest.mark.parametrize("body", [*DEEP, b"{", b"\xff", b"1" * 10_000, b"NaN", b"null", b'"x"'])
def test_a_hostile_body_is_a_bad_request(url: str, body: bytes) -> None:
    answer = post(url, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "IMG.0001")


@pytest.mark.parametrize("field", ["image_url", "description", "name"])
def test_half_a_character_is_a_bad_request(url: str, field: str) -> None:
    body = json.dumps({**BODY, field: "images:\ud800"}).encode()
    assert post(url, body).status_code == 400


def import_three(url: str) -> list[str]:
    client = sdk(url)
    answers = [
        ended(client, import_by_sdk(client, {**BODY, "name": f"n{n}", "tags": [f"t.{n}"]}))
        for n in range(3)
    ]
    return [answer.entities.image_id for answer in answers]


def test_images_are_listed_by_pages_in_order_and_by_what_they_have(url: str) -> None:
    ids = import_three(url)
    client = sdk(url)

    def listed(**query: Any) -> list[str]:
        return [i.id for i in client.list_images(ListImagesRequest(**query)).images]

    assert listed() == ids[::-1]  # the newest first, as documented
    assert listed(sort_key="name", sort_dir="asc") == ids
    pages, marker = [], None
    while page := listed(limit=2, marker=marker, sort_key="name", sort_dir="asc"):
        pages.append(page)
        marker = page[-1]
    assert pages == [ids[:2], ids[2:]]
    assert listed(name="n1") == [ids[1]]
    assert listed(tag="t.2") == [ids[2]]
    assert listed(imagetype="private", status="active", platform="Ubuntu") == ids[::-1]
    assert listed(os_type="Windows") == []
    assert listed(min_disk=10, protected=False) == ids[::-1]
    assert listed(limit=0) == []
    for wrong in ({"marker": "none"}, {"sort_key": "odd"}, {"sort_dir": "up"}):
        with pytest.raises(exceptions.ClientRequestException):
            listed(**wrong)


def test_an_image_that_is_deleted_is_gone_with_its_disk(tmp_path: Path) -> None:
    with cloud(tmp_path) as (emulator, url, _):
        ids = import_three(url)
        client = sdk(url)
        disks = [Path(image.disk["path"]) for image in emulator.board.images()]
        client.glance_delete_image(GlanceDeleteImageRequest(image_id=ids[0]))
        assert [i.image_id for i in emulator.board.images()] != ids
        assert sum(path.exists() for path in disks) == 2
        with pytest.raises(exceptions.ClientRequestException) as caught:
            client.glance_delete_image(GlanceDeleteImageRequest(image_id=ids[0]))
        assert caught.value.status_code == 404


def test_another_project_or_token_than_the_key_s_is_refused(tmp_path: Path) -> None:
    for given, wanted, code in (
        (None, None, ""),
        ("STS", "STS", ""),
        ("STS", None, "APIGW.0301"),
        (None, "STS", "APIGW.0301"),
        ("other", "STS", "APIGW.0301"),
    ):
        with cloud(tmp_path / f"{given}-{wanted}", security_token=wanted) as (_, url, _):
            credentials = replace(KEY, security_token=given)
            if code:
                with pytest.raises(ServiceError, match=code):
                    imscloud.client(url, credentials).images("x")
            else:
                assert imscloud.client(url, credentials).images("x") == []
    with cloud(tmp_path / "project") as (_, url, _):
        assert imscloud.client(url, replace(KEY, project_id=PROJECT)).images("x") == []
        with pytest.raises(ServiceError, match=r"IMG\.0067"):
            imscloud.client(url, replace(KEY, project_id="1" * 32)).images("x")
