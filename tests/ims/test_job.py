"""Job answers: the documents' own examples, and everything a failed job might say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.ims import job

# The API reference's own examples, word for word (OTC, 2025; Huawei Cloud, 2022).
SYSTEM = '{"job_id":"9a175ac892fa1342019300224f22218e","job_type":"imsImportImageJob","begin_time":"2024-11-06T06:21:08.769Z","end_time":"2024-11-06T06:27:03.742Z","status":"SUCCESS","error_code":null,"fail_reason":null,"entities":{"image_name":"test","image_id":"431df7fd-a898-4dc0-86b1-22cfefb8a517"}}'
DATA = '{"job_id":"9a175ac692fa125401930027b9c026b3","job_type":"imsImportDataImageJob","begin_time":"2024-11-06T06:27:03.742Z","end_time":"2024-11-06T06:37:03.742Z","status":"SUCCESS","error_code":null,"fail_reason":null,"entities":{"image_name":"test","image_id":"aa5306f7-bc95-4fa3-aa40-dd38fbdf2031"}}'
RUNNING = '{"job_id":"ff80808280c204e30180d2784c3c0d86","job_type":"imsCopyImageInRegionJob","begin_time":"2022-05-17T14:42:20.859Z","end_time":"","status":"RUNNING","error_code":null,"fail_reason":null,"entities":{"image_name":"d0d2e701-dfc4-4520-9247-f92907f38eb0","process_percent":0.40,"current_task":"CopyImageInRegionTask:","subJobId":"ff80808280ca6cd30180d278b9db0221","image_id":"498cc67e-7795-482c-8c47-32bcece2d7ec"}}'


@pytest.mark.parametrize(
    ("text", "image_id"),
    [
        (SYSTEM, "431df7fd-a898-4dc0-86b1-22cfefb8a517"),
        (DATA, "aa5306f7-bc95-4fa3-aa40-dd38fbdf2031"),
    ],
)
def test_the_documented_successes_are_read(text: str, image_id: str) -> None:
    status = job.parse(json.loads(text), "asked")
    assert status.succeeded
    assert status.finished
    assert status.image_id == image_id
    assert status.image_name == "test"
    assert status.reasons == ()


def test_a_job_that_succeeded_is_at_100_percent_and_0_is_no_share() -> None:
    answers: list[dict[str, object]] = [
        {"status": "RUNNING", "entities": {"process_percent": 0.4}},
        {"status": "RUNNING"},
        {"status": "RUNNING", "entities": {"process_percent": 0}},
        {"status": "SUCCESS"},
    ]
    assert [job.parse(body, "1").percent for body in answers] == [40, None, None, 100]


@pytest.mark.parametrize("percent", [10**400, -(10**400), "9" * 400, float("nan"), "x", [], None])
def test_no_number_is_too_large_for_a_share(percent: object) -> None:
    status = job.parse({"status": "RUNNING", "entities": {"process_percent": percent}}, "1")
    assert status.percent in (None, 100)


def test_a_status_of_any_length_fits_on_a_screen() -> None:
    assert len(job.parse({"status": "R" * 100_000}, "1").status) < 150


def test_an_image_id_before_success_is_not_success() -> None:
    status = job.parse(json.loads(RUNNING), "asked")
    assert not status.finished
    assert status.image_id is None
    assert status.progress == 0.4
    assert status.task == "CopyImageInRegionTask:"
    assert status.end_time is None


@pytest.mark.parametrize(
    "body",
    [
        {"error_code": "IMG.0057", "fail_reason": "no such file"},
        {"entities": {"addition_error_code": "IMG.0057", "addition_error_msg": "no such file"}},
        {"entities": {"error_code": "IMG.0057", "error": "no such file"}},
        {
            "entities": {
                "sub_jobs_result": [{"error_code": "IMG.0057", "fail_reason": "no such file"}]
            }
        },
        {
            "entities": {
                "sub_jobs_result": [
                    {"entities": {"error_code": "IMG.0057", "error": "no such file"}}
                ]
            }
        },
        {"entities": {"results": [{"error_code": "IMG.0057", "fail_reason": "no such file"}]}},
    ],
)
def test_a_reason_is_found_wherever_it_stands(body: dict[str, object]) -> None:
    status = job.parse({"status": "FAIL", "error_code": None, "fail_reason": None} | body, "j")
    assert status.reasons == ("IMG.0057 no such file",)


@pytest.mark.parametrize("entities", [None, {}, [], "", {"sub_jobs_result": None}])
def test_a_failure_without_a_reason_says_so(entities: object) -> None:
    status = job.parse({"status": "FAIL", "entities": entities}, "j")
    assert status.why_failed == "the service gave no reason"


def test_an_unknown_status_is_kept_and_is_no_end() -> None:
    status = job.parse({"status": "PAUSED"}, "j")
    assert status.status == "PAUSED"
    assert not status.finished


def test_an_image_id_is_found_in_the_results() -> None:
    body = {"status": "SUCCESS", "entities": {"results": [{"image_id": "i-1", "status": "x"}]}}
    assert job.parse(body, "j").image_id == "i-1"


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (0.4, 0.4),
        ("0.4", 0.4),
        (40, 0.4),
        (100, 1.0),
        (1, 1.0),
        (-1, None),
        ("", None),
        ("x", None),
    ],
)
def test_progress_is_a_share(told: object, meant: float | None) -> None:
    body = {"status": "RUNNING", "entities": {"process_percent": told}}
    assert job.parse(body, "j").progress == meant


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {"status": st.sampled_from(["SUCCESS", "FAIL", "RUNNING"])},
        optional={"entities": JSON, "error_code": JSON, "fail_reason": JSON, "job_id": JSON},
    )
)
def test_no_answer_of_any_shape_breaks_the_reader(body: dict[str, object]) -> None:
    status = job.parse(body, "j")
    assert status.finished == (body["status"] != "RUNNING")
    assert isinstance(status.as_dict(), dict)
