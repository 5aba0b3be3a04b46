"""Gather: look at an image, read-only, and return its Facts.

Only the first and last bytes, the partition tables, the start of each partition and the first
non-zero byte are read, so that a disk of a TiB takes no longer than a small one; holes are not
read. A whole scan happens only when it is asked for, and so does a look into the file systems.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imsprep.bitmap.inspect import inspect_bitmap
from imsprep.checks.facts import Cell, Facts, Zeros
from imsprep.cloud.sites import Site
from imsprep.errors import FormatError, MissingExtraError, ReadError, show_path
from imsprep.image import formats
from imsprep.image.archive.unpacked import UnpackedImage
from imsprep.image.blockmap import BlockMap
from imsprep.image.disk import Disk
from imsprep.image.file import RawImage
from imsprep.image.folders import what_folder
from imsprep.image.not_a_disk import Kind as ContentKind
from imsprep.image.qemu.foreign import INSIDE
from imsprep.image.qemu.nbd_disk import QemuDisk
from imsprep.image.volumes import partitions
from imsprep.ims.request import RequestFields
from imsprep.options import ScanOptions
from imsprep.scan.other_formats import scan_disk
from imsprep.scan.scan import BLOCK_SIZE, DEFAULTS, Scan, scan
from imsprep.units import GIB, MIB, SECTOR, ceil_div
from imsprep.zvhd2.examine import Examination, check_records, examine
from imsprep.zvhd2.faults import Fault, Kind, Stage, first_of
from imsprep.zvhd2.reader import Zvhd2Reader
from imsprep.zvhd2.source import OpenImage, pread

if TYPE_CHECKING:
    from imsprep.guest.model import Guest
    from imsprep.image.volumes.partitions import PartitionedDisk as PartitionTable
    from imsprep.trial.plan import Firmware
    from imsprep.trial.run import Booted

# Allocated zeros that are looked at before the question "only zeros?" is left to a scan: at the
# speed of one disk this is a second or two.
PROBE_LIMIT = GIB
_STEP = 4 * MIB
# What looking inside cannot do without: readers of ext4, XFS and FAT, and of YAML.
_READERS = ("pyfsext", "pyfsxfs", "pyfsfat", "yaml")
_EXTRA = re.compile(r"imsprep\[([a-z-]+)\]")
CELLS = 240  # of the picture of a disk
_MAX_RANGES = 1_000_000  # runs between holes that are taken into account
CONNECTIONS = 2  # of a disk that is served: for this process, and for the look inside

Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Look:
    """How closely to look; every step beyond the first costs time."""

    scan: bool = False  # read all data and make the block map
    guest: bool = False  # look inside the file systems
    boot: bool = False  # start it in QEMU
    deep: bool = False  # unpack every block of a ZVHD2 file, by the jobs of `scanning`
    probe_limit: int = PROBE_LIMIT  # bytes of allocated zeros after which the quick look gives up
    scanning: ScanOptions = DEFAULTS


QUICK = Look()


def gather_file(
    path: Path,
    *,
    request: RequestFields,
    site: Site,
    look: Look = QUICK,
    progress: Callable[[int], None] = lambda count: None,
) -> Facts:
    """Open an image and gather its facts; ReadError if it is none that can be opened."""
    if path.is_dir():
        raise ReadError(what_folder(path))
    with OpenImage.open(path, jobs=CONNECTIONS) as image:
        return gather(image, request=request, site=site, look=look, progress=progress)


def gather(
    image: OpenImage,
    *,
    request: RequestFields,
    site: Site,
    look: Look = QUICK,
    progress: Callable[[int], None] = lambda count: None,
) -> Facts:
    """Return what the rules need to know of an open image.

    The disk in an image of another format is read through QEMU, and judged as the ZVHD2 that an
    import makes of it. `progress` is called with the bytes that a scan is done with, holes
    included. Raises ReadError, MissingExtraError without qemu-nbd where it takes that, and
    ImageChangedError if the image changed meanwhile.
    """
    file = image.file
    if look.scan or look.deep:
        file.refuse_writers(force=look.scanning.force_share)
    facts = replace(_quick_look(image, look.probe_limit), request=request, site=site)
    if facts.format == formats.ZVHD2:
        facts = _with_container(facts, file, look, progress)
    if facts.is_raw:
        facts = replace(facts, bitmap=inspect_bitmap(file))
    if look.scan and facts.is_raw:
        facts = _with_scan(facts, file, look.scanning, progress)
    if facts.format in INSIDE:
        facts = _with_disk_inside(facts, image, look, progress)
    elif look.guest:
        facts = replace(facts, guest=_guest(image.path, facts.format))
    if look.boot:
        facts = replace(facts, booted=_booted(image, request))
    file.check_unchanged()
    return replace(facts, sharing=file.sharing)


def _booted(image: OpenImage, request: RequestFields) -> Booted:
    """Start the image as the request says that the server is."""
    from imsprep.options import BootOptions
    from imsprep.trial.run import boot

    arm = request.architecture == "arm"
    firmware: Firmware | None = "uefi" if request.hw_firmware_type == "uefi" else None
    return boot(image, BootOptions(architecture="arm" if arm else "x86", firmware=firmware))


def _with_disk_inside(
    facts: Facts, image: OpenImage, look: Look, progress: Callable[[int], None]
) -> Facts:
    """Look at the disk in an image that QEMU reads; why it cannot be read becomes a fact."""
    try:
        if len({m.format for m in facts.matches if m.kind is ContentKind.DISK}) > 1:
            raise FormatError("it is valid in several formats, and each shows another disk")
        return _look_inside(facts, image.disk(facts.format), look, progress).packed()
    except FormatError as error:
        guest = _guest(image.path, facts.format) if look.guest else None
        why = str(error).replace(show_path(image.path), facts.name)  # rules name no folders
        return replace(facts, unread=why, guest=guest)


def _look_inside(facts: Facts, disk: Disk, look: Look, progress: Callable[[int], None]) -> Facts:
    """Look at the disk in an image as at a RAW one."""
    table = partitions.read_disk(partial(pread, disk), disk.size) if disk.size >= SECTOR else None
    extents = itertools.islice(disk.extents(), _MAX_RANGES)
    ranges = [(offset, length) for offset, length, is_data in extents if is_data]
    facts = replace(
        facts,
        virtual_size=disk.size,
        disk=table,
        zeros=_zeros(ranges, partial(pread, disk), look.probe_limit),
        cells=_cells(disk.size, ranges),
    )
    if look.scan:
        scanned = scan_disk(disk, block_size=BLOCK_SIZE, progress=progress)
        facts = _with_map(facts, scanned)
    if look.guest:
        facts = replace(facts, guest=_guest(disk.path, facts.format, disk))
    return facts


def _quick_look(image: OpenImage, probe_limit: int) -> Facts:
    """Read the ends, the tables and the first data."""
    file, size, matches = image.file, image.file.size, image.matches
    name = formats.primary(matches)
    is_disk = name in formats.LIKE_RAW
    # A fixed VHD is a disk with a footer behind it.
    footer = next((m.offset for m in matches if m.format == formats.VHD_FIXED), 0)
    disk_size = footer if name == formats.VHD_FIXED and footer else size
    disk = partitions.read_disk(partial(pread, file), disk_size) if disk_size >= SECTOR else None
    ranges = list(itertools.islice(_data_ranges(file), _MAX_RANGES))
    return Facts(
        name=show_path(image.path.name),
        path=show_path(image.path),
        file_size=size,
        matches=matches,
        virtual_size=disk_size if is_disk else formats.virtual_size(name, image.ends[0]),
        stored_size=sum(length for _, length in ranges),
        zeros=_zeros(ranges, file.pread, probe_limit),
        cells=_cells(size, ranges),
        disk=disk if is_disk else None,
        outer_table=_outer_table(disk) if disk is not None else None,
    )


def _outer_table(disk: PartitionTable) -> str | None:
    """Return the table that a reader of RAW would see at the start of a file of any format.

    A header of a GPT alone is none until its checksums hold: of a VDI or a VHD that QEMU made, the
    disk begins at byte 3584 and its GPT header comes to lie where sectors of 4096 bytes have it.
    """
    seen = disk.protective or bool(disk.mbr_partitions)
    headers = (disk.primary, disk.backup)
    return disk.table if seen or any(h is not None and h.valid for h in headers) else None


def _data_ranges(image: RawImage) -> Iterator[tuple[int, int]]:
    """Yield offset and length of what is not a hole."""
    return ((start, stop - start) for start, stop in image.data())


def _zeros(ranges: list[tuple[int, int]], read: Read, limit: int) -> Zeros:
    """Look for a non-zero byte in what is no hole, and read no more than `limit` bytes."""
    looked_at = 0
    for offset, length in ranges:
        for position in range(offset, offset + length, _STEP):
            if looked_at >= limit:
                return Zeros(None, complete=False, looked_at=looked_at)
            step = read(position, min(_STEP, offset + length - position))
            if np.frombuffer(step, dtype=np.uint8).any():
                first = position + len(step) - len(step.lstrip(b"\0"))
                return Zeros(first, complete=False, looked_at=looked_at)
            looked_at += len(step)
    return Zeros(None, complete=len(ranges) < _MAX_RANGES, looked_at=looked_at)


def _cells(size: int, ranges: list[tuple[int, int]]) -> tuple[Cell, ...]:
    """Divide the file into equal cells and say how much of each is no hole."""
    if size == 0:
        return ()
    width = max(SECTOR, ceil_div(size, CELLS))
    stored = [0] * ceil_div(size, width)
    for offset, length in ranges:
        for number in range(offset // width, (offset + length - 1) // width + 1):
            start = max(offset, number * width)
            stored[number] += min(offset + length, (number + 1) * width) - start
    return tuple(
        Cell(number * width, min(width, size - number * width), kept)
        for number, kept in enumerate(stored)
    )


def _with_scan(
    facts: Facts, image: RawImage, scanning: ScanOptions, progress: Callable[[int], None]
) -> Facts:
    """Add the block map, also in the bitmap's blocks, and to each cell how much of it is data."""
    layout = facts.bitmap.layout if facts.bitmap is not None else None
    wanted = layout.block_size if layout is not None else BLOCK_SIZE
    block_size = math.gcd(BLOCK_SIZE, wanted)
    scanned = scan(image, replace(scanning, block_size=block_size), progress)
    block_map = scanned.block_map.coarsened(BLOCK_SIZE)
    bitmap = facts.bitmap and facts.bitmap._replace(found=scanned.block_map.coarsened(wanted))
    facts = replace(facts, bitmap=bitmap)
    return _with_map(facts, Scan(block_map, scanned.coverage))


