"""What an import is on its way: its task, what it will upload, and the plan that can be printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imsprep.bitmap.layout import BitmapLayout
from imsprep.checks.policy import Policy
from imsprep.cloud.sites import Site
from imsprep.image.file import Identity, Sharing
from imsprep.ims.region import RegionFacts
from imsprep.ims.request import QuickImportRequest, RequestFields
from imsprep.options import ImportOptions
from imsprep.pipeline import upload_formats
from imsprep.pipeline.container import kept
from imsprep.pipeline.container.streamed import StreamTask
from imsprep.pipeline.upload_formats import Comparison
from imsprep.report import Report, Severity
from imsprep.store.bucket import BucketFacts
from imsprep.store.contract import ObjectStore
from imsprep.store.target import Target
from imsprep.system.paths import optional_path
from imsprep.upload.plan import PartPlan
from imsprep.zvhd2.writer import PackTask


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
    # store.ownership); None asks nothing.
    ask_bucket: Callable[..., BucketFacts | None] | None = field(default=None, repr=False)
    # Gives the bucket, open; `Prepared` hands it on, so that it is opened once.
    open_store: Callable[[], ObjectStore] | None = field(default=None, repr=False)
    ask_service: Callable[[str], RegionFacts | None] | None = field(default=None, repr=False)
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)
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
    identity: Mapping[str, Any]
    artefacts: tuple[Artefact, ...]  # in the order in which they are uploaded
    request: QuickImportRequest
    report: Report
    comparison: Comparison | None = None  # of the upload formats, if it was asked for
    layout: BitmapLayout | None = None  # of the bitmap, as far as it is known
    digest: str | None = None  # of the disk, where it is known before anything is sent
    sharing: Sharing | None = None  # whether programs may have written to the image meanwhile
    seconds: float = 0.0  # that preparing took
    # Gives the bucket that was asked, open.
    open_store: Callable[[], ObjectStore] | None = field(default=None, repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan for `--dry-run`: the exact body and every part."""
        return {
            "image": str(self.image),
            "size": self.size,
            "data_bytes": self.data_bytes,
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
            "body": self.request.as_body(),
            "sharing": self.sharing.as_dict() if self.sharing else None,
            "report": self.report.as_dict(),
            "comparison": self.comparison.as_dict() if self.comparison else None,
        }
