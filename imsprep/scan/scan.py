"""Scan: tell which blocks of an image hold data, and read no more of it than that takes.

    hole    the file system says that nothing is stored there; believed where it is known to be true
    probed  the first page that a block stores is looked at; if it holds data, so does the block
    read    what is left, looked at byte for byte, by `schedule`

So only zeros that were written must be read, and what stands between the zeros at a block's start
and its first data. docs/scan.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from bitarray import bitarray
from bitarray.util import zeros

from imsprep.image.blockmap import BlockMap
from imsprep.image.file import RawImage, Sharing
from imsprep.options import ReadOptions, ScanOptions
from imsprep.progress import counting
from imsprep.scan.holes import believes_holes, knows_holes
from imsprep.scan.probe import PAGE, Range, batched, cut, holds_data
from imsprep.scan.schedule import FullRead, How
from imsprep.system.pagecache import without_readahead
from imsprep.system.threads import usable_cpus as usable_cpus
from imsprep.units import KIB, MIB, ceil_div, format_size

BLOCK_SIZE = 2 * MIB  # the container's default, and the bitmap's

_PROBED_FROM = 256 * KIB  # block size below which a seek costs no less than reading on
_PROBES = 256  # at a time: what the disk is asked for together
_FIRST_PROBES = 16  # at first, so that readers can start early
_LARGEST = 32 * MIB  # of a piece where there are no probes
_MOST_JOBS = 4  # by default; more readers than that wait for memory, or for the disk


class Coverage(NamedTuple):
    """How each byte is known, in bytes; the three make up the whole image."""

    holes: int  # the file system says that nothing is stored there; not read
    probed: int  # in blocks where a first look found data, so that the rest was not read
    read: int  # looked at byte for byte, as far as a block's first data

    def __str__(self) -> str:
        holes, probed, read = map(format_size, self)
        return f"coverage: holes {holes}, probed {probed}, read {read}"

    def as_dict(self) -> dict[str, int]:
        """Return plain values for JSON."""
        return self._asdict()


@dataclass(frozen=True)
class Scan:
    """What a scan found, and how it knows."""

    block_map: BlockMap
    coverage: Coverage
    sharing: Sharing | None = None  # whether programs may have written to it meanwhile


def how_known(coverage: Coverage, sharing: Sharing | None) -> str:
    """Return for a person how each byte is known, and who may have written meanwhile."""
    return f"{coverage}\nnote: {sharing.note}" if sharing and sharing.note else str(coverage)


DEFAULTS = ScanOptions()


def scan(
    image: RawImage,
    options: ScanOptions = DEFAULTS,
    progress: Callable[[int], None] = lambda count: None,
) -> Scan:
    """Return the block map of an image, the same for any `jobs` and `holes` of the options.

    `holes` says whether holes are taken for zeros without being read: `trust`, `verify` (read
    them), or `auto`: trust file systems that are known to report them rightly. `keep_cache` leaves
    in the page cache what the scan brought there. `progress` is called with bytes, holes included.
    Raises ReadError, ImageInUseError if another program may write to it (`force_share` goes on all
    the same), and ImageChangedError if the image changed.
    """
    image.refuse_writers(force=options.force_share)
    image.check_unchanged()
    block_size = options.block_size or BLOCK_SIZE
    known = knows_holes(image)
    how = How(
        block_size,
        options.jobs or min(usable_cpus(), _MOST_JOBS),
        # Elsewhere another machine, or a cache of the file system's own, may hold what is newer.
        past_cache=known and not options.keep_cache,
        keep_cache=options.keep_cache,
    )
    bits = zeros(ceil_div(image.size, block_size), endian="little")
    with without_readahead(image.fileno()), FullRead(image, bits, how, progress) as reading:
        believed = believes_holes(image, options.holes)
        data = image.data() if believed else [(0, image.size)]
        probed = _probe(image, data, bits, reading, progress)
        reading.finish()
    image.check_unchanged()
    coverage = Coverage(image.size - probed - reading.size, probed, reading.size)
    return Scan(BlockMap(image.size, block_size, bits), coverage, image.sharing)


def _probe(
    image: RawImage,
    data: Iterable[Range],
    bits: bitarray,
    reading: FullRead,
    progress: Callable[[int], None],
) -> int:
    """Mark the blocks whose first page holds data, and have the other pieces read in full.

    Tells `progress` of what need not be read, and returns how much of that is in no hole.
    """
    size, probed, position = reading.how.block_size, 0, 0
    probing = size >= _PROBED_FROM
    pieces = cut(data, size if probing else _LARGEST)
    for batch in batched(pieces, _PROBES, first=_FIRST_PROBES):
        in_doubt = batch
        if probing:
            _probe_batch(image, batch, bits, reading.how)
            in_doubt = [piece for piece in batch if not bits[piece[0] // size]]
        for start, stop in in_doubt:
            reading.add(start, stop)
        unread = _length(in_doubt)
        probed += _length(batch) - unread
        progress(batch[-1][1] - position - unread)
        position = batch[-1][1]
    progress(image.size - position)
    return probed


def _probe_batch(image: RawImage, pieces: list[Range], bits: bitarray, how: How) -> None:
    """Look at the first page of each piece whose block is not known to hold data."""
    unknown = [piece for piece in pieces if not bits[piece[0] // how.block_size]]
    pages = [(start, min(start + PAGE, stop)) for start, stop in unknown]
    for (start, _), found in zip(unknown, holds_data(image, pages, how.keep_cache), strict=True):
        bits[start // how.block_size] |= found


def _length(ranges: list[Range]) -> int:
    return sum(stop - start for start, stop in ranges)


def scan_as_step(image: RawImage, options: ReadOptions, block_size: int, step: str) -> Scan:
    """Scan with a caller's options, and report to its progress as this step."""
    progress = counting(options.progress, step, image.size)
    return scan(image, options.scanning(jobs=options.jobs, block_size=block_size), progress)
