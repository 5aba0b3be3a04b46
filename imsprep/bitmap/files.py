"""Pairing: make the bitmap of a RAW image, and prove a bitmap against its image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imsprep.bitmap import bits, codec
from imsprep.bitmap import export as interchange
from imsprep.bitmap.inspect import read_bitmap, stale
from imsprep.bitmap.layout import DEFAULT_LAYOUT, BitmapLayout
from imsprep.bitmap.layout_json import layout_of
from imsprep.bitmap.sidecar import (
    Sidecar,
    check_apart,
    check_replaceable,
    read_sidecar,
    sidecar_path,
    write_pair,
)
from imsprep.errors import FormatError, ReadError, UsageError, show_path
from imsprep.image.blockmap import BlockMap
from imsprep.image.file import RawImage, Sharing
from imsprep.image.formats import check_raw
from imsprep.options import BitmapOptions, ExportOptions, ReadOptions, VerifyOptions
from imsprep.progress import SCAN, VERIFY, counting
from imsprep.scan.scan import Coverage, Scan, scan
from imsprep.system.atomic import write_bytes
from imsprep.system.paths import optional_path
from imsprep.units import counted, exact_size, format_size

_SHOWN = 3  # extents named in a message; `--json` has all
MAKE, PROVE = BitmapOptions(), VerifyOptions()


@dataclass(frozen=True)
class Made:
    """A bitmap that was written."""

    bitmap: Path
    sidecar: Sidecar
    coverage: Coverage  # how it is known
    sharing: Sharing | None = None

    def as_dict(self) -> dict[str, Any]:
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
            f" {format_size(of.data_bytes)} of {exact_size(of.size)}\n{self.coverage}"
            + _sharing_note(self.sharing)
        )


@dataclass(frozen=True)
class Proof:
    """What a bitmap says, held against every byte of its image."""

    bitmap: Path
    claimed: BlockMap  # as the bitmap has it
    found: BlockMap  # as the image has it
    stale: str | None  # why it is the bitmap of another image or state, if it is
    coverage: Coverage  # how the image is known
    assumed: bool = False  # the layout was not given by anyone
    sharing: Sharing | None = None

    @property
    def lost(self) -> BlockMap:
        """The blocks that hold data and are marked empty: their data would be lost."""
        return self.found.without(self.claimed)

    @property
    def wasted(self) -> BlockMap:
        """The blocks that are empty and marked as data: they only cost time."""
        return self.claimed.without(self.found)

    @property
    def holds(self) -> bool:
        """Return whether no data would be lost, and the bitmap is this image's."""
        return self.lost.allocated == 0 and self.stale is None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; extents as byte ranges."""
        return {
            "bitmap": str(self.bitmap),
            "holds": self.holds,
            "stale": self.stale,
            "layout_assumed": self.assumed,
            "size": self.found.size,
            "block_size": self.found.block_size,
            "blocks": len(self.found),
            "coverage": self.coverage.as_dict(),
            "sharing": self.sharing.as_dict() if self.sharing else None,
            "marked_data": self.claimed.allocated,
            "marked_empty": len(self.claimed) - self.claimed.allocated,
            "data_marked_empty": [{"offset": o, "length": n} for o, n in _ranges(self.lost)],
            "empty_marked_data": [{"offset": o, "length": n} for o, n in _ranges(self.wasted)],
        }

    def __str__(self) -> str:
        empty = len(self.claimed) - self.claimed.allocated
        all_empty = f"{counted(empty, 'block')} of {format_size(self.found.block_size)}"
        lines = []
        if self.assumed:
            lines.append("note: there is no sidecar and no layout was given; read as zvhd2")
        if self.stale is not None:
            lines.append(f"error: {show_path(self.bitmap)} {self.stale}; make it again")
        if lost := self.lost.allocated:
            contain = "contains" if lost == 1 else "contain"
            lines.append(
                f"error: {lost} of {all_empty} marked empty {contain} data that would be lost:"
                f" {_named(self.lost)}"
            )
        else:
            are = (
                "the {} that is marked empty is"
                if empty == 1
                else "all {} that are marked empty are"
            )
            lines.append(f"proved: {are.format(all_empty)} zeros")
        if self.wasted.allocated:
            lines.append(
                f"note: {counted(self.wasted.allocated, 'empty block')} marked as data, which"
                f" only costs time: {_named(self.wasted)}"
            )
        lines.append(str(self.coverage) + _sharing_note(self.sharing))
        return "\n".join(lines)


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
        scanned = _scan(image, options, layout.block_size, SCAN)
        return write_bitmap(bitmap, image, scanned, layout)


@dataclass(frozen=True)
class Exported:
    """A map that was written for another tool."""

    path: Path
    format: str  # of interchange.SUFFIXES
    found: BlockMap
    coverage: Coverage
    sharing: Sharing | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; sizes in bytes."""
        return {
            "file": str(self.path),
            "format": self.format,
            "size": self.found.size,
            "block_size": self.found.block_size,
            "blocks": len(self.found),
            "allocated": self.found.allocated,
            "data_bytes": self.found.data_bytes,
            "coverage": self.coverage.as_dict(),
            "sharing": self.sharing.as_dict() if self.sharing else None,
        }

    def __str__(self) -> str:
        data, size = format_size(self.found.data_bytes), exact_size(self.found.size)
        known = f"{self.coverage}{_sharing_note(self.sharing)}"
        return f"{show_path(self.path)}: {self.format}, {data} of {size}\n{known}"


