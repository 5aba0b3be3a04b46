"""The digest of the disk in a file of whatever format: what `imsprep digest` prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imsprep.errors import show_path
from imsprep.image.digest_disk import digest_disk, sha256_disk
from imsprep.image.disk import ByteExtent
from imsprep.image.file import RawImage
from imsprep.options import DigestOptions
from imsprep.progress import DIGEST, Event, counting
from imsprep.scan.holes import believes_holes
from imsprep.system.threads import usable_cpus
from imsprep.zvhd2.source import open_source


def digest_file(path: Path, options: DigestOptions) -> str:
    """Return the digest of the disk in a file, or its plain SHA-256.

    Raises what `open_source` raises, ReadError, ImageChangedError.
    """
    jobs = options.jobs or usable_cpus()
    with RawImage.open(path) as image, open_source(image, jobs=jobs) as disk:
        sharing = image.refuse_writers(force=options.force_share)
        if sharing.note is not None:
            options.progress(Event(DIGEST, text=f"{show_path(path)}: {sharing.note}"))
        if options.sha256:
            return sha256_disk(disk)
        extents: Iterator[ByteExtent] = disk.extents()
        if disk is image and not believes_holes(image, options.holes):
            extents = iter([(0, disk.size, True)])
        progress = counting(options.progress, DIGEST, disk.size)
        return digest_disk(disk, jobs=jobs, extents=extents, progress=progress)
