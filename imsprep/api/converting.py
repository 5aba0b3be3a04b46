"""Convert a disk between RAW, ZVHD2 and what QEMU reads."""

from __future__ import annotations

import dataclasses
import os
import time
import uuid
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
    from imsprep.zvhd2.convert import Converted


@with_keywords_after_two(ConvertOptions)
def convert(source: StrPath, target: StrPath, options: ConvertOptions) -> Converted:
    """Convert a disk: RAW or what QEMU reads to ZVHD2, ZVHD2 to RAW or to another ZVHD2.

    Raises UsageError for a target that may not be written and for formats that are not converted
    into each other, FormatError for a source that is damaged, ReadError, ImageChangedError,
    MissingExtraError without qemu-nbd where the source needs it.
    """
    from imsprep.pipeline.asked import packing_of
    from imsprep.zvhd2.convert import SOURCES, Order, likely_size, stamp
    from imsprep.zvhd2.convert import convert as convert_disk

    path = path_of(source)
    if options.from_format not in (None, *SOURCES):
        raise UsageError(f"from_format is one of {', '.join(SOURCES)}")
    timestamp, given = stamp(options.timestamp, os.environ, time.time())
    id_ = options.uuid or (None if given else uuid.uuid4().bytes)
    packing = packing_of(options, jobs=options.jobs, timestamp=timestamp)
    order = Order(
        packing=dataclasses.replace(packing, uuid=id_, block_size=options.block_size),
        to_format=options.to_format,
        from_format=options.from_format,
        holes=options.holes,
        force=options.force,
        force_share=options.force_share,
        verify=options.verify == "full",
        ignore=options.ignore,
        progress=counting(options.progress, CONVERT, likely_size(path)),
    )
    return convert_disk(path, path_of(target), order)
