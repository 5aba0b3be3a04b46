"""The pipeline: upload what was prepared, ask for the import, wait, and keep the manifest.

The steps are plain functions with values between them:

    prepare   image -> Prepared      check, scan, bitmap or container: nothing leaves the machine
    ship      Prepared -> Imported   upload, import, wait

Both read the one open image. `ship` may be called again with the same Prepared after any
interruption: objects that are there are not sent again, a job that was started is waited for, and a
request that may have been accepted is looked for before anything is asked.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from imsprep.errors import JobFailedError, ServiceError, TransferError, UncertainError, show_path
from imsprep.image.file import RawImage
from imsprep.ims.listed import CloudImage
from imsprep.ims.submit import LOOK_FOR_S, Started, look, patiently, submit, wait_for_image
from imsprep.ims.wait import is_unknown_job, wait
from imsprep.pipeline import manifest as manifests
from imsprep.pipeline.manifest import (
    ASKING,
    BEGUN,
    DONE,
    FAILED,
    STARTED,
    UPLOADED,
    Manifest,
    ManifestImage,
    SentObject,
)
from imsprep.pipeline.send import send, sha256_of
from imsprep.pipeline.values import ALWAYS, BITMAP, KEEP, Imported, Prepared, ShipTask, Took
from imsprep.store.etags import same_etag
from imsprep.store.object_ownership import PLAN
from imsprep.system.locking import locked
from imsprep.upload.values import Uploaded
from imsprep.zvhd2.source import OpenImage


def ship(prepared: Prepared, image: OpenImage, task: ShipTask) -> Imported:
    """Upload, import and wait; see the module for what a second call does.

    The image is closed when it is sent: the job may take hours. One process at a time works on an
    image. Raises UsageError if the manifest is not ours to replace, TransferError if running again
    continues or another process works on it, ServiceError if something was refused,
    JobFailedError, WaitTimeoutError.
    """
    path = manifests.path_for(prepared.image)
    lock, pace = path.with_suffix(".lock"), task.pace
    what = f"the import of {show_path(prepared.image.name)}"
    with locked(lock, what, wait_s=task.lock_wait_s, sleep=pace.sleep):
        return _ship(prepared, image, task, path)


def _ship(prepared: Prepared, image: OpenImage, task: ShipTask, path: Path) -> Imported:
    """Do what `ship` says, alone with this image."""
    uploads: tuple[Uploaded, ...] = ()
    manifests.check_replaceable(path, prepared.image)
    started = task.clock()
    begun = replace(task, pace=task.pace.started())
    prepared = _with_digest(prepared, image, task, path)
    state = _taken_up(prepared, begun, path)
    was_done = state is not None and state.state == DONE
    if state is None:
        _tell_of_another(prepared, task, path)
        state, uploads = _upload(prepared, image, task, path)
        begun = replace(task, pace=task.pace.started())  # all that is behind the upload
    image.close()
    sent_s = task.clock() - started
    if state.state != DONE:
        state = _import_or_note_why_not(prepared, begun, state, path)
    took = Took.of(prepared, uploads, sent_s, task.clock() - started)
    removed = _clean(state, task, failed=False)
    done = _imported(prepared, state, path, uploads)
    return replace(done, earlier=was_done, removed=removed, took=took)


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
        boot_mode=prepared.boot_mode,
    )


def _data_bytes(state: Manifest, prepared: Prepared) -> int:
    """Return what was counted while it was packed; before, holes alone are known to be no data."""
    counted = state.image.data_bytes
    return prepared.data_bytes if counted is None else counted


def _with_digest(prepared: Prepared, opened: OpenImage, task: ShipTask, path: Path) -> Prepared:
    """Add the disk's digest where only that tells whether an earlier run imported it."""
    image, asked = _image(prepared), (prepared.request.as_body(), task.service_name)
    alike = [
        one
        for one in manifests.imports_of(manifests.read(path))
        if one.state in BEGUN and (one.request, one.service) == asked and one.may_hold(image)
    ]
    if image.digest is not None or not alike or any(one.is_about(image, *asked) for one in alike):
        return prepared
    task.pace.on_warning(
        "the file is in another state than when it was imported before (its time, owner or mode);"
        " reading it to find out whether it is the same disk"
    )
    return replace(prepared, digest=task.digest_of(opened))