def _with_map(facts: Facts, scanned: Scan) -> Facts:
    """Add a block map, and to each cell how much of it is data."""
    cells = tuple(cell._replace(data=_data_in(scanned.block_map, cell)) for cell in facts.cells)
    return replace(facts, block_map=scanned.block_map, coverage=scanned.coverage, cells=cells)


def _with_container(
    facts: Facts, image: RawImage, look: Look, progress: Callable[[int], None]
) -> Facts:
    """Add what lies in a ZVHD2 file: its tables, its record heads, and the disk's own tables."""
    found = examine(image.pread, image.size)
    container = found.container
    if container is None:
        return replace(facts, container=found, virtual_size=None)
    found = _added(found, Stage.RECORDS, [check_records(container, image.pread)])
    disk = None
    if not found.faults and look.deep:
        from imsprep.zvhd2.verify import check_payloads

        jobs = look.scanning.jobs or 0
        wrong = check_payloads(container, image.pread, jobs=jobs, progress=progress)
        found = _added(found, Stage.PAYLOADS, wrong)
    if all(fault.kind is Kind.FINISHED for fault in found.faults):
        reader = Zvhd2Reader(container, image.pread)
        disk, unread = _disk_inside(reader)
        found = _added(found, found.stage, [unread])
    return replace(
        facts,
        container=found,
        virtual_size=container.virtual_size,
        disk=disk,
    )


