"""A VMDK in several files: its descriptor names them, and QEMU would open whatever it names.

So the descriptor is read here first. It is taken if each extent is a regular file of a plain name
in the descriptor's own folder, and as large as it has to be; QEMU finds the files there by the
same names. What QEMU would leave out without a word (an extent that is not "RW", or of zeros) is
refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from imsprep.errors import ReadError, show_path
from imsprep.image.file import RawImage
from imsprep.image.tables import descriptor, vmdk
from imsprep.image.tables.descriptor import Descriptor, Extent
from imsprep.image.tables.survey import FLATTEN, Ledger, Survey, SurveyError, cut_short, damaged
from imsprep.units import MIB, SECTOR

_TYPES = ("monolithicFlat", "vmfs", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat")
_FLAT, _SPARSE = ("FLAT", "VMFS"), ("SPARSE",)
_MOST_EXTENTS = 1024  # a TiB in pieces of 2 GB has 512
_PIECE_NAME = re.compile(r"-(?:[sf]\d{3,}|flat)$")
COPY_ALL = "copy all its files into one folder, and name the descriptor"


class SplitImage:
    """A descriptor with the files that it names, all open."""

    def __init__(self, image: RawImage, described: Descriptor, files: dict[str, RawImage]) -> None:
        self.path, self.size = image.path, image.size
        self._image, self._described, self._files = image, described, files

    def pread(self, offset: int, length: int) -> bytes:
        """Return bytes of the descriptor."""
        return self._image.pread(offset, length)

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if one of the files is not as it was."""
        self._image.check_unchanged()

    def as_node(self) -> dict[str, object]:
        """Return the descriptor as a node of QEMU's block layer."""
        return self._image.as_node()

    def survey(self) -> Survey:
        """Read the extents' tables; raises SurveyError if one is not whole."""
        ends = dict[str, int]()
        for extent in self._described.extents:
            if extent.kind in _SPARSE:
                _check_sparse(self._files[extent.name], extent)
            else:
                end = (extent.offset + extent.sectors) * SECTOR
                ends[extent.name] = max(end, ends.get(extent.name, 0))
        for name, end in ends.items():
            size = self._files[name].size
            if end > size:
                raise cut_short(end, size, f"in its piece {show_path(name)}, its disk reaches")
            if end < size:
                raise damaged(
                    f"its descriptor names {end} bytes of {show_path(name)}, which has {size}", 0
                )
        total = sum(extent.sectors for extent in self._described.extents)
        return Survey(total * SECTOR, Ledger(self.size))


@contextlib.contextmanager
def open_pieces(image: RawImage) -> Iterator[SplitImage]:
    """Open the files that a descriptor names, as pieces of the image.

    Raises SurveyError if one may not be read, and ImageInUseError.
    """
    described = descriptor.parse(image.pread(0, min(image.size, MIB)))
    if described.parent:
        raise SurveyError("it needs its parent, which holds the rest of its disk", FLATTEN)
    if described.create_type not in _TYPES or len(described.extents) > _MOST_EXTENTS:
        raise SurveyError(
            f"it describes a disk of type {show_path(described.create_type)} in"
            f" {len(described.extents)} extents, which is not read here",
            FLATTEN,
        )
    with contextlib.ExitStack() as stack:
        files = dict[str, RawImage]()
        for extent in described.extents:
            _check_extent(image.path, extent)
            if extent.name not in files:
                place = image.path.parent / extent.name
                files[extent.name] = stack.enter_context(RawImage.open(place))
                stack.enter_context(image.joined(files[extent.name]))
        yield SplitImage(image, described, files)


def _check_extent(path: Path, extent: Extent) -> None:
    """Raise SurveyError unless QEMU would read this extent, and from the same folder."""
    name = show_path(extent.name)
    if extent.access != "RW" or extent.kind not in _FLAT + _SPARSE:
        raise SurveyError(
            f"its extent {name} is {extent.access} {extent.kind}, which QEMU leaves out or reads as"
            " the difference to another disk",
            FLATTEN,
        )
    if not extent.name.isprintable() or extent.name in ("", ".", "..") or re.search(
        r"[/\\:]", extent.name
    ):  # fmt: skip
        raise SurveyError(f"it names the file {name}, which leads out of its folder", FLATTEN)
    try:
        there = os.lstat(path.parent / extent.name)
    except FileNotFoundError:
        folder = show_path(path.parent)
        raise SurveyError(f"its piece {name} is missing in {folder}", COPY_ALL) from None
    except OSError as error:
        raise ReadError.from_os(error, "cannot read", path.parent / extent.name) from error
    if not stat.S_ISREG(there.st_mode):
        raise SurveyError(f"its piece {name} is a link, or not a regular file", COPY_ALL)


def _check_sparse(file: RawImage, extent: Extent) -> None:
    def read(offset: int, length: int) -> bytes:
        return file.pread(offset, min(length, file.size - offset)) if offset < file.size else b""

    try:
        head = vmdk.header(read, file.size)
        if head.magic != vmdk.MAGIC or head.capacity != extent.sectors:
            raise damaged(f"{head.capacity} sectors, and its descriptor says {extent.sectors}", 12)
        vmdk.read_grains(read, file.size, head)
    except SurveyError as error:
        raise SurveyError(f"its piece {show_path(extent.name)}: {error}", error.advice) from error


def descriptor_of(piece: Path) -> Path | None:
    """Return the descriptor that lies where a piece does, by the names that VMware gives them."""
    place = piece.with_name(_PIECE_NAME.sub("", piece.stem) + piece.suffix)
    return place if place != piece and place.is_file() else None
