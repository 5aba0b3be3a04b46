"""The sidecar: `disk.mf.json` says which state of which image a bitmap belongs to.

Bitmap and sidecar are written so that a crash at any instant leaves a state that can be recognised:
the old bitmap goes, the sidecar comes, the bitmap comes. So a sidecar without its bitmap is an
unfinished run of ours, and a bitmap that its sidecar does not describe was put there by another
program, and is not overwritten.

Whether an image is the one that was scanned is decided in two steps. The *identity* (device, inode,
times) holds for the very file. The *fingerprint*, a hash over samples of the content, also holds
for a copy that kept its modification time; it notices another image, not every change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bitarray.util import count_n

from imsprep import __version__
from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.layout_json import from_plain, to_plain
from imsprep.errors import ReadError, UsageError, show_path
from imsprep.image.blockmap import BlockMap
from imsprep.image.file import RawImage
from imsprep.image.identity import Identity
from imsprep.system import ownership, statefile
from imsprep.system.ownership import Advice
from imsprep.system.regular import file_name, read_plain
from imsprep.units import KIB

SCHEMA = 1
SUFFIX = ".json"
NAME_ANOTHER = Advice("name another file", ("output",))
OR_REPLACE = NAME_ANOTHER._replace(remedies=("output", "force"))
_SAMPLES = 64  # blocks with data that the fingerprint looks into
_SAMPLE = 4 * KIB  # bytes read of each


@dataclass(frozen=True)
class Sidecar:
    """What is known of a bitmap that was made here; sizes in bytes."""

    image: str  # the image's file name
    size: int
    identity: Identity
    fingerprint: str
    layout: BitmapLayout
    blocks: int
    allocated: int  # blocks marked as data
    data_bytes: int
    sha256: str  # of the bitmap file
    imsprep: str = __version__

    @classmethod
    def of(
        cls, image: RawImage, block_map: BlockMap, layout: BitmapLayout, packed: bytes
    ) -> Sidecar:
        """Describe the bitmap of an image."""
        return cls(
            image=image.path.name,
            size=block_map.size,
            identity=image.identity,
            fingerprint=fingerprint(block_map, image.pread),
            layout=layout,
            blocks=len(block_map),
            allocated=block_map.allocated,
            data_bytes=block_map.data_bytes,
            sha256=hashlib.sha256(packed).hexdigest(),
        )

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            **vars(self),
            "schema": SCHEMA,
            "identity": self.identity.as_dict(),
            "layout": to_plain(self.layout),
        }

    def describes(self, packed: bytes) -> bool:
        """Return whether the bitmap's bytes are the ones that were written with this sidecar."""
        return hashlib.sha256(packed).hexdigest() == self.sha256


@dataclass(frozen=True)
class _Written:
    """A sidecar as it lies in its file, the layout still plain."""

    image: str
    size: int
    identity: Identity
    fingerprint: str
    layout: dict[str, object]
    blocks: int
    allocated: int
    data_bytes: int
    sha256: str
    imsprep: str

    def __post_init__(self) -> None:
        """Raise ValueError unless the image is named as a file of the same folder."""
        file_name(self.image)


def fingerprint(block_map: BlockMap, read: Callable[[int, int], bytes]) -> str:
    """Hash the size and the starts of some blocks that hold data, spread over the image."""
    digest = hashlib.sha256(f"{block_map.size}/{block_map.block_size}".encode())
    for block in _samples(block_map):
        offset, length = block_map.byte_range(block)
        digest.update(b"%d:" % offset + read(offset, min(_SAMPLE, length)))
    return digest.hexdigest()


def _samples(block_map: BlockMap) -> Iterator[int]:
    """Yield the numbers of up to _SAMPLES blocks with data; first and last are among them."""
    allocated = block_map.allocated
    count = min(_SAMPLES, allocated)
    for n in range(count):
        rank = n * (allocated - 1) // max(1, count - 1)
        yield count_n(block_map.bits, rank + 1) - 1


def sidecar_path(bitmap: Path) -> Path:
    """Return the path of a bitmap's sidecar: `disk.mf` has `disk.mf.json`."""
    return bitmap.parent / (bitmap.name + SUFFIX)  # also where a folder is named, as "."


def read_sidecar(bitmap: Path) -> Sidecar | None:
    """Return the sidecar of a bitmap, or None if there is none that imsprep wrote."""
    try:
        found = statefile.find(sidecar_path(bitmap), _Written, schema=SCHEMA)
        layout = from_plain(found.layout) if found else None
    except (ValueError, KeyError, TypeError, AttributeError, UsageError):
        return None  # it describes no layout
    return Sidecar(**{**vars(found), "layout": layout}) if found else None


def check_apart(bitmap: Path, image: Path, *, advice: Advice = NAME_ANOTHER) -> None:
    """Raise UsageError if the bitmap or its sidecar would replace the image, or no regular file.

    `advice` ends the message: what the command that writes the bitmap offers instead.
    """
    for path in (bitmap, sidecar_path(bitmap)):
        ownership.check_apart(path, image, what="the bitmap", advice=advice)


def check_replaceable(bitmap: Path, image: Path, *, advice: Advice = OR_REPLACE) -> None:
    """Raise UsageError if a file would be replaced that is not known to be of our making.

    `advice` as in `check_apart`.
    """
    packed = _read(bitmap)
    sidecar = read_sidecar(bitmap)
    if sidecar is None and sidecar_path(bitmap).exists():
        raise UsageError(
            f"{show_path(sidecar_path(bitmap))} was not written by imsprep; {advice.text}",
            remedies=advice.remedies,
        )
    if packed is None:
        return
    if sidecar is None or not sidecar.describes(packed):
        raise UsageError(
            f"{show_path(bitmap)} was not made by imsprep; import it as it is, or {advice.text}",
            remedies=("bitmap", *advice.remedies),
        )
    advice = advice._replace(text=f"rename one of the images, or {advice.text}")
    ownership.check_owner(bitmap, image, sidecar.image, what="the bitmap", advice=advice)


def _read(bitmap: Path) -> bytes | None:
    """Return the bytes of a bitmap that may not exist."""
    try:
        return read_plain(bitmap)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReadError.from_os(error, "cannot read", bitmap) from error