def export(path: Path, options: ExportOptions) -> Exported:
    """Scan a RAW image and write its map for another tool; see `interchange`.

    Raises UsageError if a file would be replaced without `force`, and as `make_bitmap` does.
    """
    with RawImage.open(path) as image:
        target = optional_path(options.output)
        if image.is_device and target is None:
            raise UsageError(f"{show_path(path)} is a device; name the file", remedies=("output",))
        target = target or path.with_suffix(interchange.SUFFIXES[options.format])
        check_apart(target, path)
        if target.exists() and not options.force:
            raise UsageError(
                f"{show_path(target)} exists; name another file, or have it replaced",
                remedies=("output", "force"),
            )
        check_raw(image)
        scanned = _scan(image, options, options.block_size or interchange.BLOCK_SIZE, SCAN)
        found = scanned.block_map
        if options.format == interchange.BMAP:
            text = interchange.bmap(found, image.pread)
        else:
            text = interchange.qemu_map(found)
        image.check_unchanged()
        write_bytes(target, text)
        return Exported(target, options.format, found, scanned.coverage, image.sharing)


def check_writable(bitmap: Path, image: Path, *, force: bool = False) -> None:
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


def prove(path: Path, options: VerifyOptions = PROVE) -> Proof:
    """Read an image again and hold its bitmap against it.

    The layout is the sidecar's, if none is given, or the default. Raises ReadError, FormatError if
    the bitmap does not have that layout or the image is no RAW one, ImageChangedError.
    """
    with RawImage.open(path) as image:
        check_raw(image)
        bitmap = optional_path(options.bitmap) or bits.bitmap_path(path)
        if not bitmap.exists():
            raise ReadError(
                f"there is no bitmap {show_path(bitmap)}; make it with imsprep bitmap, or name it",
                remedies=("bitmap",),
            )
        packed = read_bitmap(bitmap)
        sidecar = read_sidecar(bitmap)
        assumed = options.layout is None and sidecar is None
        noted = sidecar.layout if sidecar else DEFAULT_LAYOUT
        layout = noted if options.layout is None else layout_of(options.layout)
        try:
            claimed = codec.decode(packed, image.size, layout)
        except FormatError as error:
            hint = "; its layout was taken to be zvhd2, as none was given" if assumed else ""
            wrong = FormatError(f"{show_path(bitmap)} is not a bitmap of this image: {error}{hint}")
            wrong.remedies = ("layout",) if assumed else ()
            raise wrong from error
        found = _scan(image, options, layout.block_size, VERIFY)
        reason = None if sidecar is None else stale(sidecar, packed, image)
        return Proof(
            bitmap, claimed, found.block_map, reason, found.coverage, assumed, image.sharing
        )


def _scan(image: RawImage, options: ReadOptions, block_size: int, step: str) -> Scan:
    progress = counting(options.progress, step, image.size)
    return scan(image, options.scanning(jobs=options.jobs, block_size=block_size), progress)


def _sharing_note(sharing: Sharing | None) -> str:
    return f"\nnote: {sharing.note}" if sharing and sharing.note else ""


def _ranges(block_map: BlockMap) -> list[tuple[int, int]]:
    """Return offset and length of each run of marked blocks, in bytes."""
    return [block_map.byte_range(e.start, e.count) for e in block_map.extents() if e.allocated]


def _named(block_map: BlockMap) -> str:
    ranges = _ranges(block_map)
    shown = ", ".join(f"{length} bytes at {offset}" for offset, length in ranges[:_SHOWN])
    return shown + (f" and {len(ranges) - _SHOWN} more runs" if len(ranges) > _SHOWN else "")
