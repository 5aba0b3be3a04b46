"""Wait for an import job: one limit, every status, and no failure that is none.

A question that fails (429, 5xx, a broken connection) says nothing about the job and is asked again;
a status that no document knows is shown and waited for. How to sleep and what time it is are given
by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imsprep.errors import JobFailedError, ServiceError, TransferError, WaitTimeoutError
from imsprep.ims.job import JobStatus

LIMIT_S = 2 * 3600.0  # the one limit of a wait; the documented example ran six minutes
INTERVAL_S = 10.0  # what Terraform's provider and Packer's plug-in use
INTERVAL_MAX_S = 60.0  # after failed questions the pause doubles up to this
# A job that was just started may not be known yet to the server that is asked.
NEW_JOB_GRACE_S = 60.0
UNKNOWN_JOB = ("IMG.0023", "IMG.0121", "IMG.0144")


@dataclass(frozen=True)
class Pace:
    """How to wait: `sleep` and `clock` in seconds, and where news go.

    `limit_s` is the only limit. It starts with the call, and nothing inside has a limit of its own
    but a single HTTP request.
    """

    sleep: Callable[[float], object]
    clock: Callable[[], float]
    limit_s: float = LIMIT_S
    interval_s: float = INTERVAL_S
    where: str = ""  # options that `imsprep wait` needs to find the service again
    on_status: Callable[[JobStatus], object] = lambda status: None
    on_trouble: Callable[[str], object] = lambda text: None

    def how_to_go_on(self, job_id: str) -> str:
        """Return the command line that waits for the same job."""
        return f"imsprep wait {job_id} {self.where}".rstrip()


def wait(query: Callable[[str], JobStatus], job_id: str, pace: Pace) -> JobStatus:
    """Ask until the job has ended well, and return its last status.

    Raises JobFailedError with the service's words, WaitTimeoutError after the limit, and
    ServiceError if the service refuses the question itself.
    """
    start, pause, last = pace.clock(), pace.interval_s, "not known"
    while True:
        try:
            status = query(job_id)
        except TransferError as error:
            pace.on_trouble(str(error))
            pause = max(min(pause * 2, INTERVAL_MAX_S), pace.interval_s)
        except ServiceError as error:
            if not is_unknown_job(error) or pace.clock() - start >= NEW_JOB_GRACE_S:
                raise
            pace.on_trouble(str(error))
        else:
            pace.on_status(status)
            if status.succeeded:
                return status
            if status.finished:
                raise JobFailedError(f"import job {job_id} failed: {status.why_failed}")
            pause, last = pace.interval_s, status.status
        left = pace.limit_s - (pace.clock() - start)
        if left <= 0:
            raise WaitTimeoutError(
                f"job {job_id} had not ended after {pace.limit_s:.0f} s; its last status was"
                f" {last}; it may still succeed: {pace.how_to_go_on(job_id)}"
            )
        pace.sleep(min(pause, left))


def is_unknown_job(error: ServiceError) -> bool:
    """Say whether the service refused because it knows no such job."""
    return error.status == 404 or error.code in UNKNOWN_JOB
