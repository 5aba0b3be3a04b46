"""IMS4xx, bitmap: the file that quick import needs for a RAW image.

The vendor's byte layout is not published (docs/bitmap-file.md). What a bitmap says is therefore
judged as far as its layout is known; of one that was made elsewhere it usually is not.
"""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.bitmap.facts import BitmapFacts
from imsprep.bitmap.layout import DEFAULT_LAYOUT, describe
from imsprep.checks.facts import Facts
from imsprep.checks.rule import NOT_SCANNED, QUICK_IMPORT, Evidence, UnknownError, rule
from imsprep.image.blockmap import BlockMap
from imsprep.report import Region, Severity
from imsprep.units import counted, format_size

NO_BITMAP = "API reference, Error Codes: IMG.0158, 2025-12-17"


def bitmap_of(facts: Facts) -> BitmapFacts:
    """Return what is known of the bitmap; UnknownError if the image needs none."""
    if facts.bitmap is None:
        raise UnknownError("only a RAW image has a bitmap")
    return facts.bitmap


def existing(facts: Facts) -> BitmapFacts:
    """Return what is known of a bitmap that is there and stays."""
    bitmap = bitmap_of(facts)
    if bitmap.to_be_made:
        raise UnknownError(f"{bitmap.name} will be made")
    if bitmap.length is None:
        raise UnknownError(f"there is no {bitmap.name}")
    return bitmap


def made_elsewhere(bitmap: BitmapFacts) -> UnknownError:
    """Return the reason why a bitmap cannot be judged whose layout is not known."""
    return UnknownError(f"{bitmap.name} was made elsewhere, and its layout is not known")


def compared(facts: Facts) -> tuple[BlockMap, BlockMap]:
    """Return the map that the bitmap claims and the one that the scan found."""
    bitmap = existing(facts)
    if bitmap.claimed is None:
        raise made_elsewhere(bitmap)
    if bitmap.found is None:
        raise UnknownError(NOT_SCANNED)
    return bitmap.claimed, bitmap.found


@rule(
    "IMS401", Severity.NOTE, "The RAW image has no bitmap file",
    why="Quick import looks for the bitmap of a RAW image by its name, and answers IMG.0158 if"
    " there is none.",
    fix="If another program imports it: imsprep bitmap IMAGE. An import by imsprep sends a ZVHD2,"
    " which needs no bitmap, or RAW with a bitmap that it makes.",
    source=f"{QUICK_IMPORT}; {NO_BITMAP}",
)  # fmt: skip
def missing(facts: Facts) -> Iterator[Evidence]:
    """Look for the file."""
    bitmap = bitmap_of(facts)
    if bitmap.length is None and not bitmap.to_be_made:
        yield Evidence(f"there is no {bitmap.name}", expected=bitmap.name, found="no file")


@rule(
    "IMS402", Severity.ERROR, "The bitmap is of another image, or of an older state of it",
    why="Blocks that were written since, or that differ, may be marked empty: their data would be"
    " lost silently.",
    fix="Make it again: imsprep bitmap IMAGE. If another tool made the file, remove its"
    " sidecar (.json) instead.",
    source="inferred: the bitmap decides which blocks are read from a RAW image",
)  # fmt: skip
def stale(facts: Facts) -> Iterator[Evidence]:
    """Compare the image with what the sidecar says of it."""
    bitmap = existing(facts)
    if bitmap.stale is not None:
        yield Evidence(f"{bitmap.name} {bitmap.stale}")


@rule(
    "IMS403", Severity.ERROR, "The bitmap does not fit the image",
    why="A bitmap of another length or form is refused (IMG.0158), or its bits are taken for other"
    " blocks than they were made for.",
    fix="Make it again: imsprep bitmap IMAGE",
    source=f"{NO_BITMAP}; the length follows from the layout, docs/bitmap-file.md",
)  # fmt: skip
def misfit(facts: Facts) -> Iterator[Evidence]:
    """Read the bitmap by its layout; every byte has to be as the layout has it."""
    bitmap = existing(facts)
    if bitmap.misfit is not None:
        yield Evidence(f"{bitmap.name}: {bitmap.misfit}")
    elif bitmap.claimed is None:
        raise made_elsewhere(bitmap)


@rule(
    "IMS404", Severity.ERROR, "The bitmap marks blocks as empty that hold data",
    why="The service does not read what is marked empty: the data in these blocks would be lost.",
    fix="Make it again: imsprep bitmap IMAGE",
    source="inferred: the bitmap decides which blocks are read from a RAW image",
)  # fmt: skip
def lost(facts: Facts) -> Iterator[Evidence]:
    """Hold the bitmap against the scan."""
    claimed, found = compared(facts)
    yield from _evidence(found.without(claimed), "with data marked empty")


@rule(
    "IMS405", Severity.NOTE, "Whether the service reads this bitmap's layout is not proven",
    why="A bitmap in a layout that the service does not know is refused, or read wrongly.",
    fix="Import it as a ZVHD2, which needs no bitmap: imsprep import IMAGE --via zvhd2. Or let the"
    " vendor's tool decide: imsprep bitmap probe probe.raw; run that tool on it; imsprep bitmap"
    " learn probe.raw probe.mf",
    source="no manual, SDK or tool describes the layout, inferred from ZVHD2; docs/bitmap-file.md",
)  # fmt: skip
def unproven(facts: Facts) -> Iterator[Evidence]:
    """Report on what the layout rests; a warning where it was chosen freely.

    The convention that imsprep follows by default is no fault of an image.
    """
    bitmap = bitmap_of(facts)
    if bitmap.length is None and not bitmap.to_be_made:
        raise UnknownError(f"there is no {bitmap.name}: an import packs the disk, and needs none")
    if bitmap.layout is None:
        raise made_elsewhere(bitmap)
    if bitmap.layout.matched:
        yield Evidence(
            f"the layout of {bitmap.name} reproduced {counted(len(bitmap.layout.matched), 'file')}"
            " of another tool byte for byte, and nothing is known of others",
            found=describe(bitmap.layout),
        )
        return
    default = bitmap.layout == DEFAULT_LAYOUT
    chosen = (
        "so imsprep follows the one convention that Huawei has published, that of ZVHD2"
        if default
        else f"and {bitmap.name} has a layout that the user chose"
    )
    yield Evidence(
        f"the vendor has not published how its bitmap files are laid out, {chosen}, and that the"
        " service reads it is not confirmed. One run of the vendor's tool on a probe image would"
        " settle it; a ZVHD2 needs no bitmap",
        found=describe(bitmap.layout),
        severity=None if default else Severity.WARNING,
    )


@rule(
    "IMS406", Severity.NOTE, "The bitmap marks empty blocks as data",
    why="They are read and stored like data, which only costs time.",
    fix="Make it again: imsprep bitmap IMAGE",
    source="inferred: what is marked as data is read",
)  # fmt: skip
def wasted(facts: Facts) -> Iterator[Evidence]:
    """Hold the bitmap against the scan."""
    claimed, found = compared(facts)
    yield from _evidence(claimed.without(found), "without data marked as data")


def _evidence(blocks: BlockMap, what: str) -> Iterator[Evidence]:
    """Yield one piece of evidence for all marked blocks, with the first run's place."""
    first = next((extent for extent in blocks.extents() if extent.allocated), None)
    if first is not None:
        offset, length = blocks.byte_range(first.start, first.count)
        yield Evidence(
            f"{counted(blocks.allocated, 'block')} of {format_size(blocks.block_size)} {what},"
            f" the first at byte {offset}",
            region=Region(offset, length),
        )
