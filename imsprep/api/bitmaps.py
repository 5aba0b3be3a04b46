"""Which blocks of an image hold data: scan it, write its bitmap, prove one, learn a layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from imsprep.errors import UsageError
from imsprep.keywords import with_keywords
from imsprep.options import (
    BitmapOptions,
    ExportOptions,
    LearnOptions,
    ProbeOptions,
    ScanOptions,
    StrPath,
    VerifyOptions,
)
from imsprep.progress import (
    SCAN,
    counting,
)
from imsprep.system.paths import optional_path, path_of

if TYPE_CHECKING:
    from imsprep.bitmap.export import Exported
    from imsprep.bitmap.learn.files import LearnedFromFiles
    from imsprep.bitmap.verify import Proof
    from imsprep.bitmap.write import Made
    from imsprep.scan.scan import Scan


@with_keywords(ScanOptions)
def scan(image: StrPath, options: ScanOptions) -> Scan:
    """Return which blocks of a RAW image hold data.

    Raises FormatError if the image is in another format, ReadError, ImageChangedError.
    """
    from imsprep.image.file import RawImage
    from imsprep.image.formats import check_raw
    from imsprep.scan.scan import scan as scan_image

    with RawImage.open(path_of(image)) as opened:
        check_raw(opened)
        return scan_image(opened, options, counting(options.progress, SCAN, opened.size))


@with_keywords(BitmapOptions)
def make_bitmap(image: StrPath, options: BitmapOptions) -> Made:
    """Write the bitmap of a RAW image, and the sidecar that says how it was made.

    Raises UsageError if a file that imsprep did not make would be replaced without `force`,
    FormatError if the image is in another format or empty, ReadError, ImageChangedError.
    """
    from imsprep.bitmap.write import make_bitmap as make

    return make(path_of(image), options)


@with_keywords(ExportOptions)
def export_map(image: StrPath, options: ExportOptions) -> Exported:
    """Write which blocks of a RAW image hold data as a map for another tool.

    Raises UsageError if a file would be replaced without `force`, FormatError if the image is in
    another format or empty, ReadError, ImageChangedError.
    """
    from imsprep.bitmap.export import export

    return export(path_of(image), options)


@with_keywords(VerifyOptions)
def verify_bitmap(image: StrPath, options: VerifyOptions) -> Proof:
    """Read an image again and compare its bitmap with it; `proof.holds` says how it went.

    Raises ReadError if there is no bitmap, FormatError if it has another layout or the image is no
    RAW one, ImageChangedError.
    """
    from imsprep.bitmap.verify import prove

    return prove(path_of(image), options)


@with_keywords(ProbeOptions)
def write_probe(file: StrPath, options: ProbeOptions) -> int:
    """Write a sparse RAW image from whose bitmap `learn_layout` can tell how a tool lays it out.

    Returns how many bytes of it hold data, which is the room that it takes. Raises UsageError
    for an impossible size, or for a file that is there without `force`.
    """
    from imsprep.bitmap.learn.files import write_probe as write
    from imsprep.bitmap.learn.probe import FIRST_SIZE

    size = options.size or FIRST_SIZE
    return write(path_of(file), size=size, kind=options.kind, force=options.force)


@with_keywords(LearnOptions)
def learn_layout(
    pairs: Iterable[tuple[StrPath, StrPath]], options: LearnOptions
) -> LearnedFromFiles:
    """Find the layout that reproduces another tool's bitmaps of images, byte for byte.

    `pairs` are images and their bitmaps, of two sizes at least. The layout is saved if there is
    exactly one; `learned.saved` says where. Raises UsageError if something else would be replaced,
    ReadError, ImageChangedError.
    """
    from imsprep.bitmap.learn.files import LAYOUT_SUFFIX, learn_files, save_learned

    files = [(path_of(image), path_of(bitmap)) for image, bitmap in pairs]
    if not files:
        raise UsageError("no image and no bitmap to learn from")
    learned = learn_files(files, options)
    if learned.outcome != "one":
        return learned
    saved = optional_path(options.output) or files[0][1].with_suffix(LAYOUT_SUFFIX)
    save_learned(saved, learned.layouts[0])
    return dataclasses.replace(learned, saved=saved)
