"""The codecs of ZVHD2: one block packed, one block unpacked, by zstd or zlib.

A payload is one zstd frame, or a zlib stream that ends with a sync flush and has no end marker:
the published driver refuses a stream that is finished (docs/zvhd2.md). Unpacking never gives or
allocates more than one block, whatever the payload claims.
"""

from __future__ import annotations

import zlib

import zstandard

from imsprep.errors import FormatError
from imsprep.units import KIB, MIB
from imsprep.zvhd2.records import BLOCK_SIZES, METHODS, ZLIB, ZSTD

ZSTD_LEVEL = 3  # zstd's own default, which the published driver uses
ZLIB_LEVEL = 1  # what the published driver uses
DEFAULT_LEVELS = {ZSTD: ZSTD_LEVEL, ZLIB: ZLIB_LEVEL}
MEMORY = 192 * MIB  # bytes for the blocks and codecs of all threads together, on any machine
_UNPACKING = 3  # blocks that unpacking one needs: the record, the block, and the codec's own
# A payload and a block, in bytes, that are kept for the next payload that is the same.
_REMEMBERED, _REMEMBERED_BLOCK = 64 * KIB, 4 * MIB
MAX_WINDOW = BLOCK_SIZES[-1]  # bytes that a frame may make its reader keep
LEVELS = {ZSTD: range(1, 20), ZLIB: range(1, 10)}


def unpacking_threads(block_size: int, jobs: int, *, memory: int = MEMORY, copies: int = 0) -> int:
    """Return how many of `jobs` threads there is memory for to unpack, and keep `copies` more."""
    return max(1, min(jobs, memory // ((_UNPACKING + copies) * block_size)))


def unpacking_memory(block_size: int, threads: int) -> int:
    """Return the bytes that so many threads need which unpack."""
    return threads * _UNPACKING * block_size


class Packer:
    """Packs blocks, one after the other; each thread needs its own."""

    def __init__(self, method: int, level: int) -> None:
        self._method, self._level = method, level
        self._zstd = zstandard.ZstdCompressor(level=level) if method == ZSTD else None

    @staticmethod
    def memory(method: int, level: int, block_size: int) -> int:
        """Return the bytes that a packer needs besides block and payload."""
        if method == ZLIB:
            return 256 * KIB  # <zlib.h> states it for the defaults of deflate
        made = zstandard.ZstdCompressionParameters.from_level(level, source_size=block_size)
        return made.estimated_compression_context_size()

    def __call__(self, block: bytes | bytearray | memoryview) -> bytes:
        """Return the payload for one whole block."""
        if self._zstd is not None:
            return self._zstd.compress(block)
        stream = zlib.compressobj(self._level)
        return stream.compress(block) + stream.flush(zlib.Z_SYNC_FLUSH)


class Unpacker:
    """Unpacks blocks, one after the other; each thread needs its own.

    `finished` says whether the last payload was a zlib stream with an end marker: it can be read,
    and the published driver refuses it.
    """

    def __init__(self, method: int, block_size: int) -> None:
        self._method, self._block_size = method, block_size
        self.finished = False
        # Of a disk of written zeros all payloads are the same: unpacked once, they cost nothing.
        self._last: tuple[bytes, bytes, bool] | None = None  # payload, block, finished
        self._zstd = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)

    def __call__(self, payload: bytes | memoryview) -> bytes:
        """Return the block in a payload; FormatError if it is not exactly one block.

        A payload that is the same as the one before gives the same object.
        """
        remember = len(payload) <= _REMEMBERED and self._block_size <= _REMEMBERED_BLOCK
        short = bytes(payload) if remember else None
        if short is not None and self._last is not None and self._last[0] == short:
            self.finished = self._last[2]
            return self._last[1]
        block = self._unpack(payload)
        if short is not None:
            self._last = (short, block, self.finished)
        return block

    def _unpack(self, payload: bytes | memoryview) -> bytes:
        try:
            block = self._from_zstd(payload) if self._method == ZSTD else self._from_zlib(payload)
        except (zstandard.ZstdError, zlib.error) as error:
            raise FormatError(
                f"the payload cannot be read as {METHODS[self._method]}: {error}"
            ) from error
        if len(block) != self._block_size:
            raise self._wrong_size(f"{len(block)} bytes")
        return block

    def _from_zstd(self, payload: bytes | memoryview) -> bytes:
        claimed = zstandard.frame_content_size(payload)  # -1: the frame does not say
        if claimed not in (-1, self._block_size):
            raise self._wrong_size(f"{claimed} bytes, as the frame claims")
        return self._zstd.decompress(
            payload, max_output_size=self._block_size, allow_extra_data=False
        )

    def _from_zlib(self, payload: bytes | memoryview) -> bytes:
        stream = zlib.decompressobj()
        block = stream.decompress(payload, self._block_size)
        if len(block) == self._block_size and stream.decompress(stream.unconsumed_tail, 1):
            raise self._wrong_size("more")
        self.finished = stream.eof
        if stream.unused_data:
            raise FormatError(f"{len(stream.unused_data)} bytes follow the zlib stream")
        return block

    def _wrong_size(self, found: str) -> FormatError:
        return FormatError(
            f"a block has {self._block_size} bytes, and its payload unpacks to {found}"
        )