def _taken_up(prepared: Prepared, task: ShipTask, path: Path) -> Manifest | None:
    """Return where an earlier run left this very import; None if something has to be sent first.

    A job that runs is reading its objects, so nothing is sent while it may. The manifest is then
    that of this import, and keeps the others.
    """
    latest = manifests.read(path)
    found = _same(latest, prepared, task)
    if latest is None or found is None or found.state not in BEGUN:
        return None
    if found.state == DONE and not _is_listed(found, task):
        return None
    taken, image = latest.turned_to(found), _image(prepared)
    if taken.image.identity != image.identity and taken.state != ASKING:
        taken = replace(taken, image=replace(taken.image, identity=image.identity))
    if taken is not latest:
        manifests.write(path, taken)
    if taken.state == ASKING:
        return _found(taken, prepared, task, path, limit_s=_doubt_s(taken))
    return taken


def _same(latest: Manifest | None, prepared: Prepared, task: ShipTask) -> Manifest | None:
    """Return this very import as an earlier run left it; None if there was none."""
    all_ = manifests.imports_of(latest)
    return next((one for one in all_ if _is_same(one, prepared, task)), None)


def _is_same(earlier: Manifest, prepared: Prepared, task: ShipTask) -> bool:
    """Return whether an earlier run imported this file with this request and this bitmap."""
    body = prepared.request.as_body()
    if not earlier.is_about(_image(prepared), body, task.service_name):
        return False
    kept = {sent.key: sent.sha256 for sent in earlier.objects if sent.role == BITMAP}
    for artefact in (a for a in prepared.artefacts if a.role == BITMAP):
        with RawImage.open_whole(artefact.path, force_share=task.force_share) as source:
            if kept.get(artefact.key) != sha256_of(source, artefact.plan):
                return False
    return True


def _tell_of_another(prepared: Prepared, task: ShipTask, path: Path) -> None:
    """Say where an earlier import of this file gave an image at this service, and why not this."""
    made = [
        one
        for one in manifests.imports_of(manifests.read(path))
        if one.state == DONE and one.service == task.service_name
    ]
    if not made:
        return
    same = next((one for one in made if _is_same(one, prepared, task)), None)
    earlier, body = same or made[0], prepared.request.as_body()
    keys = [key for key in {**earlier.request, **body} if earlier.request.get(key) != body.get(key)]
    before = f"image {earlier.image_id} was made of this file before"
    if same is not None:
        why = " and is no longer listed as active, so it is imported again"
    elif not earlier.is_about(_image(prepared), earlier.request, task.service_name):
        why = "; the file has changed since, so another image is made"
    elif keys:
        why = f" by another request ({', '.join(keys)} differs), so another image is made"
    else:
        why = " with another bitmap, so another image is made"
    task.pace.on_warning(before + why)


def _is_listed(earlier: Manifest, task: ShipTask) -> bool:
    listed = _images(task, str(earlier.request["name"]))
    return any(i.image_id == earlier.image_id and i.status == "active" for i in listed)


def _images(task: ShipTask, name: str) -> list[CloudImage]:
    return patiently(partial(task.service.images, name), task.pace)


def _found(
    earlier: Manifest, prepared: Prepared, task: ShipTask, path: Path, *, limit_s: float
) -> Manifest | None:
    """Look for the image of a request that may have been accepted; a refusal leaves the doubt."""
    before, pace = earlier.of_others, task.pace
    if limit_s:
        pace.on_warning(
            "an earlier run may have requested this import; looking for its image for"
            f" {limit_s:.0f} s first"
        )
    left_s = pace.end - pace.clock()
    image = look(task.service, prepared.request, pace, before=before, limit_s=limit_s)
    if image is None and left_s < limit_s:  # it may still come to be listed
        raise UncertainError(
            f"it is not known yet whether an earlier run's request for {prepared.request.name} was"
            f" accepted: its image may take {LOOK_FOR_S:.0f} s to be listed, and the time limit of"
            f" {pace.limit_s:.0f} s ended before. Nothing was requested; run the same command again"
        )
    if image is None:
        return None
    state = replace(earlier, image_id=image.image_id).at(STARTED, _now())
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
    prepared: Prepared, image: OpenImage, task: ShipTask, path: Path
) -> tuple[Manifest, tuple[Uploaded, ...]]:
    """Send what is not there yet; return the manifest of the import that is to be asked for."""
    task.on_upload()
    done, records = zip(
        *(send(artefact, image, task) for artefact in prepared.artefacts), strict=True
    )
    digests = [prepared.digest, *(one.digest for one in done)]
    counted = [prepared.data_bytes, *(one.data_bytes for one in done if one.data_bytes is not None)]
    digest = next((d for d in digests if d), None)
    prepared = replace(prepared, digest=digest, data_bytes=counted[-1])
    state = _begin(prepared, task, records, path)
    if state.state == ASKING:  # still in doubt, and sending took its time
        state = _found(state, prepared, task, path, limit_s=0) or state
    return state, done


