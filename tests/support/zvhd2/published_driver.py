"""A reader that sees a ZVHD2 file as the published driver does: the judge of what we write.

It shares no code with the package, trusts what the driver trusts, and fails where the driver fails.
What it does was learned from the driver's behaviour (docs/zvhd2.md): the last 4096 bytes are the
footer; segments have their constant sizes whatever the footer says; blocks are 2 MiB whatever the
footer says; the entry of a block is found by counting bits of the bitmap; neither prefix, postfix
nor the record's block number is looked at; a zlib stream that has an end fails.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import zstandard

BLOCK = 2 << 20
SEGMENT = 32768  # blocks


class DriverError(Exception):
    """The driver would end with an I/O error or refuse the file."""


class PublishedDriver:
    """One open file."""

    def __init__(self, path: Path) -> None:
        self._file = path.read_bytes()
        footer = self._file[-4096:][:512] if self._file[87] else self._file[:512]
        self._check(footer)
        self.size, self._block_size = struct.unpack_from("<Q32xI", footer, 48)[0], BLOCK
        said = struct.unpack_from("<I", footer, 88)[0]
        if said & (said - 1) or not 1 << 20 <= said <= 32 << 20:
            raise DriverError(f"block size {said}")
        blocks, self._index, self._bitmap = struct.unpack_from("<IQQ", footer, 92)
        self._every_block, self._method = footer[140], footer[141]
        if blocks == 0:
            raise DriverError("a disk without blocks")
        segments = -(-blocks // SEGMENT)
        self._bits = [self._read(self._bitmap + n * 4096, 4096) for n in range(segments)]

    def disk(self) -> bytes:
        """Return the whole disk."""
        return b"".join(self.block(n) for n in range(-(-self.size // BLOCK)))

    def block(self, number: int) -> bytes:
        """Return one block of 2 MiB."""
        entry = number
        if not self._every_block:
            segment, bit = divmod(number, SEGMENT)
            if not self._bits[segment][bit // 8] >> bit % 8 & 1:
                return bytes(BLOCK)
            earlier = b"".join(self._bits[:segment])
            here = int.from_bytes(self._bits[segment], "little") & ((1 << bit + 1) - 1)
            entry = int.from_bytes(earlier, "little").bit_count() + here.bit_count() - 1
        segment, place = divmod(entry, SEGMENT)
        table = self._read(self._index + segment * SEGMENT * 16, SEGMENT * 16)
        offset, said, length = struct.unpack_from("<QII", table, place * 16)
        if offset == 0 or length == 0:
            return bytes(BLOCK)
        if self._every_block and said != number:
            raise DriverError(f"entry {entry} is about block {said}")
        if length > -(-(2 * BLOCK + BLOCK // 1000 + 128) // 4096) * 4096 + 4096:
            raise DriverError(f"a record of {length} bytes overflows its buffer")
        return self._expand(self._file[offset : offset + length])

    def _expand(self, record: bytes) -> bytes:
        (size,) = struct.unpack_from("<I", record, 12)
        payload = record[48 : 48 + size]
        if size == 0:
            raise DriverError("the data's size is 0")
        try:
            if self._method == 1:
                plain = zstandard.ZstdDecompressor().decompress(payload, max_output_size=BLOCK)
            else:
                stream = zlib.decompressobj()
                plain = stream.decompress(payload, BLOCK)
                if stream.eof:
                    raise DriverError("the stream has an end")
        except (zlib.error, zstandard.ZstdError) as error:
            raise DriverError(str(error)) from error
        if len(plain) != BLOCK:
            raise DriverError(f"{len(plain)} bytes in a block")
        return plain

    def _read(self, offset: int, length: int) -> bytes:
        got = self._file[offset : offset + length]
        if len(got) != length:
            raise DriverError(f"{len(got)} of {length} bytes at {offset}")
        return got

    @staticmethod
    def _check(footer: bytes) -> None:
        if footer[:6] != b"z2strm":
            raise DriverError("wrong cookie")
        (said,) = struct.unpack_from("<I", footer, 64)
        if said != ~sum(footer[:64] + bytes(4) + footer[68:]) & 0xFFFFFFFF:
            raise DriverError("wrong checksum")
