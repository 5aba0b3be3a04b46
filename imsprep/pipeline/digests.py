"""The digest of the disk in a file of whatever format: what `imsprep digest` prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imsprep.errors import show_path
from imsprep.image.digest_disk import digest_disk, sha256_disk
from imsprep.image.disk import ByteExtent
from imsprep.options import DigestOptions
from imsprep.progress import DIGEST, Event, counting
from imsprep.scan.holes import believes_holes
from imsprep.system.threads import usable_cpus
from imsprep.zvhd2.source import OpenImage


def digest_file(path: Path, options: DigestOptions) -> str:
    """Return the digest of the disk in a file, or its plain SHA-256.

    Raises what `OpenImage.disk` raises, ReadError, ImageChangedError.
    """
    with OpenImage.open(path, jobs=options.jobs or usable_cpus()) as image:
        return digest_image(image, options)


def digest_image(image: OpenImage, options: DigestOptions) -> str:
    """Do what `digest_file` does with an image that is open."""
    file, disk = image.file, image.disk()
    sharing = file.refuse_writers(force=options.force_share)
    if sharing.note is not None:
        options.progress(Event(DIGEST, text=f"{show_path(image.path)}: {sharing.note}"))
    if options.sha256:
        return sha256_disk(disk)
    extents: Iterator[ByteExtent] = disk.extents()
    if disk is file and not believes_holes(file, options.holes):
        extents = iter([(0, disk.size, True)])
    progress = counting(options.progress, DIGEST, disk.size)
    return digest_disk(disk, jobs=image.jobs, extents=extents, progress=progress)
