"""The emulator's jobs and images, kept as JSON files so that a second run finds them.

A job goes INIT, RUNNING, then SUCCESS or FAIL. What it has to do is done by one thread per job; a
job that was running when the emulator ended is begun again when it starts.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from imsprep.emulator.faults import Faults
from imsprep.emulator.materialise import (
    EmulatorStoppedError,
    MadeDisk,
    ObjectSource,
    materialise,
    virtual_size,
)
from imsprep.emulator.validate import Body, RefusedError, is_data_disk
from imsprep.errors import ImsprepError, ReadError, show_path
from imsprep.system import atomic
from imsprep.units import GIB, exact_size

T = TypeVar("T")
IMAGE_QUOTA = 50  # private images of an account; the documents' default
_BETWEEN_S = 0.2  # between two notes of how far a job is


@dataclass(frozen=True)
class Job:
    """An import that was accepted."""

    job_id: str
    body: Body
    status: str = "INIT"
    begin_time: str = ""
    end_time: str = ""
    progress: float = 0.0
    image_id: str = ""  # given at the beginning; shown at the end
    error_code: str | None = None
    fail_reason: str | None = None

    @property
    def ended(self) -> bool:
        """Return whether the job will not change any more."""
        return self.status in ("SUCCESS", "FAIL")


@dataclass(frozen=True)
class Image:
    """An image that an import made, or is making."""

    image_id: str
    status: str  # queued or active
    body: Body
    created_at: str
    disk: dict[str, object] = field(default_factory=dict)  # of `disk.Disk`


class JobBoard:
    """All jobs and images below one folder; safe to use from several threads."""

    def __init__(self, folder: Path, faults: Callable[[], Faults]) -> None:
        self._folder, self._faults = folder, faults
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        for name in ("jobs", "images", "disks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._jobs = {job.job_id: job for job in _read_all(folder / "jobs", Job)}
        self._images = {i.image_id: i for i in read_images(folder)}

    def start(self, body: Body, source: ObjectSource) -> Job:
        """Begin a job for a request that was accepted."""
        job = Job(
            # 32 hexadecimal digits, as in the documents' examples.
            job_id=uuid.uuid4().hex,
            body=body,
            begin_time=_now(),
            image_id=str(uuid.uuid4()),
        )
        self._keep(job)
        self._keep_image(Image(job.image_id, "queued", body, job.begin_time))
        self._run(job, source)
        return job

    def resume(self, find: Callable[[Body], ObjectSource]) -> None:
        """Begin the unfinished jobs of an earlier run again."""
        for job in [j for j in self._jobs.values() if not j.ended]:
            try:
                self._run(job, find(job.body))
            except RefusedError as refused:
                self._fail(job, refused.code, refused.message)

    def job(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        with self._lock:
            return self._jobs.get(job_id)

    def images(self) -> list[Image]:
        """Return all images, the oldest first."""
        with self._lock:
            return sorted(self._images.values(), key=lambda i: (i.created_at, i.image_id))

    def delete(self, image_id: str) -> bool:
        """Remove an image that is whole, and its disk; False if there is none."""
        with self._lock:
            image = self._images.get(image_id)
            if image is None or image.status != "active":
                return False
            del self._images[image_id]
        (self._folder / "images" / f"{image_id}.json").unlink(missing_ok=True)
        (self._folder / "disks" / f"{image_id}.raw").unlink(missing_ok=True)
        return True

    def stop(self) -> None:
        """Let running jobs end early and wait for their threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, job: Job, source: ObjectSource) -> None:
        thread = threading.Thread(target=self._work, args=(job, source), name=job.job_id)
        self._threads.append(thread)
        thread.start()

    def _work(self, job: Job, source: ObjectSource) -> None:
        faults = self._faults()
        job = self._keep(replace(job, status="RUNNING"))
        try:
            if not self._pass_time(job, faults.slow_job_s):
                return  # the emulator is ending; the next one begins this job again
            if faults.fail_job:
                raise RefusedError(faults.fail_job)
            check_fit(job.body, virtual_size(source))
            path = self._folder / "disks" / f"{job.image_id}.raw"
            disk = materialise(source, path, self._stopping.is_set, self._telling(job))
        except EmulatorStoppedError:
            return
        except RefusedError as refused:
            self._fail(job, refused.code, refused.message)
        except (ImsprepError, OSError) as error:
            self._fail(job, "IMG.0061", str(error))
        else:
            self._succeed(job, disk)

    def _pass_time(self, job: Job, seconds: float) -> bool:
        """Let a slow job be slow; False if the emulator is ending."""
        steps = 20
        for step in range(steps if seconds else 0):
            self._keep(replace(job, progress=step / steps))
            if self._stopping.wait(seconds / steps):
                return False
        return not self._stopping.is_set()

    def _telling(self, job: Job) -> Callable[[float], None]:
        """Return what keeps how far a job is, now and then."""
        last = time.monotonic()

        def on_share(share: float) -> None:
            nonlocal last
            if (now := time.monotonic()) >= last + _BETWEEN_S:
                last = now
                self._keep(replace(job, progress=round(share, 2)))

        return on_share

    def _succeed(self, job: Job, disk: MadeDisk) -> None:
        facts = {**disk._asdict(), "path": str(disk.path)}
        self._keep_image(Image(job.image_id, "active", job.body, job.begin_time, facts))
        self._keep(replace(job, status="SUCCESS", progress=1.0, end_time=_now()))

    def _fail(self, job: Job, code: str, reason: str) -> None:
        with self._lock:
            self._images.pop(job.image_id, None)
        (self._folder / "images" / f"{job.image_id}.json").unlink(missing_ok=True)
        self._keep(
            replace(job, status="FAIL", error_code=code, fail_reason=reason, end_time=_now())
        )

    def _keep(self, job: Job) -> Job:
        with self._lock:
            self._jobs[job.job_id] = job
            atomic.write_json(self._folder / "jobs" / f"{job.job_id}.json", asdict(job))
        return job

    def _keep_image(self, image: Image) -> None:
        with self._lock:
            self._images[image.image_id] = image
            atomic.write_json(self._folder / "images" / f"{image.image_id}.json", asdict(image))


def read_images(folder: Path) -> list[Image]:
    """Return the images that are kept below a folder; ReadError names a record that is damaged."""
    return _read_all(folder / "images", Image)


def job_type(body: Body) -> str:
    """Return the job's type; which one quick import has is documented nowhere: inferred."""
    return "imsImportDataImageJob" if is_data_disk(body) else "imsImportImageJob"


def check_fit(body: Body, size: int) -> None:
    """Fail late if the disk is larger than was asked for; neither time nor code is documented."""
    most = body.get("min_disk") or 0
    if size > most * GIB:
        raise RefusedError("IMG.0111", f"min_disk is {most} GB, the disk has {exact_size(size)}.")


def _read_all(folder: Path, record: Callable[..., T]) -> list[T]:
    """Read the records of an earlier run; ReadError names one that is none."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(record(**json.loads(path.read_bytes())))
        except (OSError, ValueError, TypeError) as error:
            raise ReadError(
                f"{show_path(path)} is not a record of the emulator ({error}); remove it to go on"
            ) from error
    return found


def _now() -> str:
    """Return the time as the documents' newer examples write it."""
    now = datetime.fromtimestamp(time.time(), UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
