"""What an import is on its way: its task, the plan that can be printed, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from imsprep.bitmap.layout import BitmapLayout
from imsprep.checks.policy import Policy
from imsprep.checks.subject.boot_mode import BootMode
from imsprep.cloud.sites import Site
from imsprep.image.file import Sharing
from imsprep.image.identity import Identity
from imsprep.ims.job import JobStatus
from imsprep.ims.listed import CloudImage
from imsprep.ims.region import RegionFacts
from imsprep.ims.request import QuickImportRequest, RequestFields
from imsprep.ims.wait import PollPolicy
from imsprep.options import ImportOptions
from imsprep.pipeline import upload_formats
from imsprep.pipeline.container import kept
from imsprep.pipeline.container.streamed import StreamTask
from imsprep.pipeline.upload_formats import Comparison
from imsprep.progress import UPLOAD, Event
from imsprep.report import Report, Severity
from imsprep.store.bucket import BucketFacts
from imsprep.store.contract import ObjectStore
from imsprep.store.target import Target
from imsprep.system.paths import optional_path
from imsprep.upload.plan import PartPlan
from imsprep.upload.values import TransferPolicy, Uploaded, UploadProgress
from imsprep.zvhd2.source import OpenImage
from imsprep.zvhd2.writer import PackTask

KEEP, ON_SUCCESS, ALWAYS = "keep", "success", "always"
CLEANUP = (KEEP, ON_SUCCESS, ALWAYS)
IMAGE, BITMAP = "image", "bitmap"


@dataclass(frozen=True)
class ImportTask:
    """The options of an import, with what they name and whom it calls on its way."""

    options: ImportOptions
    fields: RequestFields  # as far as they are known
    target: Target
    site: Site
    policy: Policy
    fail_on: Severity | None
    packing: PackTask  # of a container that is made
    layout: BitmapLayout | None = None  # of the bitmap; None: as the one that is there has it
    bytes_per_s: float = upload_formats.BANDWIDTH  # of the line, for the comparison of formats
    dry_run: bool = False  # make no container
    # What the bucket says of the keys of the import, and of whose objects they may replace (see
    # store.object_ownership); None asks nothing.
    ask_bucket: Callable[..., BucketFacts | None] | None = field(default=None, repr=False)
    # Gives the bucket, open; `Prepared` hands it on, so that it is opened once.
    open_store: Callable[[], ObjectStore] | None = field(default=None, repr=False)
    ask_service: Callable[[str], RegionFacts | None] | None = field(default=None, repr=False)
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)
    began: float = 0.0  # by that clock
    progress: Callable[[int], None] = field(default=lambda count: None, repr=False)  # of the scan
    packed: Callable[[int], None] = field(default=lambda count: None, repr=False)  # bytes of disk
    log: Callable[[str], object] = field(default=lambda news: None, repr=False)  # news, in words

    @property
    def bitmap(self) -> Path | None:
        """The bitmap that was made elsewhere and is sent as it is."""
        return optional_path(self.options.bitmap)

    def place_for(self, image: Path) -> Path:
        """Return the container's file, also where it only gives the object its name."""
        keep = optional_path(self.options.keep_container)
        return keep or kept.place_for(image, optional_path(self.options.work_dir))

    @property
    def streams(self) -> bool:
        """Return whether a container is packed while it is sent."""
        return self.options.keep_container is None and self.options.work_dir is None


@dataclass(frozen=True)
class Artefact:
    """A file on this machine that becomes an object."""

    role: str  # image, bitmap or container
    path: Path
    key: str
    plan: PartPlan
    identity: Identity  # of the file that the plan was made of
    estimated: bool = False  # the file is not made yet, and its size is a guess
    streaming: StreamTask | None = None  # it is packed of `path` while it is sent, and no file


@dataclass(frozen=True)
class Prepared:
    """An image that is ready to be shipped, and everything that will be done with it."""

    image: Path
    size: int  # bytes, what the guest sees
    data_bytes: int  # bytes in blocks that hold data
    identity: Identity
    artefacts: tuple[Artefact, ...]  # in the order in which they are uploaded
    request: QuickImportRequest
    report: Report
    boot_mode: BootMode | None = None  # of the servers; None: a data disk
    comparison: Comparison | None = None  # of the upload formats, if it was asked for
    layout: BitmapLayout | None = None  # of the bitmap, as far as it is known
    digest: str | None = None  # of the disk, where it is known before anything is sent
    sharing: Sharing | None = None  # whether programs may have written to the image meanwhile
    seconds: float = 0.0  # that preparing took
    imported: str | None = None  # id of the image that an earlier run made so; of a dry run
    # Gives the bucket that was asked, open.
    open_store: Callable[[], ObjectStore] | None = field(default=None, repr=False, compare=False)

    @property
    def upload_event(self) -> Event:
        """What is said of an upload before it begins."""
        plans = [artefact.plan for artefact in self.artefacts]
        return Event(
            UPLOAD,
            total=sum(plan.size for plan in plans),
            sent=sum(plan.sent for plan in plans),
            copied=sum(plan.copied for plan in plans),
            estimated=self.estimated,
        )

    @property
    def estimated(self) -> bool:
        """Whether what is going to be sent is not known to the byte."""
        return any(artefact.estimated for artefact in self.artefacts)

    def as_dict(self) -> dict[str, object]:
        """Return the plan for `--dry-run`: the exact body and every part."""
        return {
            "image": str(self.image),
            "size": self.size,
            "data_bytes": self.data_bytes,
            "boot_mode": self.boot_mode.as_dict() if self.boot_mode else None,
            "body": self.request.as_body(),
            "uploads": [
                {
                    "role": a.role,
                    "file": str(a.path),
                    "key": a.key,
                    "estimated": a.estimated,
                    "plan": a.plan.as_dict(),
                }
                for a in self.artefacts
            ],
            "imported": self.imported,
            "sharing": self.sharing.as_dict() if self.sharing else None,
            "comparison": self.comparison.as_dict() if self.comparison else None,
            "report": self.report.as_dict(),
        }


