"""The pipeline: upload what was prepared, ask for the import, wait, and keep the manifest.

The steps are plain functions with values between them:

    prepare   image -> Prepared      check, scan, bitmap or container: nothing leaves the machine
    ship      Prepared -> Imported   upload, import, wait

`ship` may be called again with the same Prepared after any interruption: objects that are there are
not sent again, a job that was started is waited for, and a request that may have been accepted is
looked for before anything is asked.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from imsprep.errors import ImageChangedError, JobFailedError, ServiceError, show_path
from imsprep.image.archive import unpacked
from imsprep.image.file import Identity
from imsprep.ims.job import JobStatus
from imsprep.ims.listed import CloudImage
from imsprep.ims.request import QuickImportRequest
from imsprep.ims.submit import LOOK_FOR_S, Started, look, patiently, submit, wait_for_image
from imsprep.ims.wait import PollPolicy, is_unknown_job, wait
from imsprep.pipeline import manifest as manifests
from imsprep.pipeline.container.streamed import StreamTask, maker_of
from imsprep.pipeline.manifest import ASKING, DONE, FAILED, STARTED, UPLOADED, Manifest, SentObject
from imsprep.pipeline.values import Artefact, Prepared
from imsprep.report import Report
from imsprep.store.contract import ObjectStore
from imsprep.store.etags import same_etag
from imsprep.store.ownership import PLAN
from imsprep.system.locking import locked
from imsprep.units import MIB
from imsprep.upload.journal import Journal
from imsprep.upload.plan import PartPlan
from imsprep.upload.stream import stream
from imsprep.upload.transfer import upload
from imsprep.upload.values import Destination, Progress, Source, TransferPolicy, Uploaded

KEEP, ON_SUCCESS, ALWAYS = "keep", "success", "always"
CLEANUP = (KEEP, ON_SUCCESS, ALWAYS)
IMAGE, BITMAP = "image", "bitmap"


@dataclass(frozen=True)
class Took:
    """How long an import took in this run, in seconds, and what was expected of it."""

    seconds: float  # the whole, from the check to the image
    waited_s: float  # for the job
    estimated_s: float | None = None  # of the whole way; None: not all of it was gone in this run
    with_wait: bool = True  # whether the estimate has the job in it

    @property
    def compared_s(self) -> float:
        """What the estimate is of."""
        return self.seconds if self.with_wait else self.seconds - self.waited_s

    def as_dict(self) -> dict[str, Any]:
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
    took: Took = field(default_factory=lambda: Took(0.0, 0.0))

    @property
    def data_share(self) -> float:
        """The share of the disk that holds data, 0 to 1."""
        return self.data_bytes / self.size if self.size else 0.0

    def as_dict(self) -> dict[str, Any]:
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
            "took": self.took.as_dict(),
            "report": self.report.as_dict(),
        }


class Service(Protocol):
    """What is needed of the import API; `ims.ImsClient` is one."""

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
    open_source: Callable[[Path], AbstractContextManager[Source]]
    progress: Progress
    policy: TransferPolicy
    cleanup: str = KEEP
    with_sha256: bool = False
    on_job: Callable[[str], object] = lambda job_id: None  # called when a job runs
    lock_wait_s: float = 0.0  # how long to wait for another process that imports this image
    clock: Callable[[], float] = time.perf_counter


def ship(prepared: Prepared, shipping: ShipTask) -> Imported:
    """Upload, import and wait; see the module for what a second call does.

    One process at a time works on an image. Raises UsageError if the manifest is not ours to
    replace, TransferError if running again continues or another process works on it, ServiceError
    if something was refused, JobFailedError, WaitTimeoutError.
    """
    path = manifests.path_for(prepared.image)
    lock, pace = path.with_suffix(".lock"), shipping.pace
    what = f"the import of {show_path(prepared.image.name)}"
    try:
        with locked(lock, what, wait_s=shipping.lock_wait_s, sleep=pace.sleep):
            return _ship(prepared, shipping, path)
    finally:
        unpacked.drop(Identity(**prepared.identity))


def _ship(prepared: Prepared, shipping: ShipTask, path: Path) -> Imported:
    """Do what `ship` says, alone with this image."""
    uploads: tuple[Uploaded, ...] = ()
    manifests.check_replaceable(path, prepared.image)
    started = shipping.clock()
    begun = replace(shipping, pace=shipping.pace.started())
    state = _taken_up(prepared, begun, path)
    if state is None:
        state, uploads = _upload(prepared, shipping, path)
        begun = replace(shipping, pace=shipping.pace.started())  # all that is behind the upload
    sent_s = shipping.clock() - started
    if state.state != DONE:
        state = _import_or_note_why_not(prepared, begun, state, path)
    took = _took(prepared, uploads, sent_s, shipping.clock() - started)
    removed = _clean(state, shipping, failed=False)
    return replace(_imported(prepared, state, path, uploads), removed=removed, took=took)


def _took(
    prepared: Prepared, uploads: tuple[Uploaded, ...], sent_s: float, shipped_s: float
) -> Took:
    """Return how long it took; the estimate only where this run went the whole way."""
    whole = bool(uploads) and not any(done.reused or done.skipped for done in uploads)
    chosen = prepared.comparison.chosen if prepared.comparison else None
    return Took(
        prepared.seconds + shipped_s,
        shipped_s - sent_s,
        chosen.seconds if chosen and whole else None,
        with_wait=bool(chosen and chosen.wait_s is not None),
    )


def _imported(
    prepared: Prepared, state: Manifest, path: Path, uploads: tuple[Uploaded, ...]
) -> Imported:
    return Imported(
        image_id=state.image_id or "",
        job_id=state.job_id,
        size=prepared.size,
        data_bytes=_data_bytes(state, prepared),
        sent=sum(done.sent for done in uploads),
        copied=sum(done.copied for done in uploads),
        uploads=uploads,
        report=prepared.report,
        manifest=path,
        files=tuple(artefact.path for artefact in prepared.artefacts),
    )


def _data_bytes(state: Manifest, prepared: Prepared) -> int:
    """Return what was counted while it was packed; before, holes alone are known to be no data."""
    counted = state.image.get("data_bytes")
    return counted if type(counted) is int else prepared.data_bytes


def _taken_up(prepared: Prepared, shipping: ShipTask, path: Path) -> Manifest | None:
    """Return where an earlier run left this very import; None if something has to be sent first.

    A job that runs is reading its objects, so nothing is sent while it may.
    """
    earlier = manifests.read(path)
    if earlier is None or not _is_same(earlier, prepared, shipping):
        return None
    if earlier.state == DONE:
        return earlier if _is_listed(earlier, shipping) else None
    if earlier.state == ASKING:
        return _found(earlier, prepared, shipping, path, limit_s=_doubt_s(earlier))
    return earlier if earlier.state == STARTED else None


def _is_same(earlier: Manifest, prepared: Prepared, shipping: ShipTask) -> bool:
    """Return whether an earlier run imported this file with this request and this bitmap."""
    body = prepared.request.as_body()
    if not earlier.is_about(_image(prepared), body, shipping.service_name):
        return False
    kept = {sent.key: sent.sha256 for sent in earlier.objects if sent.role == BITMAP}
    for artefact in (a for a in prepared.artefacts if a.role == BITMAP):
        with shipping.open_source(artefact.path) as source:
            if kept.get(artefact.key) != _sha256(source, artefact.plan):
                return False
    return True


def _is_listed(earlier: Manifest, shipping: ShipTask) -> bool:
    listed = _images(shipping, str(earlier.request["name"]))
    return any(i.image_id == earlier.image_id and i.status == "active" for i in listed)


def _images(shipping: ShipTask, name: str) -> list[CloudImage]:
    return patiently(partial(shipping.service.images, name), shipping.pace)


def _found(
    earlier: Manifest, prepared: Prepared, shipping: ShipTask, path: Path, *, limit_s: float
) -> Manifest | None:
    """Look for the image of a request that may have been accepted; a refusal leaves the doubt."""
    before, pace = earlier.images_before, shipping.pace
    if limit_s:
        pace.on_warning(
            "an earlier run may have requested this import; looking for its image for"
            f" {limit_s:.0f} s first"
        )
    image = look(shipping.service, prepared.request, pace, before=before, limit_s=limit_s)
    if image is None:
        return None
    state = earlier.at(STARTED, _now(), image_id=image.image_id)
    manifests.write(path, state)
    return state


def _doubt_s(earlier: Manifest) -> float:
    """Return how long the image of a request may still stay out of the list, in seconds."""
    try:
        asked = datetime.fromisoformat((earlier.times or {})[ASKING])
        age = (datetime.now(UTC) - asked).total_seconds()
    except (KeyError, ValueError, TypeError):
        return LOOK_FOR_S
    return float(math.ceil(min(LOOK_FOR_S, max(0.0, LOOK_FOR_S - age))))


def _upload(
    prepared: Prepared, shipping: ShipTask, path: Path
) -> tuple[Manifest, tuple[Uploaded, ...]]:
    """Send what is not there yet; return the manifest of the import that is to be asked for."""
    done, records = zip(
        *(_send(artefact, prepared.image, shipping) for artefact in prepared.artefacts), strict=True
    )
    digests = [prepared.digest, *(one.digest for one in done)]
    counted = [prepared.data_bytes, *(one.data_bytes for one in done if one.data_bytes is not None)]
    digest = next((d for d in digests if d), None)
    prepared = replace(prepared, digest=digest, data_bytes=counted[-1])
    state = _begin(prepared, shipping, records, path)
    if state.state == ASKING:  # still in doubt, and sending took its time
        state = _found(state, prepared, shipping, path, limit_s=0) or state
    return state, done


def _image(prepared: Prepared) -> dict[str, Any]:
    """Return what the manifest says of the image."""
    found = {
        "name": prepared.image.name,
        "size": prepared.size,
        "data_bytes": prepared.data_bytes,
        "identity": dict(prepared.identity),
        **({"sharing": prepared.sharing.as_dict()} if prepared.sharing else {}),
    }
    return {**found, "digest": prepared.digest} if prepared.digest else found


def _send(artefact: Artefact, image: Path, shipping: ShipTask) -> tuple[Uploaded, SentObject]:
    """Upload one file; return how it went and what the manifest says of it."""
    if artefact.streaming is not None:
        return _pack_and_send(artefact, artefact.streaming, shipping)
    with shipping.open_source(artefact.path) as source:
        if source.identity != artefact.identity:
            # The plan says which blocks are empty, and that was another file.
            raise ImageChangedError(
                f"{show_path(artefact.path)} changed after it was checked; run again"
            )
        # That of a bitmap tells in a later run whether it is the same import.
        wanted = shipping.with_sha256 or artefact.role == BITMAP
        sha256 = _sha256(source, artefact.plan) if wanted else None
        to = Destination(
            shipping.store, shipping.target, artefact.key, Journal.for_file(artefact.path), image
        )
        policy = replace(shipping.policy, with_digest=artefact.role == IMAGE)
        done = upload(source, artefact.plan, to, policy, shipping.progress)
    return done, SentObject(
        artefact.role,
        artefact.path.name,
        shipping.bucket,
        artefact.key,
        done.size,
        done.etag,
        sha256,
        done.sent + done.reused,
    )


def _pack_and_send(
    artefact: Artefact, streaming: StreamTask, shipping: ShipTask
) -> tuple[Uploaded, SentObject]:
    """Pack an image while its container is sent; as `_send`."""
    with maker_of(artefact.path, streaming) as maker:
        if maker.identity != artefact.identity:
            raise ImageChangedError(
                f"{show_path(artefact.path)} changed after it was checked; run again"
            )
        path = artefact.path
        journal = Journal.for_file(path)
        to = Destination(shipping.store, shipping.target, artefact.key, journal, path)
        done = stream(maker, to, shipping.policy, shipping.progress)
        facts = maker.facts()
    done = replace(done, digest=facts["digest"], data_bytes=facts["data_bytes"])
    name, sent = artefact.path.name, done.sent + done.reused
    return done, SentObject(
        artefact.role, name, shipping.bucket, artefact.key, done.size, done.etag, None, sent
    )


def _begin(
    prepared: Prepared, shipping: ShipTask, sent: tuple[SentObject, ...], path: Path
) -> Manifest:
    """Return the manifest of this import: an earlier run's if it got as far with the same one."""
    fresh = Manifest(
        state=UPLOADED,
        image=_image(prepared),
        objects=sent,
        request=prepared.request.as_body(),
        service=shipping.service_name,
        findings=tuple(finding.as_dict() for finding in prepared.report.findings),
    ).at(UPLOADED, _now())
    earlier = manifests.read(path)
    in_progress = earlier is not None and earlier.state in (UPLOADED, ASKING)
    if earlier is not None and in_progress and _is_same(earlier, prepared, shipping):
        known = {(old.key, old.etag): old for old in earlier.objects}
        objects = tuple(known.get((new.key, new.etag), new) for new in sent)
        image = {**earlier.image, **fresh.image}  # whose digest this run may not have computed
        fresh = replace(earlier, objects=objects, image=image)
    manifests.write(path, fresh)
    return fresh


