"""Send one artefact of an import: a file by its plan, or an image that is packed meanwhile.

What was open when the plan was made is what is read: the image is not opened again. A bitmap and a
container that was kept are files of their own, and opened here.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from imsprep.errors import ImageChangedError, show_path
from imsprep.image.file import RawImage
from imsprep.pipeline.container.streamed import StreamTask, maker_of
from imsprep.pipeline.manifest import SentObject
from imsprep.pipeline.values import BITMAP, IMAGE, Artefact, ShipTask
from imsprep.units import MIB
from imsprep.upload.journal import Journal
from imsprep.upload.plan import PartPlan
from imsprep.upload.stream import stream
from imsprep.upload.transfer import upload
from imsprep.upload.values import Destination, Source, Uploaded
from imsprep.zvhd2.source import OpenImage


def send(artefact: Artefact, image: OpenImage, task: ShipTask) -> tuple[Uploaded, SentObject]:
    """Upload one file, or pack and upload; return how it went and what the manifest says of it.

    Raises ImageChangedError if the file is not the one that was planned, and what `upload` and
    `stream` raise.
    """
    if artefact.streaming is not None:
        return _pack_and_send(artefact, artefact.streaming, image, task)
    with _opened(artefact, image, task) as source:
        _check_planned(source, artefact)
        # That of a bitmap tells in a later run whether it is the same import.
        wanted = task.with_sha256 or artefact.role == BITMAP
        sha256 = sha256_of(source, artefact.plan) if wanted else None
        to = Destination(
            task.store, task.target, artefact.key, Journal.for_file(artefact.path), image.path
        )
        policy = replace(task.policy, with_digest=artefact.role == IMAGE)
        done = upload(source, artefact.plan, to, policy, task.progress)
    return done, SentObject(
        artefact.role,
        artefact.path.name,
        task.bucket,
        artefact.key,
        done.size,
        done.etag,
        sha256,
        done.sent + done.reused,
    )


def _opened(artefact: Artefact, image: OpenImage, task: ShipTask) -> AbstractContextManager[Source]:
    """Open an artefact, unless it is the image."""
    if artefact.path == image.path:
        return nullcontext(image.file)
    return RawImage.open_whole(artefact.path, force_share=task.force_share)


def _check_planned(source: Source, artefact: Artefact) -> None:
    """Raise ImageChangedError unless the file is still as it was planned.

    The plan says which blocks are empty, and that would be another file.
    """
    if source.identity != artefact.identity:
        raise ImageChangedError(
            f"{show_path(artefact.path)} changed after it was checked; run again"
        )
    source.check_unchanged()


def _pack_and_send(
    artefact: Artefact, streaming: StreamTask, image: OpenImage, task: ShipTask
) -> tuple[Uploaded, SentObject]:
    """Pack an image while its container is sent; as `send`."""
    _check_planned(image.file, artefact)
    maker, path = maker_of(image, streaming), artefact.path
    to = Destination(task.store, task.target, artefact.key, Journal.for_file(path), path)
    done = stream(maker, to, task.policy, task.progress)
    facts = maker.facts()
    done = replace(done, digest=facts["digest"], data_bytes=facts["data_bytes"])
    name, sent = artefact.path.name, done.sent + done.reused
    return done, SentObject(
        artefact.role, name, task.bucket, artefact.key, done.size, done.etag, None, sent
    )


def sha256_of(source: Source, plan: PartPlan) -> str:
    """Return the SHA-256 of a whole file; parts of zeros are not read for it."""
    digest, step = hashlib.sha256(), MIB
    zeros, buffer = memoryview(bytes(step)), memoryview(bytearray(step))
    for part in plan.parts:
        for offset in range(part.offset, part.offset + part.length, step):
            length = min(step, part.offset + part.length - offset)
            if not part.is_zero:
                source.pread_into(offset, buffer[:length])
            digest.update(zeros[:length] if part.is_zero else buffer[:length])
    source.check_unchanged()
    return digest.hexdigest()
