"""The shapes of the emulator's answers, with the faults that tests ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imsprep.cloud.sites import SITES
from imsprep.emulator import answers
from imsprep.emulator.faults import Faults
from imsprep.emulator.jobs import Image, Job
from imsprep.units import GIB

BODY: dict[str, Any] = {
    "name": "web01", "image_url": "images:disk.raw", "min_disk": 40, "os_version": "Debian GNU/Linux 10.0.0 64bit",
    "image_tags": [{"key": "a", "value": "b"}], "tags": ["c.d"],
}  # fmt: skip
JOB = Job("j" * 32, BODY, "RUNNING", image_id="i-1", progress=40.0)
FAILED = replace(JOB, status="FAIL", error_code="IMG.1", fail_reason="it lies")


def test_an_image_is_named_when_the_job_has_ended_or_early_by_fault() -> None:
    for shape in (answers.job, answers.progress):
        assert "image_id" not in shape(JOB, Faults())["entities"]
        assert shape(JOB, Faults(early_image_id=True))["entities"]["image_id"] == "i-1"
        assert shape(replace(JOB, status="SUCCESS"), Faults())["entities"]["image_id"] == "i-1"
    assert answers.progress(JOB, Faults())["entities"]["process_percent"] == 40.0


def test_a_failure_says_why_where_the_fault_lets_it() -> None:
    plain = answers.job(FAILED, Faults())
    assert (plain["error_code"], plain["fail_reason"], plain["entities"]) == (
        "IMG.1",
        "it lies",
        {},
    )
    assert answers.job(FAILED, Faults(null_reasons=True))["error_code"] is None
    nested = answers.job(FAILED, Faults(nested_reason=True))
    assert nested["error_code"] is None
    assert nested["entities"]["sub_jobs_result"][0]["fail_reason"] == "it lies"
    assert answers.job(JOB, Faults(odd_status=True))["status"] == "WAITING_FOR_SOMETHING"


def test_an_image_has_strings_for_what_the_service_adds() -> None:
    image = Image(
        "i-1", "active", BODY, "2026-01-01T00:00:00Z", {"size": 3 * GIB, "digest": "tree1:x"}
    )
    shown = answers.image(image, SITES["otc"], "owner")
    assert {type(value) for key, value in shown.items() if key.startswith("__")} == {str}
    assert (shown["tags"], shown["min_disk"], shown["hw_firmware_type"]) == (
        ["c.d", "a.b"],
        40,
        "bios",
    )
    assert (shown["imsprep_digest"], shown["imsprep_size_gib"]) == ("tree1:x", 3)
    assert shown["__data_origin"] == "file,images:disk.raw"
    arm = answers.image(replace(image, body={**BODY, "architecture": "arm"}), SITES["otc"], "owner")
    assert (arm["hw_firmware_type"], arm["__support_arm"]) == ("uefi", "true")
    data = answers.image(replace(image, body={**BODY, "type": "DataImage"}), SITES["otc"], "owner")
    assert (data["virtual_env_type"], data["__sequence_num"]) == ("DataImage", "1")


@pytest.mark.parametrize("site", sorted(SITES))
def test_every_listed_version_is_shown_with_its_bits(site: str) -> None:
    listed = answers.os_versions(SITES[site])
    versions = {v["os_version"]: v for platform in listed for v in platform["version_list"]}
    assert versions
    assert all((v["os_bit"] == 32) is ("32" in name) for name, v in versions.items())


def test_both_forms_of_a_refusal_and_the_quota() -> None:
    assert answers.refusal("A", "b") == {"error": {"code": "A", "message": "b"}}
    assert answers.gateway("A", "b")["error_msg"] == "b"
    assert answers.quota(3, 50)["quotas"]["resources"][0]["used"] == 3
