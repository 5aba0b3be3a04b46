"""The digest of the disk in a file of whatever format: what `imsprep digest` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from imsprep.errors import show_path
from imsprep.image.disk import ByteExtent
from imsprep.image.file import RawImage
from imsprep.image.hashing import digest_disk, sha256_disk
from imsprep.scan.scan import AUTO, believes_holes
from imsprep.zvhd2.source import open_source


def digest_file(
    path: Path,
    *,
    jobs: int,
    sha256: bool = False,
    holes: str = AUTO,
    force_share: bool = False,
    warn: Callable[[str], None] = lambda note: None,
    progress: Callable[[int], None] = lambda count: None,
) -> str:
    """Return the digest of the disk in a file, or its plain SHA-256.

    `progress` is called with bytes of the disk. Raises what `open_source` raises, ReadError,
    ImageChangedError.
    """
    with RawImage.open(path) as image, open_source(image, jobs=jobs) as disk:
        sharing = image.refuse_writers(force=force_share)
        if sharing.note is not None:
            warn(f"{show_path(path)}: {sharing.note}")
        if sha256:
            return sha256_disk(disk)
        extents: Iterator[ByteExtent] = disk.extents()
        if disk is image and not believes_holes(image, holes):
            extents = iter([(0, disk.size, True)])
        return digest_disk(disk, jobs=jobs, extents=extents, progress=progress)
