"""The digest of the disk in a file of whatever format: what `imsprep digest` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from imsprep.errors import show_path
from imsprep.image.digest import DigestTree
from imsprep.image.digest_disk import digest_disk, sha256_disk
from imsprep.image.disk import ByteExtent
from imsprep.options import DigestOptions
from imsprep.progress import DIGEST, Event, counting
from imsprep.scan.holes import believes_holes
from imsprep.system.threads import usable_cpus
from imsprep.zvhd2.source import OpenImage


class DiskDigest(NamedTuple):
    """The digest of a disk, and what compares it with that of a larger one."""

    text: str
    size: int  # of the disk, in bytes
    tree: DigestTree | None  # None: `text` is the plain SHA-256


def differ_in_size_alone(found: Iterable[DiskDigest]) -> bool:
    """Return whether disks are equal up to the end of the smallest, with zeros behind that.

    False where plain SHA-256s are all that is known.
    """
    found = list(found)
    largest = max(one.size for one in found)
    padded = {one.tree.digest(largest) if one.tree is not None else one for one in found}
    return len({one.size for one in found}) > 1 and len(padded) == 1


def digest_file(path: Path, options: DigestOptions) -> DiskDigest:
    """Return the digest of the disk in a file, or its plain SHA-256.

    Raises what `OpenImage.disk` raises, ReadError, ImageChangedError.
    """
    with OpenImage.open(path, jobs=options.jobs or usable_cpus()) as image:
        return _digest(image, options)


def digest_image(image: OpenImage, options: DigestOptions) -> str:
    """Return the digest of the disk in an image that is open, or its plain SHA-256."""
    return _digest(image, options).text


def _digest(image: OpenImage, options: DigestOptions) -> DiskDigest:
    file, disk = image.file, image.disk()
    sharing = file.refuse_writers(force=options.force_share)
    if sharing.note is not None:
        options.progress(Event(DIGEST, text=f"{show_path(image.path)}: {sharing.note}"))
    if options.sha256:
        return DiskDigest(sha256_disk(disk), disk.size, None)
    extents: Iterator[ByteExtent] = disk.extents()
    if disk is file and not believes_holes(file, options.holes):
        extents = iter([(0, disk.size, True)])
    progress = counting(options.progress, DIGEST, disk.size)
    tree = digest_disk(disk, jobs=image.jobs, extents=extents, progress=progress)
    return DiskDigest(tree.digest(), disk.size, tree)