def _import_or_note_why_not(
    prepared: Prepared, shipping: ShipTask, state: Manifest, path: Path
) -> Manifest:
    """Import, and keep in the manifest why it failed."""
    try:
        return _import(prepared, shipping, state, path)
    except ServiceError as error:
        latest = manifests.read(path) or state
        # A question that was refused says nothing about a job that runs.
        ended = isinstance(error, JobFailedError) or is_unknown_job(error)
        if ended or latest.state != STARTED:
            manifests.write(path, latest.at(FAILED, _now(), reason=str(error)))
            _clean(latest, shipping, failed=True)
        raise


def _import(prepared: Prepared, shipping: ShipTask, state: Manifest, path: Path) -> Manifest:
    """Take the import from where it stands to its image."""
    if state.state != STARTED:
        before = state.images_before
        if state.state != ASKING:
            before = tuple(i.image_id for i in _images(shipping, prepared.request.name))
        state = state.at(ASKING, _now(), images_before=before)
        manifests.write(path, state)
        begun = submit(shipping.service, prepared.request, shipping.pace, before=before)
        state = state.at(STARTED, _now(), job_id=begun.job_id, image_id=begun.image_id)
        manifests.write(path, state)
    image_id = _finish(Started(state.job_id, state.image_id), prepared, shipping)
    state = state.at(DONE, _now(), image_id=image_id)
    manifests.write(path, state)
    return state


