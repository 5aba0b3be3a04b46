"""BlockMap: for each block of a disk, whether any of its bytes is non-zero.

A block that holds a non-zero byte is *allocated*. The last block may be short and counts as a
block. An *extent* is a run of neighbouring blocks in the same state. The map's packed form on disk
is the business of `bitmap.codec`. Only flags need numpy, which takes longer to load than most
images take to scan, so it is loaded when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bitarray import bitarray, frozenbitarray
from bitarray.util import zeros

from imsprep.units import ceil_div

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of neighbouring blocks in the same state."""

    start: int  # the first block's number
    count: int  # blocks
    allocated: bool


class BlockMap:
    """Which blocks of a disk of `size` bytes are allocated; immutable and comparable."""

    __slots__ = ("bits", "block_size", "size")

    size: int
    block_size: int
    bits: frozenbitarray

    def __init__(self, size: int, block_size: int, bits: bitarray) -> None:
        if block_size <= 0 or size < 0:
            raise ValueError(f"no such block map: size {size}, block size {block_size}")
        if len(bits) != ceil_div(size, block_size):
            raise ValueError(
                f"a disk of {size} bytes has {ceil_div(size, block_size)} blocks of {block_size},"
                f" got {len(bits)} bits"
            )
        self.size = size
        self.block_size = block_size
        self.bits = frozenbitarray(bits, endian="little")

    @classmethod
    def from_flags(cls, size: int, block_size: int, flags: NDArray[np.bool_]) -> BlockMap:
        """Make a map from one bool per block."""
        import numpy as np

        bits = bitarray(endian="little")
        bits.frombytes(np.packbits(flags, bitorder="little").tobytes())
        del bits[len(flags) :]
        return cls(size, block_size, bits)

    def flags(self) -> NDArray[np.bool_]:
        """Return one bool per block."""
        import numpy as np

        packed = np.frombuffer(self.bits.tobytes(), dtype=np.uint8)
        return np.unpackbits(packed, count=len(self.bits), bitorder="little").astype(np.bool_)

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self.bits)

    def __getitem__(self, block: int) -> bool:
        """Return whether `block` is allocated."""
        return bool(self.bits[block])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BlockMap):
            return NotImplemented
        return (self.size, self.block_size, self.bits) == (other.size, other.block_size, other.bits)

    def __hash__(self) -> int:
        return hash((self.size, self.block_size, self.bits))

    def __repr__(self) -> str:
        share = f"allocated={self.allocated} of {len(self)}"
        return f"BlockMap(size={self.size}, block_size={self.block_size}, {share})"

    @property
    def allocated(self) -> int:
        """The number of allocated blocks."""
        return self.bits.count()

    @property
    def data_bytes(self) -> int:
        """The bytes that lie in allocated blocks; the short last block counts as it is."""
        if not len(self):
            return 0
        short = len(self) * self.block_size - self.size
        return self.allocated * self.block_size - (short if self.bits[-1] else 0)

    def byte_range(self, start: int, count: int = 1) -> tuple[int, int]:
        """Return offset and length in bytes of `count` blocks from `start`, cut at the end."""
        offset = start * self.block_size
        return offset, min(count * self.block_size, self.size - offset)

    def extents(self) -> Iterator[Extent]:
        """Yield the extents in order; they alternate and cover every block once."""
        position, end = 0, len(self.bits)
        while position < end:
            state = self.bits[position]
            stop = self.bits.find(not state, position)
            stop = end if stop < 0 else stop
            yield Extent(position, stop - position, bool(state))
            position = stop

    def without(self, other: BlockMap) -> BlockMap:
        """Return the map of the blocks that are allocated here and not in `other`."""
        return BlockMap(self.size, self.block_size, self.bits & ~other.bits)

    def coarsened(self, block_size: int) -> BlockMap:
        """Return the map for larger blocks; `block_size` must be a multiple of this map's."""
        if block_size % self.block_size:
            raise ValueError(f"{block_size} is not a multiple of the block size {self.block_size}")
        if block_size == self.block_size:
            return self
        ratio = block_size // self.block_size
        bits = zeros(ceil_div(self.size, block_size), endian="little")
        for extent in self.extents():
            if extent.allocated:
                bits[extent.start // ratio : ceil_div(extent.start + extent.count, ratio)] = True
        return BlockMap(self.size, block_size, bits)
