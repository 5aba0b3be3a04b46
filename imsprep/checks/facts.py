"""Facts: all that is known of one image and its request, gathered before any rule runs.

Rules are pure functions of this value. A member that is None was not gathered; a rule that needs
it raises UnknownError with the reason. `gather_facts` fills the value from files; nothing is opened
here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from imsprep.cloud.sites import SITES, Site
from imsprep.image import formats
from imsprep.ims.request import RequestFields
from imsprep.options import DEFAULT_SITE
from imsprep.units import GIB, round_up

if TYPE_CHECKING:
    from imsprep.bitmap.facts import BitmapFacts
    from imsprep.guest.model import Guest
    from imsprep.image.blockmap import BlockMap
    from imsprep.image.file import Sharing
    from imsprep.image.volumes.partitions import PartitionedDisk
    from imsprep.ims.region import RegionFacts
    from imsprep.scan.scan import Coverage
    from imsprep.store.bucket import BucketFacts
    from imsprep.trial.run import Booted
    from imsprep.zvhd2.examine import Examination


@dataclass(frozen=True)
class Zeros:
    """What is known of the image's content being zero.

    `first_data` is the offset of a non-zero byte that was found, or None; `complete` says whether
    the whole image was looked at. Bytes in holes count as looked at.
    """

    first_data: int | None
    complete: bool
    looked_at: int  # bytes


class Cell(NamedTuple):
    """One of the equal pieces into which a picture divides the file; bytes."""

    start: int
    length: int
    stored: int  # not in holes
    data: int | None = None  # in blocks with a non-zero byte; None: not scanned


@dataclass(frozen=True)
class Facts:
    """What the rules may look at."""

    name: str  # the image's file name, for messages
    file_size: int  # bytes on our disk, holes included
    path: str = ""  # as the caller named the file, for commands; "": as its name
    matches: tuple[formats.Match, ...] = ()  # formats that its bytes claim, none means RAW
    virtual_size: int | None = None  # bytes that the guest sees; None: not known
    source_size: int | None = None  # of the disk before it is packed; None: as `virtual_size`
    stored_size: int | None = None  # bytes that really lie on our disk
    zeros: Zeros | None = None
    cells: tuple[Cell, ...] = ()  # for a picture of the disk
    disk: PartitionedDisk | None = None  # partition table and volumes of the disk's content
    outer_table: str | None = None  # partition table at the start of the file, whatever its format
    block_map: BlockMap | None = None  # only after a scan
    coverage: Coverage | None = None  # how the scan knows; only after one
    sharing: Sharing | None = None  # other programs that may write to it; if read as a whole
    unread: str | None = None  # why the disk in an image that QEMU reads could not be read
    to_be_packed: bool = False  # a ZVHD2 is made of it, which is what will be sent
    importing: bool = False  # an import is at hand, which unpacks a compressed file itself
    container: Examination | None = None  # how far a ZVHD2 file could be read
    bitmap: BitmapFacts | None = None  # of the file next to a RAW image
    guest: Guest | None = None  # what is inside; None unless --guest asked for it
    booted: Booted | None = None  # what became of a boot; None unless it was asked for
    bucket: BucketFacts | None = None  # what the bucket answered, only with --online
    region: RegionFacts | None = None  # what its image service answered, only with --online
    request: RequestFields = field(default_factory=RequestFields)
    site: Site = SITES[DEFAULT_SITE]

    @property
    def file(self) -> str:
        """The file as a command is to name it."""
        return self.path or self.name

    @property
    def format(self) -> str:
        """The disk format by content, `raw` if nothing else matched."""
        return formats.primary(self.matches)

    @property
    def is_raw(self) -> bool:
        """Return whether the content carries no signature of another format."""
        return self.format == formats.RAW

    def packed(self) -> Facts:
        """Return the facts of the container that is made of it: no bitmap, a disk of whole GiB.

        Nothing is made of an image whose disk could not be read, and of these facts not again.
        """
        if self.unread is not None or self.to_be_packed:
            return replace(self, bitmap=None)
        size = self.virtual_size
        return replace(
            self,
            bitmap=None,
            to_be_packed=True,
            source_size=size,
            virtual_size=round_up(size, GIB) if size else size,
        )

    @property
    def would_be_packed(self) -> bool:
        """Return whether an import packs it if nothing else is asked: RAW without a bitmap."""
        alone = self.bitmap is not None and self.bitmap.length is None
        return self.is_raw and alone and not (self.importing or self.to_be_packed)

    @property
    def packed_size(self) -> int | None:
        """The disk that an import makes of it, in bytes: in a ZVHD2 it has whole GiB."""
        size = self.virtual_size
        return round_up(size, GIB) if size and self.would_be_packed else size

    @property
    def is_system_disk(self) -> bool:
        """Return whether the image is meant to boot: it is, unless the request says DataImage."""
        return not self.request.is_data_disk
