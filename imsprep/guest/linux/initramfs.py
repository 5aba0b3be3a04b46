"""What is inside an initramfs: a row of cpio archives, each plain or compressed.

Early microcode comes as a plain cpio, padded with zeros; after it the main archive, compressed
with gzip, xz, lzma, bzip2, zstd, lz4 (the kernel's *legacy* frames) or lzo, or not at all. Any
number of them may follow one another. Sources: the Linux kernel's "initramfs buffer format" and
lib/decompress*.c; the lz4 legacy frame of "LZ4 Frame Format Description".

Data comes in pieces and no file is kept but the few that the caller names, so memory stays small;
an Allowance of bytes and files ends a compression bomb with FormatError.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from imsprep.errors import FormatError
from imsprep.units import GIB, KIB, MIB

# What all initramfs of an image may cost together; a generous one has 300 MiB and 5,000 files.
SIZE_LIMIT = 4 * GIB  # bytes after decompression
ENTRY_LIMIT = 200_000
STREAM_LIMIT = 10_000  # parallel packers make one for each MiB or so; lz4's blocks count as well
NAME_LIMIT = 4096  # PATH_MAX
KEPT_LIMIT = 64 * KIB  # of one file whose content is wanted
WHOLE_LIMIT = 128 * MIB  # of one that holds a file system
_STEP = 256 * KIB  # what is decompressed at once
_LZ4 = b"\x02\x21\x4c\x18"  # of the legacy frame
_LZOP = b"\x89LZO\0\r\n\x1a\n"
_LZO_BLOCK = 256 * KIB  # what the kernel takes at most
_LZ4_BLOCK = 8 * MIB  # largest block of a legacy frame, after decompression

_HEADER = struct.Struct("6s8s8s8s8s8s8s8s8s8s8s8s8s8s")  # newc: magic and 13 hexadecimal fields
_CPIO = (b"070701", b"070702")
_MODE, _SIZE, _NAME_SIZE = 2, 7, 12  # places in the header
_TRAILER = "TRAILER!!!"
# Damage of one in which nothing is: the kernel starts as it does without an initramfs.
EMPTY, ONLY_ZEROS = "it is empty", "it holds only zeros"


class DamagedError(FormatError):
    """The archive is cut off or broken in the middle: the kernel stops there too."""


class Member(NamedTuple):
    """A file of the initramfs; `data` is None unless it was asked for."""

    name: str  # without a leading "/" or "./"
    mode: int
    data: bytes | None


@dataclass
class Allowance:
    """What may still be unpacked of an image; spending more raises FormatError."""

    bytes_left: int = SIZE_LIMIT
    files_left: int = ENTRY_LIMIT
    streams_left: int = STREAM_LIMIT

    def take(self, *, size: int = 0, files: int = 0, streams: int = 0) -> None:
        """Spend bytes, files or compressed streams."""
        self.bytes_left -= size
        self.files_left -= files
        self.streams_left -= streams
        if self.bytes_left < 0:
            raise FormatError("it unpacks to more than may be unpacked")
        if self.files_left < 0 or self.streams_left < 0:
            raise FormatError("it holds more files than are looked at")


class ByteSource:
    """Bytes that come in pieces, with a look ahead."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = b""
        self._at = 0  # where in the buffer the next byte is

    def peek(self, count: int) -> bytes:
        """Return the next bytes without taking them; fewer only at the end."""
        while len(self._buffer) - self._at < count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return self._buffer[self._at : self._at + count]

    def take(self, count: int) -> bytes:
        """Return the next bytes; FormatError if there are fewer."""
        data = self.peek(count)
        if len(data) < count:
            raise DamagedError("it ends in the middle")
        self._at += count
        return data

    def skip(self, count: int) -> None:
        """Pass over bytes without keeping them."""
        while count:
            if not self.peek(1):
                raise DamagedError("it ends in the middle")
            step = min(count, len(self._buffer) - self._at)
            self._at += step
            count -= step

    def piece(self) -> bytes:
        """Return whatever comes next, b"" at the end."""
        self.peek(1)
        data, self._buffer, self._at = self._buffer[self._at :], b"", 0
        return data

    def give_back(self, data: bytes) -> None:
        """Put bytes back in front."""
        self._buffer, self._at = data + self._buffer[self._at :], 0

    def skip_zeros(self) -> None:
        """Pass over padding."""
        while data := self.piece():
            rest = data.lstrip(b"\0")
            if rest:
                self.give_back(rest)
                return


def nothing(_: str) -> bool:
    """Ask for no file."""
    return False


