"""Events of a call: what the library counts and says, passed on to the one function of a caller."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep.progress import IMPORT, UPLOAD, Event, Progress, job_event

if TYPE_CHECKING:
    from imsprep.ims.job import JobStatus
    from imsprep.ims.wait import PollPolicy
    from imsprep.upload.plan import PartPlan
    from imsprep.upload.values import UploadProgress


def telling(pace: PollPolicy, progress: Progress) -> PollPolicy:
    """Return a pace whose news become events."""

    def status(status: JobStatus) -> None:
        progress(job_event(status.percent, status.status, status.job_id))

    def trouble(text: str) -> None:
        progress(Event(IMPORT, text=text))

    return dataclasses.replace(pace, on_status=status, on_warning=trouble)


def counting_upload(progress: Progress, announced: Event) -> UploadProgress:
    """Return what an upload calls that was announced by such an event."""

    def done(*, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        count = sent + copied + reused
        progress(dataclasses.replace(announced, count=count, sent=sent, copied=copied))

    return done


@contextmanager
def uploading(progress: Progress, plan: PartPlan) -> Iterator[UploadProgress]:
    """Give what the upload of one file calls; what it comes to is announced first."""
    announced = Event(UPLOAD, total=plan.size, sent=plan.sent, copied=plan.copied)
    progress(announced)
    yield counting_upload(progress, announced)


def one_at_a_time(progress: Progress) -> Progress:
    """Return what several threads may call."""
    lock = threading.Lock()

    def passed_on(event: Event) -> None:
        with lock:
            progress(event)

    return passed_on


def size_of(path: Path) -> int:
    """Return the size of a file for progress; 0 if it is none, which is said elsewhere."""
    return path.stat().st_size if path.is_file() else 0
