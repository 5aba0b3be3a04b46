"""Write the bitmap of a RAW image: scan it, write `disk.mf` and its sidecar, read it back."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from imsprep.bitmap import bits, codec
from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.layout_json import layout_of
from imsprep.bitmap.sidecar import Sidecar, check_apart, check_replaceable, sidecar_path
from imsprep.errors import FormatError, ReadError, UsageError, show_path
from imsprep.image.file import RawImage, Sharing
from imsprep.image.formats import check_raw
from imsprep.options import BitmapOptions
from imsprep.progress import SCAN
from imsprep.scan.scan import Coverage, Scan, how_known, scan_as_step
from imsprep.system import atomic
from imsprep.system.paths import optional_path
from imsprep.system.regular import read_plain
from imsprep.units import counted, exact_size, format_size

MAKE = BitmapOptions()


@dataclass(frozen=True)
class Made:
    """A bitmap that was written."""

    bitmap: Path
    sidecar: Sidecar
    coverage: Coverage  # how it is known
    sharing: Sharing | None = None

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "bitmap": str(self.bitmap),
            "sidecar": str(sidecar_path(self.bitmap)),
            "coverage": self.coverage.as_dict(),
            "sharing": self.sharing.as_dict() if self.sharing else None,
            **self.sidecar.as_dict(),
        }

    def __str__(self) -> str:
        of = self.sidecar
        hold = "holds" if of.blocks == 1 else "hold"
        return (
            f"{show_path(self.bitmap)}: {of.allocated} of {counted(of.blocks, 'block')} of"
            f" {format_size(of.layout.block_size)} {hold} data,"
            f" {format_size(of.data_bytes)} of {exact_size(of.size)}\n"
            + how_known(self.coverage, self.sharing)
        )


def make_bitmap(path: Path, options: BitmapOptions = MAKE) -> Made:
    """Scan a RAW image and write its bitmap and the sidecar, by default next to the image.

    Raises UsageError if a file that imsprep did not make would be replaced without `force`,
    FormatError if the image is in another format or empty, ReadError, ImageChangedError.
    """
    layout = layout_of(options.layout)
    if options.block_size is not None:
        layout = replace(layout, block_size=options.block_size)
    with RawImage.open(path) as image:
        bitmap = optional_path(options.output) or bits.bitmap_path(path)
        if image.is_device and options.output is None:
            raise UsageError(
                f"{show_path(path)} is a device; name the bitmap", remedies=("output",)
            )
        check_writable(bitmap, path, force=options.force)
        check_raw(image)
        scanned = scan_as_step(image, options, layout.block_size, SCAN)
        return write_bitmap(bitmap, image, scanned, layout)


def check_writable(bitmap: Path, image: Path, *, force: bool) -> None:
    """Raise UsageError if this bitmap would replace a file that is not ours; see `sidecar`."""
    check_apart(bitmap, image)
    if not force:
        check_replaceable(bitmap, image)


def write_bitmap(bitmap: Path, image: RawImage, scanned: Scan, layout: BitmapLayout) -> Made:
    """Write what a scan found and the sidecar; an equal pair stays as it is.

    The scan's blocks are the layout's, or smaller ones that they consist of.
    """
    block_map = scanned.block_map.coarsened(layout.block_size)
    packed = codec.encode(block_map, layout)
    if codec.decode(packed, image.size, layout) != block_map:
        raise FormatError(f"layout {layout.name!r} does not read back what it wrote")
    sidecar = Sidecar.of(image, block_map, layout, packed)
    image.check_unchanged()
    write_pair(bitmap, packed, sidecar)
    return Made(bitmap, sidecar, scanned.coverage, image.sharing)


def write_pair(bitmap: Path, packed: bytes, sidecar: Sidecar) -> None:
    """Write a bitmap and its sidecar; files that are equal already stay. Raises ReadError."""
    described = atomic.as_json(sidecar.as_dict())
    if _holds(bitmap, packed) and _holds(sidecar_path(bitmap), described):
        return
    with atomic.writing(bitmap) as file:
        file.write(packed)
        file.flush()
        os.fsync(file.fileno())  # whatever fails for want of space fails before the old one goes
        bitmap.unlink(missing_ok=True)
        atomic.write_bytes(sidecar_path(bitmap), described)
    if not _holds(bitmap, packed):
        raise ReadError(f"{show_path(bitmap)} does not read back as it was written; check the disk")


def _holds(path: Path, data: bytes) -> bool:
    """Return whether a file is there and has these bytes."""
    try:
        return read_plain(path) == data
    except (OSError, ReadError):
        return False
