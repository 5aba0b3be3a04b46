"""Progress: the one protocol by which the library tells how far it is.

Whatever takes long calls a function with an `Event` now and then: bytes that were done, or news in
words. It may be called by several threads, though never by two at the same time for one step. What
it raises ends the work, which leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SCAN, CONVERT, VERIFY, DIGEST, BENCH = "scan", "convert", "verify", "digest", "bench"
BOOT = "boot"
UPLOAD, IMPORT = "upload", "import"


@dataclass(frozen=True)
class Event:
    """Something that happened in a step; sizes in bytes.

    The first event of an upload has no `count`: it says what is going to be sent and copied. Where
    nothing is to be sent there is none. Of a job, `count` is in per cent.
    """

    step: str  # scan, convert, verify, digest, bench, boot, upload or import
    count: int = 0  # so many bytes more are done
    total: int = 0  # of the whole step; 0: not known
    sent: int = 0  # of `count`, travelled over the network
    copied: int = 0  # of `count`, copied inside the store
    text: str = ""  # news, one line for a person
    job_id: str | None = None  # of the import that runs
    estimated: bool = False  # `total`, of what is packed while it is sent; less or more may be sent


Progress = Callable[[Event], object]


def silent(event: Event) -> None:
    """Take no notice."""


def job_event(percent: int | None, status: str, job_id: str) -> Event:
    """Return how far an import job is; `percent` is None where the service does not tell."""
    total = 0 if percent is None else 100
    return Event(IMPORT, percent or 0, total, text=status, job_id=job_id)


def counting(progress: Progress, step: str, total: int) -> Callable[[int], None]:
    """Return a function that is called with bytes and passes them on as events of one step."""

    def count(done: int) -> None:
        progress(Event(step, done, total))

    return count
