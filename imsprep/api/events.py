"""Events of a call: what the library counts and says, passed on to the one function of a caller."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep.progress import (
    IMPORT,
    UPLOAD,
    Event,
    Progress,
)

if TYPE_CHECKING:
    from imsprep.ims.job import JobStatus
    from imsprep.ims.wait import PollPolicy
    from imsprep.upload.plan import PartPlan
    from imsprep.upload.values import UploadProgress


def telling(pace: PollPolicy, progress: Progress) -> PollPolicy:
    """Return a pace whose news become events."""

    def status(status: JobStatus) -> None:
        progress(Event(IMPORT, status.percent, 100, text=status.status, job_id=status.job_id))

    def trouble(text: str) -> None:
        progress(Event(IMPORT, text=text))

    return dataclasses.replace(pace, on_status=status, on_warning=trouble)


@contextmanager
def uploading_all(
    progress: Progress, plans: list[PartPlan], *, estimated: bool = False
) -> Iterator[UploadProgress]:
    """Give what an upload calls; what all plans come to, or about, is announced first."""
    total = sum(plan.size for plan in plans)

    def done(*, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        count = sent + copied + reused
        progress(Event(UPLOAD, count, total, sent, copied, estimated=estimated))

    progress(
        Event(
            UPLOAD,
            total=total,
            sent=sum(plan.sent for plan in plans),
            copied=sum(plan.copied for plan in plans),
            estimated=estimated,
        )
    )
    yield done


def uploading(progress: Progress, plan: PartPlan) -> AbstractContextManager[UploadProgress]:
    """Give what the upload of one file calls."""
    return uploading_all(progress, [plan])


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
