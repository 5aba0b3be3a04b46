"""Waiting for a job: what is asked again, when, and to which limit."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imsprep.emulator.faults import Faults
from imsprep.errors import (
    JobFailedError,
    ServiceError,
    TransferError,
    WaitTimeoutError,
)
from imsprep.ims import job
from imsprep.ims.job import JobStatus
from imsprep.ims.submit import patiently
from imsprep.ims.wait import JobQuery, PollPolicy, poll, wait
from tests.support.cloud.dripping import BODY, dripping
from tests.support.ims.answers import Clock, answering
from tests.support.ims.imscloud import REQUEST, client, cloud

Step = JobStatus | Exception


def playing(*steps: Step) -> JobQuery:
    left = list(steps)

    def query(job_id: str, *, limit_s: float) -> JobStatus:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, Exception):
            raise step
        return step

    return query


RUNNING = JobStatus("j", "RUNNING")


DONE = JobStatus("j", "SUCCESS", image_id="i")


def test_waiting_outlasts_trouble_and_unknown_statuses() -> None:
    clock, troubles = Clock(), list[str]()
    query = playing(
        JobStatus("j", "INIT"),
        TransferError("503"),
        TransferError("429"),
        JobStatus("j", "ODD"),
        RUNNING,
        DONE,
    )
    done = wait(query, "j", PollPolicy(clock.sleep, clock, on_warning=troubles.append))
    assert done is DONE
    assert troubles == ["503; asking again", "429; asking again"]
    assert clock.slept == [10, 10, 20, 10, 10]


def test_a_failed_job_is_told_word_for_word() -> None:
    failed = job.parse({"status": "FAIL", "error_code": "IMG.0057", "fail_reason": "wörd"}, "j")
    clock = Clock()
    with pytest.raises(JobFailedError, match=r"job j failed: IMG\.0057 wörd"):
        wait(playing(RUNNING, failed), "j", PollPolicy(clock.sleep, clock))


@pytest.mark.parametrize("step", [RUNNING, TransferError("down"), JobStatus("j", "ODD")])
@pytest.mark.parametrize("limit", [0, 7, 100, 3601])
def test_waiting_ends_at_its_one_limit_and_says_how_to_go_on(step: Step, limit: float) -> None:
    clock = Clock()
    with pytest.raises(WaitTimeoutError, match="it may still succeed"):
        wait(playing(step), "j", PollPolicy(clock.sleep, clock, limit_s=limit))
    assert clock.now == limit


def test_a_new_job_may_be_unknown_for_a_few_answers() -> None:
    clock = Clock()
    unknown = ServiceError("unknown", code="IMG.0023", status=400)
    query = playing(unknown, unknown, DONE)
    assert wait(query, "j", PollPolicy(clock.sleep, clock)) is DONE
    clock = Clock()
    with pytest.raises(ServiceError, match="unknown"):
        wait(playing(unknown), "j", PollPolicy(clock.sleep, clock))
    assert clock.now == 50
    clock, troubles = Clock(), list[str]()
    quick = PollPolicy(clock.sleep, clock, interval_s=0.2, on_warning=troubles.append)
    with pytest.raises(ServiceError, match="unknown"):
        wait(playing(unknown), "j", quick)
    assert (clock.now, set(troubles)) == (
        pytest.approx(10),
        {"the service knows no job j yet; asking again"},
    )


def test_a_refused_question_ends_the_waiting() -> None:
    clock = Clock()
    refused = ServiceError("no rights", status=403)
    with pytest.raises(ServiceError, match="no rights"):
        wait(playing(refused), "j", PollPolicy(clock.sleep, clock))
    assert clock.now == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (
            Faults(query_429=2, query_503=2, query_drop=2, odd_status=True, early_image_id=True),
            None,
        ),
        (Faults(fail_job="IMG.0057"), "IMG.0057"),
        (Faults(fail_job="IMG.0057", nested_reason=True), "IMG.0057"),
        (Faults(fail_job="IMG.0057", null_reasons=True), "gave no reason"),
    ],
)
@pytest.mark.parametrize("job_query", ["progress", "jobs"])
def test_the_emulator_s_faults_are_met(
    faults: Faults, error: str | None, job_query: Any, tmp_path: Path
) -> None:
    faults = replace(faults, slow_job_s=0.3)
    with cloud(tmp_path, faults=faults) as (_, url, _):
        ims = client(url, job_query=job_query)
        job_id = ims.quick_import(REQUEST)
        clock = Clock()

        def nap(seconds: float) -> None:
            clock.sleep(0.01)
            threading.Event().wait(0.01)

        if error is None:
            assert wait(ims.job, job_id, PollPolicy(nap, clock)).image_id
        else:
            with pytest.raises(JobFailedError, match=error):
                wait(ims.job, job_id, PollPolicy(nap, clock))


def test_a_service_is_left_alone_for_as_long_as_it_wishes() -> None:
    clock = Clock()
    with (
        answering((429, b""), (200, {"images": []}), headers={"Retry-After": "77"}) as (url, _),
    ):
        assert patiently(partial(client(url).images, "x"), PollPolicy(clock.sleep, clock)) == []
    assert clock.slept == [77]


def test_a_service_that_wants_to_be_left_alone_for_too_long_is_not_waited_for() -> None:
    clock = Clock()
    with answering((429, b""), headers={"Retry-After": "3600"}) as (url, asked):
        with pytest.raises(TransferError, match="429"):
            patiently(partial(client(url).images, "x"), PollPolicy(clock.sleep, clock))
        with pytest.raises(WaitTimeoutError, match=r"not known \(429"):
            wait(client(url).job, "j", PollPolicy(clock.sleep, clock, limit_s=600))
    assert (clock.slept, len(asked)) == ([], 2)


@pytest.mark.slow
def test_a_wait_does_not_outlast_its_limit_for_an_answer_that_is_on_its_way() -> None:
    with dripping(BODY) as url:
        began = time.monotonic()
        with pytest.raises(WaitTimeoutError, match="had not ended after 1 s"):
            wait(client(url).job, "j", PollPolicy(time.sleep, time.monotonic, limit_s=1.0))
        assert time.monotonic() - began < 4


def test_a_reason_of_any_length_fits_on_a_screen() -> None:
    failed = JobStatus("j", "FAIL", reasons=("x" * 1_000_000,))
    with pytest.raises(JobFailedError) as caught:
        wait(playing(failed), "j", PollPolicy(Clock().sleep, Clock()))
    assert len(str(caught.value)) < 2200


def test_one_limit_holds_for_all_that_waits_by_it() -> None:
    clock = Clock()
    pace = PollPolicy(clock.sleep, clock, limit_s=30).started()
    down = TransferError("503")
    with pytest.raises(TransferError):
        poll(lambda left_s: playing(down)("j", limit_s=left_s), pace, limit_s=20)
    with pytest.raises(WaitTimeoutError):
        wait(playing(RUNNING), "j", pace)
    assert clock.now == 30