def members(
    pieces: Iterable[bytes],
    wanted: Callable[[str], bool],
    allowance: Allowance,
    whole: Callable[[str], bool] = nothing,
    packed_by: Callable[[str], object] = nothing,
) -> Iterator[Member]:
    """Yield every file of an initramfs; `wanted(name)` asks for a file's content.

    What is wanted has KEPT_LIMIT bytes at most, or is left out; where `whole(name)` holds,
    WHOLE_LIMIT. `packed_by` is handed the compression of each archive that has one.

    FormatError says what was found where an archive was expected, DamagedError that there is none.
    """
    source = ByteSource(pieces)
    none = ONLY_ZEROS if source.peek(1) else EMPTY
    source.skip_zeros()
    if not source.peek(1):
        raise DamagedError(none)
    while True:
        source.skip_zeros()
        magic = source.peek(6)
        if not magic:
            return
        packed = magic not in _CPIO
        if packed and (name := compression(magic)) is not None:
            packed_by(name)
        archive = ByteSource(decompressed(source, magic, allowance)) if packed else source
        for member in _archive(archive, wanted, whole):
            allowance.take(files=1)
            yield member
        if packed:
            while archive.piece():
                pass  # to the end of the compressed stream, where the next archive begins


def _archive(
    source: ByteSource, wanted: Callable[[str], bool], whole: Callable[[str], bool]
) -> Iterator[Member]:
    """Read cpio archives one after another, until something else follows."""
    while True:
        source.skip_zeros()
        if source.peek(6) not in _CPIO:
            return
        fields = _HEADER.unpack(source.take(_HEADER.size))
        try:
            mode, size, name_size = (int(fields[i], 16) for i in (_MODE, _SIZE, _NAME_SIZE))
        except ValueError:
            raise FormatError("a cpio header has a field that is not a number") from None
        if name_size > NAME_LIMIT:
            raise FormatError(f"a name of {name_size} bytes, the limit is {NAME_LIMIT}")
        raw = source.take(name_size)
        name = raw.rstrip(b"\0").decode("utf-8", "surrogateescape").removeprefix("./").lstrip("/")
        source.skip(-(_HEADER.size + name_size) % 4)
        if name == _TRAILER:
            continue
        limit = WHOLE_LIMIT if whole(name) else KEPT_LIMIT if wanted(name) else -1
        data = source.take(size) if size <= limit else None
        source.skip((0 if data is not None else size) + -size % 4)
        yield Member(name, mode, data)


def compression(magic: bytes) -> str | None:
    """Return the name of the compression that begins with 6 bytes, as the kernel calls it."""
    return next((name for start, name in _NAMES.items() if magic.startswith(start)), None)


def decompressed(source: ByteSource, magic: bytes, allowance: Allowance) -> Iterator[bytes]:
    """Unpack a compressed stream that begins with `magic`; FormatError or DamagedError."""
    for piece in _unpacked(source, magic, allowance):
        allowance.take(size=len(piece))
        yield piece


def _unpacked(source: ByteSource, magic: bytes, allowance: Allowance) -> Iterator[bytes]:
    """Unpack a compressed stream and those of the same kind right behind it."""
    if magic[:4] == _LZ4:
        yield from _lz4(source, allowance)
        return
    if magic == _LZOP[:6]:
        yield from _lzo(source, allowance)
        return
    start = next((start for start in _DECOMPRESSORS if magic.startswith(start)), None)
    if start is None:
        raise FormatError(f"neither cpio nor a known compression: it begins with {magic.hex(' ')}")
    while source.peek(len(start)) == start:
        allowance.take(streams=1)
        yield from _stream(source, _DECOMPRESSORS[start]())


def _stream(source: ByteSource, decompressor: Any) -> Iterator[bytes]:
    """Unpack one stream in bounded steps and give back what follows it."""
    try:
        while not decompressor.eof and (data := source.piece()):
            for at in range(0, len(data), _STEP):
                yield from _bounded(decompressor, data[at : at + _STEP])
                if decompressor.eof:
                    source.give_back(decompressor.unused_data + data[at + _STEP :])
                    break
    except (OSError, EOFError, lzma.LZMAError, zlib.error, _zstd_error()) as error:
        raise DamagedError(f"its compressed data is broken: {error}") from error
    if not decompressor.eof:
        raise DamagedError("its compressed data ends in the middle")


def _bounded(decompressor: Any, data: bytes) -> Iterator[bytes]:
    """Unpack a piece so that a few bytes cannot become gigabytes at once."""
    if isinstance(decompressor, _Unbounded):
        yield from decompressor.decompress(data)
        return
    yield decompressor.decompress(data, MIB)
    while not decompressor.eof and not decompressor.needs_input:
        yield decompressor.decompress(b"", MIB)


class _Unbounded:
    """zlib and zstd behind the interface of bz2 and lzma, in bounded steps."""

    eof = False
    unused_data = b""

    def decompress(self, data: bytes) -> Iterator[bytes]:
        raise NotImplementedError


