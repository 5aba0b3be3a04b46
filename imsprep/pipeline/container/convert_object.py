"""Convert into a bucket: a disk becomes a ZVHD2 object while it is sent, without a file of it here.

It is the streamed upload of an import without the import. The container is dated as the image
unless a date is given, so that a run that was broken off continues and another makes the same
bytes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from imsprep.errors import UsageError, show_path
from imsprep.image import formats
from imsprep.image.file import RawImage
from imsprep.pipeline.container import kept
from imsprep.pipeline.container.streamed import StreamTask, maker_of
from imsprep.store.target import Bucket, check_objects_apart
from imsprep.system.ownership import check_lasting
from imsprep.units import format_ratio, format_size
from imsprep.upload.journal import Journal
from imsprep.upload.stream import stream
from imsprep.upload.values import Destination, TransferPolicy, Uploaded
from imsprep.zvhd2 import records
from imsprep.zvhd2.source import OpenImage
from imsprep.zvhd2.writer import PackTask


@dataclass(frozen=True)
class ConvertedObject:
    """What was made in the bucket. Sizes in bytes."""

    source: Path
    source_format: str
    bucket: str
    uploaded: Uploaded  # with the digest of the disk
    disk_size: int
    stored_blocks: int
    packed: int  # of all stored blocks
    packing: PackTask
    uuid: str  # in hex
    warnings: tuple[str, ...] = ()

    @property
    def data_bytes(self) -> int:
        """Bytes of the disk in blocks that are stored."""
        return self.uploaded.data_bytes or 0

    @property
    def ratio(self) -> float | None:
        """Data to packed data."""
        return self.data_bytes / self.packed if self.packed else None

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON: those of a container that is a file, and of its upload."""
        sent = self.uploaded
        return {
            "source": str(self.source),
            "source_format": self.source_format,
            "target": f"{self.bucket}:{sent.key}",
            "target_format": formats.ZVHD2,
            "target_size": sent.size,
            "disk_size": self.disk_size,
            "data_bytes": self.data_bytes,
            "blocks": -(-self.disk_size // self.packing.block_size),
            "stored_blocks": self.stored_blocks,
            "packed_bytes": self.packed,
            "ratio": round(self.ratio, 4) if self.ratio else None,
            "block_size": self.packing.block_size,
            "compression": records.METHODS[self.packing.method],
            "uuid": str(uuid.UUID(hex=self.uuid)),
            "warnings": list(self.warnings),
            "bucket": self.bucket,
            "key": sent.key,
            "etag": sent.etag,
            "parts": sent.parts,
            "sent": sent.sent,
            "reused": sent.reused,
            "skipped": sent.skipped,
            "digest": sent.digest,
        }

    def __str__(self) -> str:
        """Say it in one line."""
        sent, ratio = self.uploaded, f", packed {format_ratio(self.ratio)}" if self.ratio else ""
        disk, data = format_size(self.disk_size), format_size(self.data_bytes)
        how = "is there already, the same" if sent.skipped else format_size(sent.size)
        key = show_path(sent.key)
        return f"{self.bucket}:{key}: {how} zvhd2, a disk of {disk} with {data} of data{ratio}"


def key_of(image: Path) -> str:
    """Return the name of the object of an image, where none is given: `disk.zvhd2`."""
    return kept.place_for(image).name


def convert_to_object(
    image: OpenImage, bucket: Bucket, key: str, streaming: StreamTask, policy: TransferPolicy
) -> ConvertedObject:
    """Pack the disk in an image while it is sent, as the object `key`.

    Without a date of its own the container has the image's. Raises UsageError for a ZVHD2, what
    `OpenImage.disk` raises for what is no disk, and what `stream` raises.
    """
    path = image.path
    check_lasting(path)
    check_objects_apart(bucket.target, [key], [path, *image.file.pieces])
    format_ = streaming.options.from_format or image.format
    if format_ == formats.ZVHD2:
        raise UsageError(
            f"{show_path(path)} is a ZVHD2 already: `imsprep upload` sends it as it is; to pack"
            " it otherwise, convert it to a file"
        )
    if not streaming.dated:
        streaming = _dated(streaming, image.file)
    maker = maker_of(image, streaming)
    to = Destination(bucket.store, str(bucket.target), key, Journal.for_file(path), path)
    done = stream(maker, to, policy, _unseen)
    facts = maker.facts()
    return ConvertedObject(
        source=path,
        source_format=format_,
        bucket=bucket.target.bucket,
        uploaded=replace(done, digest=facts["digest"], data_bytes=facts["data_bytes"]),
        disk_size=maker.size,
        stored_blocks=facts["blocks"],
        packed=facts["payload"],
        packing=streaming.packing,
        uuid=facts["uuid"],
        warnings=maker.notes,
    )


def _dated(streaming: StreamTask, image: RawImage) -> StreamTask:
    """Return how to pack with the image's date, and an id that was given."""
    packing = kept.dated(streaming.packing, image)
    return replace(streaming, packing=replace(packing, uuid=streaming.packing.uuid))


def _unseen(*, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
    """Take no notice: how far it is shows in how much of the disk is packed."""
