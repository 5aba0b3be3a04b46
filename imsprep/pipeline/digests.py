"""The digest of the disk in a file of whatever format: what `imsprep digest` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imsprep.errors import show_path
from imsprep.image import formats
from imsprep.image.disk import ByteExtent, Disk
from imsprep.image.file import RawImage
from imsprep.image.hashing import digest_disk, sha256_disk
from imsprep.scan.scan import AUTO, believes_holes
from imsprep.zvhd2.convert import format_of, open_disk
from imsprep.zvhd2.reader import PackedDisk, Zvhd2Reader, examine


@contextmanager
def disk_in(image: RawImage, *, jobs: int, from_format: str | None = None) -> Iterator[Disk]:
    """Open the disk in an image of any format that can be read, for `jobs` threads.

    Raises what `convert.format_of` and `convert.open_disk` raise, FormatError for a damaged ZVHD2.
    """
    format_ = from_format or format_of(image)
    if format_ == formats.ZVHD2:
        container = examine(image.pread, image.size).container_or_raise()
        with Zvhd2Reader(container, image.pread) as reader:
            yield PackedDisk(image, reader)
        return
    with open_disk(image, format_, jobs=jobs) as disk:
        yield disk


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

    `progress` is told bytes of the disk. Raises what `disk_in` raises, ReadError,
    ImageChangedError.
    """
    with RawImage.open(path) as image, disk_in(image, jobs=jobs) as disk:
        sharing = image.refuse_writers(force=force_share)
        if sharing.note is not None:
            warn(f"{show_path(path)}: {sharing.note}")
        if sha256:
            return sha256_disk(disk)
        extents: Iterator[ByteExtent] = disk.extents()
        if disk is image and not believes_holes(image, holes):
            extents = iter([(0, disk.size, True)])
        return digest_disk(disk, jobs=jobs, extents=extents, progress=progress)