class Service(Protocol):
    """What is needed of the import API; `ims.client.ImsClient` is one."""

    def quick_import(self, request: QuickImportRequest, *, limit_s: float) -> str:
        """Ask for an import; return the job's id."""

    def job(self, job_id: str, *, limit_s: float) -> JobStatus:
        """Ask how far a job is."""

    def images(self, name: str, tag: str | None = None, *, limit_s: float) -> list[CloudImage]:
        """Return the private images of this name."""


@dataclass(frozen=True)
class ShipTask:
    """What `ship` works with; all that varies is here."""

    store: ObjectStore
    bucket: str
    target: str  # the bucket as the journal names it
    service: Service
    service_name: str  # its constant address, for the manifest
    pace: PollPolicy
    digest_of: Callable[[OpenImage], str]  # of the disk in an image of whatever format
    progress: UploadProgress
    policy: TransferPolicy
    cleanup: str = KEEP
    with_sha256: bool = False
    force_share: bool = False  # read a file that other programs may write to
    on_upload: Callable[[], object] = lambda: None  # called before the first object is sent
    on_job: Callable[[str], object] = lambda job_id: None  # called when a job runs
    lock_wait_s: float = 0.0  # how long to wait for another process that imports this image
    clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Took:
    """How long an import took in this run, in seconds, and what was expected of it."""

    seconds: float  # the whole, from the check to the image
    waited_s: float  # for the job
    estimated_s: float | None = None  # of the whole way; None: not all of it was gone in this run
    with_wait: bool = True  # whether the estimate has the job in it

    @classmethod
    def of(
        cls, prepared: Prepared, uploads: tuple[Uploaded, ...], sent_s: float, shipped_s: float
    ) -> Took:
        """Return how long it took; the estimate only where this run went the whole way."""
        whole = bool(uploads) and not any(done.reused or done.skipped for done in uploads)
        chosen = prepared.comparison.chosen if prepared.comparison else None
        return cls(
            prepared.seconds + shipped_s,
            shipped_s - sent_s,
            chosen.seconds if chosen and whole else None,
            with_wait=bool(chosen and chosen.wait_s is not None),
        )

    @property
    def compared_s(self) -> float:
        """What the estimate is of."""
        return self.seconds if self.with_wait else self.seconds - self.waited_s

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        expected = None if self.estimated_s is None else round(self.estimated_s, 3)
        return {
            "seconds": round(self.seconds, 3),
            "waited_seconds": round(self.waited_s, 3),
            "estimated_seconds": expected,
            "estimate_has_job": self.with_wait,
        }


@dataclass(frozen=True)
class Imported:
    """What came of it. Sizes in bytes."""

    image_id: str
    job_id: str | None  # None if its answer was lost and the image was found by name
    size: int
    data_bytes: int
    sent: int  # travelled in this run
    copied: int  # copied by the store, in this run
    uploads: tuple[Uploaded, ...] = field(repr=False)
    report: Report = field(repr=False)
    manifest: Path
    files: tuple[Path, ...]
    removed: tuple[str, ...] = ()  # keys of objects that --cleanup removed
    earlier: bool = False  # an earlier run made the image, and this one asked for nothing
    boot_mode: BootMode | None = None  # of its servers; None: a data disk
    took: Took = field(default_factory=lambda: Took(0.0, 0.0))
    disk: Path | None = None  # that the local service made; None: another service's

    @property
    def disk_size(self) -> int:
        """The disk's own size in bytes; a container, and so `size`, may round it up to GiB."""
        return self.report.facts.get("source_size") or self.size

    @property
    def data_share(self) -> float:
        """The share of the disk that holds data, 0 to 1."""
        return self.data_bytes / self.size if self.size else 0.0

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "image_id": self.image_id,
            "job_id": self.job_id,
            "size": self.size,
            "data_bytes": self.data_bytes,
            "data_share": round(self.data_share, 6),
            "sent": self.sent,
            "copied": self.copied,
            "manifest": str(self.manifest),
            "files": [str(path) for path in self.files],
            "removed": list(self.removed),
            "earlier": self.earlier,
            "boot_mode": self.boot_mode.as_dict() if self.boot_mode else None,
            "disk": str(self.disk) if self.disk else None,
            "took": self.took.as_dict(),
            "report": self.report.as_dict(),
        }
