"""Ask the service again until it answers, or a limit: `poll`, and `wait` for an import job.

A question that fails (429, 5xx, a broken connection) says nothing about the job and is asked again;
a status that no document knows is shown and waited for. How to sleep and what time it is are given
by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from imsprep.errors import (
    JobFailedError,
    ServiceError,
    TransferError,
    UncertainError,
    WaitTimeoutError,
    show_words,
)
from imsprep.ims.job import JobStatus

T = TypeVar("T")

LIMIT_S = 2 * 3600.0  # the one limit of a wait; the documented example ran six minutes
INTERVAL_S = 10.0  # what Terraform's provider and Packer's plug-in use
INTERVAL_MAX_S = 60.0  # after failed questions the pause doubles up to this
# A job that was just started may not be known yet to the server that is asked: so many answers in a
# row, and at least so many seconds between them, say that there is none.
UNKNOWN_ANSWERS = 6
UNKNOWN_PAUSE_S = 2.0
UNKNOWN_JOB = ("IMG.0023", "IMG.0121", "IMG.0144")


class JobQuery(Protocol):
    """How a job is asked for: `ImsClient.job`."""

    def __call__(self, job_id: str, *, limit_s: float) -> JobStatus:
        """Return the status of a job; give up after `limit_s` seconds."""


@dataclass(frozen=True)
class PollPolicy:
    """How to wait: `sleep` and `clock` in seconds, and where news go.

    `limit_s` is the one limit of all that waits by this pace from `started` on, or where that was
    not called, of each call.
    """

    sleep: Callable[[float], object]
    clock: Callable[[], float]
    limit_s: float = LIMIT_S
    interval_s: float = INTERVAL_S
    on_status: Callable[[JobStatus], object] = lambda status: None
    on_warning: Callable[[str], object] = lambda text: None
    end: float = math.inf  # on the clock; infinite before `started`

    def started(self) -> PollPolicy:
        """Return the same pace, whose limit runs from now on unless it does already."""
        return self if self.end < math.inf else replace(self, end=self.clock() + self.limit_s)


def poll(
    ask: Callable[[float], T | None], pace: PollPolicy, *, limit_s: float = math.inf
) -> T | None:
    """Ask until there is an answer, and return it; None if there is none in time.

    `ask` is called with the seconds that are left for it. It returns None where asking again may
    help, which is said to `pace.on_warning` if it fails with TransferError. The pauses grow then,
    and are as long as the service wishes. After the pace's own limit, or `limit_s` seconds, the
    TransferError of the last attempt stands. What may have been accepted (UncertainError) is never
    asked again.

    A service that wishes a pause beyond that is not waited for: its TransferError stands at once,
    as one that is lasting does.
    """
    pace = pace.started()
    end, pause = min(pace.clock() + limit_s, pace.end), pace.interval_s
    while True:
        failure, wait_s = None, pace.interval_s
        try:
            answer = ask(max(0.0, end - pace.clock()))
            if answer is not None:
                return answer
        except UncertainError:
            raise
        except TransferError as error:
            failure, wait_s = error, max(pause, error.retry_after_s or 0.0)
        if failure is not None and failure.lasting:
            raise failure
        left = end - pace.clock()
        if left <= 0:
            if failure is not None:
                raise failure
            return None
        if failure is not None and (failure.retry_after_s or 0.0) > left:
            raise failure  # the service wants to be left alone for longer than there is time
        if failure is not None:
            pace.on_warning(f"{failure}; asking again")
        pause = min(pause * 2, max(INTERVAL_MAX_S, pace.interval_s)) if failure else pace.interval_s
        pace.sleep(min(wait_s, left))


def wait(query: JobQuery, job_id: str, pace: PollPolicy) -> JobStatus:
    """Ask until the job has ended well, and return its last status.

    Raises JobFailedError with the service's words, WaitTimeoutError after the limit, and
    ServiceError if the service refuses the question itself.
    """
    watch = _Watch(query, job_id, pace)
    try:
        status = poll(watch.ask, pace)
    except TransferError as error:
        status, watch.last = None, f"{watch.last} ({error})" if error.retry_after_s else watch.last
    if status is None:
        raise WaitTimeoutError(
            f"job {job_id} had not ended after {pace.limit_s:.0f} s; its last status was"
            f" {watch.last}; it may still succeed",
            job_id=job_id,
        )
    if not status.succeeded:
        raise JobFailedError(f"import job {job_id} failed: {show_words(status.why_failed, 2000)}")
    return status


class _Watch:
    """One job that is asked for: its last status, and how often it was not known."""

    def __init__(self, query: JobQuery, job_id: str, pace: PollPolicy) -> None:
        self._query, self._job_id, self._pace = query, job_id, pace
        self._unknown = 0
        self.last = "not known"

    def ask(self, left_s: float) -> JobStatus | None:
        """Return the status of a job that has ended; None while it has not."""
        try:
            status = self._query(self._job_id, limit_s=left_s)
        except ServiceError as error:
            self._unknown += 1
            if not is_unknown_job(error) or self._unknown >= UNKNOWN_ANSWERS:
                raise
            self._pace.on_warning(f"the service knows no job {self._job_id} yet; asking again")
            self._pace.sleep(min(max(0.0, UNKNOWN_PAUSE_S - self._pace.interval_s), left_s))
            return None
        self._unknown, self.last = 0, status.status
        self._pace.on_status(status)
        return status if status.finished else None


def is_unknown_job(error: ServiceError) -> bool:
    """Return whether the service refused because it knows no such job."""
    return error.status == 404 or error.code in UNKNOWN_JOB
