"""Convert a disk between RAW, ZVHD2 and what QEMU reads."""

from __future__ import annotations

import dataclasses
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep.errors import UsageError
from imsprep.keywords import with_keywords_after_two
from imsprep.options import (
    ConvertOptions,
    StrPath,
)
from imsprep.progress import (
    CONVERT,
    counting,
)
from imsprep.system.paths import path_of

if TYPE_CHECKING:
    from imsprep.pipeline.container.convert_object import ConvertedObject
    from imsprep.zvhd2.convert import Converted
    from imsprep.zvhd2.writer import PackTask


@with_keywords_after_two(ConvertOptions)
def convert(
    source: StrPath, target: StrPath, options: ConvertOptions
) -> Converted | ConvertedObject:
    """Convert a disk: RAW or what QEMU reads to ZVHD2, ZVHD2 to RAW or to another ZVHD2.

    A `str` as target that begins with `local:` or `obs:` names a bucket. The ZVHD2 is packed while
    it is sent there, and is no file here; ConvertedObject says what was made.

    Raises UsageError for a target that may not be written and for formats that are not converted
    into each other, FormatError for a source that is damaged, ReadError, ImageChangedError,
    MissingExtraError without qemu-nbd where the source needs it; into a bucket as `upload` too.
    """
    from imsprep.store.target import is_target
    from imsprep.zvhd2.convert import ConvertTask
    from imsprep.zvhd2.convert import convert as convert_disk
    from imsprep.zvhd2.source import SOURCES, OpenImage

    path = path_of(source)
    if options.from_format not in (None, *SOURCES):
        raise UsageError(f"from_format must be one of {', '.join(SOURCES)}")
    if is_target(target):
        return _convert_to_bucket(path, target, options)
    packing, given = _packing(options)
    id_ = options.uuid or (None if given else uuid.uuid4().bytes)
    packing = dataclasses.replace(packing, uuid=id_)
    with OpenImage.open(path, jobs=packing.jobs) as image:
        progress = counting(options.progress, CONVERT, image.likely_size)
        return convert_disk(image, path_of(target), ConvertTask(packing, options, progress))


def _convert_to_bucket(path: Path, target: str, options: ConvertOptions) -> ConvertedObject:
    """Do what `convert` does into a bucket."""
    from imsprep.pipeline.container.convert_object import convert_to_object, key_of
    from imsprep.pipeline.container.streamed import StreamTask
    from imsprep.store.retry import RetryPolicy
    from imsprep.store.target import open_bucket
    from imsprep.upload.values import TransferPolicy
    from imsprep.zvhd2.source import OpenImage

    if options.to_format == "raw":
        raise UsageError("only a ZVHD2 is packed while it is sent; `imsprep upload` sends RAW")
    if options.disk is not None:
        raise UsageError(
            "a chosen disk is converted into a file only; name a file, and upload that"
        )
    packing, given = _packing(options)
    bucket = open_bucket(target, options, kms_key=options.kms_key)
    policy = TransferPolicy(
        retry=RetryPolicy(limit_s=options.retry_for_s),
        bytes_per_s=options.bytes_per_s,
        replace=options.force,
    )
    key = bucket.target.key_for(options.key or key_of(path))
    with OpenImage.open(path, jobs=packing.jobs) as image:
        progress = counting(options.progress, CONVERT, image.likely_size)
        streaming = StreamTask(packing, options, dated=given, progress=progress)
        return convert_to_object(image, bucket, key, streaming, policy)


def _packing(options: ConvertOptions) -> tuple[PackTask, bool]:
    """Return how to pack, and whether a date was given: then the same bytes come again."""
    from imsprep.pipeline.from_options import pack_task_of
    from imsprep.zvhd2.convert import stamp

    timestamp, given = stamp(options.timestamp, os.environ, time.time())
    packing = pack_task_of(options, jobs=options.jobs, timestamp=timestamp)
    size, id_ = options.block_size, options.uuid
    return dataclasses.replace(packing, uuid=id_, block_size=size), given


def source_formats() -> tuple[str, ...]:
    """Return what `from_format` of `convert` may be."""
    from imsprep.zvhd2.source import SOURCES

    return tuple(SOURCES)