def _image(prepared: Prepared) -> ManifestImage:
    """Return what the manifest says of the image."""
    return ManifestImage(
        prepared.image.name,
        prepared.size,
        prepared.identity,
        prepared.data_bytes,
        prepared.sharing,
        prepared.boot_mode.as_dict() if prepared.boot_mode else None,
        prepared.digest,
    )


def _begin(
    prepared: Prepared, task: ShipTask, sent: tuple[SentObject, ...], path: Path
) -> Manifest:
    """Return the manifest of this import: an earlier run's if it got as far with the same one."""
    fresh = Manifest(
        state=UPLOADED,
        image=_image(prepared),
        objects=sent,
        request=prepared.request.as_body(),
        service=task.service_name,
        findings=tuple(finding.as_dict() for finding in prepared.report.findings),
    ).at(UPLOADED, _now())
    latest = manifests.read(path)
    same = _same(latest, prepared, task)
    if same is not None and same.state in (UPLOADED, ASKING):
        known = {(old.key, old.etag): old for old in same.objects}
        objects = tuple(known.get((new.key, new.etag), new) for new in sent)
        digest = fresh.image.digest or same.image.digest  # which this run may not have computed
        fresh = replace(same, objects=objects, image=replace(fresh.image, digest=digest))
    if latest is not None:
        fresh = replace(fresh, earlier=latest.others(same))
    manifests.write(path, fresh)
    return fresh


def _import_or_note_why_not(
    prepared: Prepared, task: ShipTask, state: Manifest, path: Path
) -> Manifest:
    """Import, and keep in the manifest why it failed."""
    try:
        return _import(prepared, task, state, path)
    except ServiceError as error:
        latest = manifests.read(path) or state
        # A question that was refused says nothing about a job that runs.
        ended = isinstance(error, JobFailedError) or is_unknown_job(error)
        if ended or latest.state != STARTED:
            manifests.write(path, replace(latest, reason=str(error)).at(FAILED, _now()))
            with contextlib.suppress(ServiceError, TransferError):  # this error is the first one
                _clean(latest, task, failed=True)
        raise


def _import(prepared: Prepared, task: ShipTask, state: Manifest, path: Path) -> Manifest:
    """Take the import from where it stands to its image."""
    if state.state != STARTED:
        before = state.images_before
        if state.state != ASKING:
            before = tuple(i.image_id for i in _images(task, prepared.request.name))
        state = replace(state, images_before=before).at(ASKING, _now())
        manifests.write(path, state)
        begun = submit(task.service, prepared.request, task.pace, before=state.of_others)
        state = replace(state, job_id=begun.job_id, image_id=begun.image_id).at(STARTED, _now())
        manifests.write(path, state)
    image_id = _finish(Started(state.job_id, state.image_id), prepared, task)
    state = replace(state, image_id=image_id).at(DONE, _now())
    manifests.write(path, state)
    return state


def _finish(begun: Started, prepared: Prepared, task: ShipTask) -> str:
    """Wait for the job, or for the image of a job whose id was lost; return the image's id."""
    service, pace = task.service, task.pace
    if begun.job_id is None:
        return wait_for_image(service, prepared.request.name, begun.image_id or "", pace)
    task.on_job(begun.job_id)
    status = wait(service.job, begun.job_id, pace)
    if status.image_id is None:
        raise ServiceError(f"job {begun.job_id} succeeded and named no image; look in the console")
    return status.image_id


def _clean(state: Manifest, task: ShipTask, *, failed: bool) -> tuple[str, ...]:
    """Remove the objects if that was asked for; return their keys.

    What has taken an object's place since then is not imsprep's, and stays; so does what imsprep
    did not make, whatever a manifest says.
    """
    if task.cleanup == KEEP or (failed and task.cleanup != ALWAYS):
        return ()
    removed = []
    for sent in state.objects:
        found = task.store.head(sent.key)
        same = found is not None and found.size == sent.size and same_etag(found.etag, sent.etag)
        if found is not None and same and PLAN in found.metadata:
            task.store.delete(sent.key, version=found.version)
            removed.append(sent.key)
    return tuple(removed)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
