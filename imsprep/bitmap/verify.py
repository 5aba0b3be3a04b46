"""Verify a bitmap: read its image again and compare block by block."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imsprep.bitmap import bits, codec
from imsprep.bitmap.inspect import read_bitmap, stale
from imsprep.bitmap.layout import DEFAULT_LAYOUT
from imsprep.bitmap.layout_json import layout_of
from imsprep.bitmap.sidecar import read_sidecar
from imsprep.errors import FormatError, ReadError, show_path
from imsprep.image.blockmap import BlockMap
from imsprep.image.file import RawImage, Sharing
from imsprep.image.formats import check_raw
from imsprep.options import VerifyOptions
from imsprep.progress import VERIFY
from imsprep.scan.scan import Coverage, how_known, scan_as_step
from imsprep.system.paths import optional_path
from imsprep.units import counted, format_size

_SHOWN = 3  # extents named in a message; `--json` has all
PROVE = VerifyOptions()


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

    def as_dict(self) -> dict[str, object]:
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
        lines.append(how_known(self.coverage, self.sharing))
        return "\n".join(lines)


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
        found = scan_as_step(image, options, layout.block_size, VERIFY)
        reason = None if sidecar is None else stale(sidecar, packed, image)
        return Proof(
            bitmap, claimed, found.block_map, reason, found.coverage, assumed, image.sharing
        )


def _ranges(block_map: BlockMap) -> list[tuple[int, int]]:
    """Return offset and length of each run of marked blocks, in bytes."""
    return [block_map.byte_range(e.start, e.count) for e in block_map.extents() if e.allocated]


def _named(block_map: BlockMap) -> str:
    ranges = _ranges(block_map)
    shown = ", ".join(f"{length} bytes at {offset}" for offset, length in ranges[:_SHOWN])
    return shown + (f" and {len(ranges) - _SHOWN} more runs" if len(ranges) > _SHOWN else "")