def _added(found: Examination, stage: Stage, faults: Iterable[Fault | None]) -> Examination:
    return replace(found, stage=stage, faults=(*found.faults, *first_of(faults)))


def _disk_inside(reader: Zvhd2Reader) -> tuple[PartitionTable | None, Fault | None]:
    """Read the partition tables of the image that was packed; what was added behind is no disk."""
    size = reader.container.original_size

    def read(offset: int, length: int) -> bytes:
        return reader.pread(offset, min(length, size - offset)) if 0 <= offset < size else b""

    try:
        return partitions.read_disk(read, size), None
    except FormatError as error:
        at = error.offset or 0
        return None, Fault(Kind.PAYLOAD, error.reason, at, 0)


def _data_in(block_map: BlockMap, cell: Cell) -> int:
    """Count the bytes of a cell that lie in allocated blocks."""
    size = block_map.block_size
    first, last = cell.start // size, (cell.start + cell.length - 1) // size
    starts = np.arange(first, last + 1) * size
    flags = np.array(block_map.bits[first : last + 1].tolist(), dtype=np.bool_)
    inside = np.minimum(starts + size, cell.start + cell.length) - np.maximum(starts, cell.start)
    return int(inside[flags].sum())


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def _guest(path: Path, format_: str, disk: Disk | None = None) -> Guest:
    """Look inside the file systems, in a child process; loaded only when it is asked for.

    Raises MissingExtraError where a part that is not installed keeps everything from being seen:
    what was not examined is no pass.
    """
    from imsprep.guest.model import Guest

    socket = disk.socket if isinstance(disk, QemuDisk) else None
    place = disk.place if isinstance(disk, UnpackedImage) else None
    if (socket or place) is None and format_ not in (formats.RAW, formats.VHD_FIXED, formats.ZVHD2):
        return Guest(unread=(f"the disk inside this {format_} file is not read",))
    missing = [name for name in _READERS if not _is_there(name)]
    if missing:
        raise MissingExtraError(
            f"a look inside {show_path(path)} needs {', '.join(missing)}", extra="guest"
        )
    from imsprep.guest.sandbox import inspect_image

    # The child opens a file of its own: it is limited, may crash, and has a position in the file.
    guest = inspect_image(place or path, socket=socket)
    lacking = [reason for reason in guest.unread if "is not installed" in reason]
    if guest.system is None and lacking:
        extra = _EXTRA.search(lacking[0])
        raise MissingExtraError(
            f"cannot look inside {show_path(path)}: {lacking[0]}", extra=extra and extra[1]
        )
    return guest