def _finish(begun: Started, prepared: Prepared, shipping: ShipTask) -> str:
    """Wait for the job, or for the image of a job whose id was lost; return the image's id."""
    service, pace = shipping.service, shipping.pace
    if begun.job_id is None:
        return wait_for_image(service, prepared.request.name, begun.image_id or "", pace)
    shipping.on_job(begun.job_id)
    status = wait(service.job, begun.job_id, pace)
    if status.image_id is None:
        raise ServiceError(f"job {begun.job_id} succeeded and named no image; look in the console")
    return status.image_id


def _clean(state: Manifest, shipping: ShipTask, *, failed: bool) -> tuple[str, ...]:
    """Remove the objects if that was asked for; return their keys.

    What has taken an object's place since then is not imsprep's, and stays; so does what imsprep
    did not make, whatever a manifest says.
    """
    if shipping.cleanup == KEEP or (failed and shipping.cleanup != ALWAYS):
        return ()
    removed = []
    for sent in state.objects:
        found = shipping.store.head(sent.key)
        same = found is not None and found.size == sent.size and same_etag(found.etag, sent.etag)
        if found is not None and same and PLAN in found.metadata:
            shipping.store.delete(sent.key)
            removed.append(sent.key)
    return tuple(removed)


def _sha256(source: Source, plan: PartPlan) -> str:
    """Return the SHA-256 of a whole file; parts of zeros are not read for it."""
    digest, step = hashlib.sha256(), 4 * MIB
    zeros = memoryview(bytes(step))
    for part in plan.parts:
        for offset in range(part.offset, part.offset + part.length, step):
            length = min(step, part.offset + part.length - offset)
            digest.update(zeros[:length] if part.is_zero else source.pread(offset, length))
    source.check_unchanged()
    return digest.hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