class _Gzip(_Unbounded):
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)  # with a gzip header

    def decompress(self, data: bytes) -> Iterator[bytes]:
        while data and not self._inner.eof:
            yield self._inner.decompress(data, MIB)
            data = self._inner.unconsumed_tail
        self.eof, self.unused_data = self._inner.eof, self._inner.unused_data


class _Zstd(_Unbounded):
    def __init__(self) -> None:
        import zstandard

        # A window above 128 MiB needs --ultra --long; no kernel would unpack it either.
        self._inner = zstandard.ZstdDecompressor(max_window_size=128 * MIB).decompressobj()

    def decompress(self, data: bytes) -> Iterator[bytes]:
        # Four bytes can be a block of 128 KiB, so a bite gives at most 32 MiB.
        bite = KIB
        for at in range(0, len(data), bite):
            yield self._inner.decompress(data[at : at + bite])
            if self._inner.eof:
                self.eof = True
                self.unused_data = self._inner.unused_data + data[at + bite :]
                return


def _lz4(source: ByteSource, allowance: Allowance) -> Iterator[bytes]:
    """Unpack legacy frames: a magic number, then blocks with their length before them."""
    try:
        import lz4.block
    except ImportError:
        raise FormatError("it is packed with lz4: install imsprep[guest]") from None
    while len(head := source.peek(4)) == 4:
        allowance.take(streams=1)
        if head == _LZ4:
            source.take(4)
            continue
        (size,) = struct.unpack("<I", head)
        if not 0 < size <= _LZ4_BLOCK * 2:
            return
        source.take(4)
        try:
            yield lz4.block.decompress(source.take(size), uncompressed_size=_LZ4_BLOCK)
        except lz4.block.LZ4BlockError as error:
            raise DamagedError(f"its lz4 data is broken: {error}") from error


def _lzo(source: ByteSource, allowance: Allowance) -> Iterator[bytes]:
    """Unpack lzop's file: a header, then blocks with both lengths and checksums before them.

    Checksums are passed over, as the kernel does (lib/decompress_unlzo.c; lzop 1.04, src/lzop.c).
    """
    try:
        from lzallright import InputNotConsumed, LZOCompressor, LZOError
    except ImportError:
        raise FormatError("it is packed with lzo: install imsprep[guest]") from None
    checks = _lzo_header(source)
    while True:
        (size,) = struct.unpack(">I", source.take(4))
        if not size:
            return
        (packed,) = struct.unpack(">I", source.take(4))
        if not 0 < packed <= size <= _LZO_BLOCK:
            raise FormatError(f"its lzo data is broken: a block of {packed} of {size} bytes")
        allowance.take(streams=1)
        source.take(checks.of_block + (checks.of_packed if packed < size else 0))
        data = source.take(packed)
        if packed < size:
            try:
                data = LZOCompressor.decompress(data, size)
            except (LZOError, InputNotConsumed) as error:
                raise DamagedError(f"its lzo data is broken: {error}") from error
        if len(data) != size:
            raise FormatError(f"its lzo data is broken: {len(data)} bytes, not {size}")
        yield data


class _Checks(NamedTuple):
    """How many bytes of checksums stand before a block of lzop."""

    of_block: int
    of_packed: int


def _lzo_header(source: ByteSource) -> _Checks:
    """Pass over the header of lzop's file."""
    if source.take(len(_LZOP)) != _LZOP:
        raise FormatError("its lzo header is broken")
    version, _ = struct.unpack(">HH", source.take(4))
    new = version >= 0x0940
    source.take(4 if new else 1)  # what is needed to unpack it, method and level
    (flags,) = struct.unpack(">I", source.take(4))
    source.take((4 if flags & 0x800 else 0) + (12 if new else 8))  # filter, mode and time
    source.take(source.take(1)[0] + 4)  # name and checksum
    if flags & 0x40:
        (extra,) = struct.unpack(">I", source.take(4))
        source.skip(extra + 4)
    return _Checks(
        *(4 * sum(bool(flags & bit) for bit in bits) for bits in ((1, 0x100), (2, 0x200)))
    )


def _zstd_error() -> type[Exception]:
    import zstandard

    error: type[Exception] = zstandard.ZstdError
    return error


_DECOMPRESSORS: dict[bytes, Callable[[], object]] = {
    b"\x1f\x8b": _Gzip,
    b"\xfd7zXZ\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 * MIB),
    b"\x5d\0\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=256 * MIB),
    b"BZh": bz2.BZ2Decompressor,
    b"\x28\xb5\x2f\xfd": _Zstd,
}
# The suffix of CONFIG_RD_ in the kernel's configuration, in lower case.
_NAMES = {
    b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x5d\0\0": "lzma", b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd", _LZ4: "lz4", _LZOP[:6]: "lzo",
}  # fmt: skip
