"""Inspect: what is known of the bitmap of a RAW image.

Its layout is known from the sidecar, or because the user says it; of a bitmap made elsewhere it is
not known, and then nothing but the file's presence is.
"""

from __future__ import annotations

from pathlib import Path

from imsprep.bitmap import bits, codec
from imsprep.bitmap.facts import BitmapFacts
from imsprep.bitmap.layout import DEFAULT_LAYOUT, BitmapLayout
from imsprep.bitmap.sidecar import Sidecar, fingerprint, read_sidecar
from imsprep.errors import FormatError, ReadError, show_path
from imsprep.image.file import RawImage
from imsprep.system.regular import read_plain
from imsprep.units import MIB, exact_size

MAX_BITMAP = 512 * MIB  # bytes; no layout makes more of an image that can be imported


def inspect_bitmap(
    image: RawImage, *, bitmap: Path | None = None, layout: BitmapLayout | None = None
) -> BitmapFacts:
    """Return what is known of a bitmap, by default of the one that has the image's base name.

    A layout that is given counts more than the sidecar's. What cannot be read is a misfit.
    """
    path = bitmap or bits.bitmap_path(image.path)
    name = show_path(path.name)
    if not path.exists():
        return BitmapFacts(name, None, layout or DEFAULT_LAYOUT)
    try:
        packed = read_bitmap(path)
    except ReadError as error:
        return BitmapFacts(name, 0, None, misfit=str(error))
    sidecar = read_sidecar(path)
    if layout is None and sidecar is not None and sidecar.describes(packed):
        layout = sidecar.layout
    facts = BitmapFacts(
        name, len(packed), layout, stale=None if sidecar is None else stale(sidecar, packed, image)
    )
    if layout is None:
        return facts
    try:
        return facts._replace(claimed=codec.decode(packed, image.size, layout))
    except FormatError as error:
        return facts._replace(misfit=str(error))


def stale(sidecar: Sidecar, packed: bytes, image: RawImage) -> str | None:
    """Return why a bitmap with this sidecar is not the image's, or None if it is."""
    if not sidecar.describes(packed):
        return "is not the file that its sidecar describes"
    if sidecar.size != image.size:
        return f"was made of an image of {sidecar.size} bytes, this one has {image.size}"
    if sidecar.identity == image.identity:
        return None
    if sidecar.identity.mtime_ns != image.identity.mtime_ns:
        return "was made before the image was last written"
    try:
        block_map = codec.decode(packed, image.size, sidecar.layout)
    except FormatError as error:
        return f"does not have the layout of its sidecar: {error}"
    if fingerprint(block_map, image.pread) != sidecar.fingerprint:
        return "was made of an image with different content"
    return None


def read_bitmap(path: Path) -> bytes:
    """Return a bitmap's bytes; ReadError if there is no file, or one far too long for it."""
    try:
        if (size := path.stat().st_size) > MAX_BITMAP:
            raise ReadError(f"{show_path(path)} has {exact_size(size)}, too large for a bitmap")
        return read_plain(path)
    except OSError as error:
        raise ReadError.from_os(error, "cannot read the bitmap", path) from error
