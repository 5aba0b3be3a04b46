"""A RAW disk in a compressed file, unpacked in one pass: gzip, xz, zstd, bzip2, lz4.

What a trailer says of the size is not believed: the disk ends where the stream does, and at most at
the limit of an import. Each stream is unpacked to its end and its checksum compared, where it has
one (gzip, xz and bzip2 always have). Several streams behind each other are one file to the formats'
own programs, and so they are here.

Reading goes forwards only: `extents` unpacks, and what it yields as data waits until `pread_into`
fetches it, once and whole.
"""

from __future__ import annotations

import bz2
import lzma
import shlex
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zstandard

from imsprep.errors import ContentError, FormatError, MissingExtraError, show_path
from imsprep.image import formats
from imsprep.image.disk import ByteExtent
from imsprep.image.file import RawImage
from imsprep.image.not_a_disk import KNOWN, STREAMS
from imsprep.units import KIB, MIB, exact_size

_READ = 256 * KIB  # bytes of the file at once
_ZSTD_READ = 4 * KIB  # its decoder gives all that comes out: of so much, 128 MiB at most
_OUT = MIB  # bytes that the other decoders give at once
_XZ_MEMORY = 512 * MIB  # for a dictionary; `xz -9` takes 64 MiB
_ZSTD_WINDOW = 1 << 31  # bytes, as `zstd --long=31` makes them
_CHECKSUM = "download or copy it again, and compare its checksum with that of the source"

# What the decoders raise for a stream that is damaged; lz4 raises RuntimeError.
_FAULTS = (
    zlib.error, OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, RuntimeError, ValueError,
)  # fmt: skip


class StreamDisk:
    """The disk in a compressed file, read forwards once."""

    def __init__(self, image: RawImage, format_: str, piece: int, *, raw_only: bool = True) -> None:
        """`piece` is the size of what is yielded and fetched at once, in bytes.

        `raw_only` refuses a stream whose content is in another format.
        """
        self.path, self.size = image.path, formats.MAX_SIZE
        self.position = 0  # bytes that were unpacked
        self._image, self._format, self._piece = image, format_, piece
        self._raw_only = raw_only
        self._waiting = dict[int, bytes]()

    def extents(self) -> Iterator[ByteExtent]:
        """Unpack, and yield pieces of the disk and whether they are data.

        Raises FormatError for a stream that is damaged or cut short, or that holds no RAW disk or
        more than an import takes.
        """
        position, head, tail = 0, b"", b""
        self.position = 0
        for piece in _pieces(_unpacked(self._image, self._format), self._piece):
            if not position:
                head = piece[: formats.HEAD_SIZE]
                # The disk is larger than what came of it by now: nothing at its end is known.
                self._refuse(formats.identify(head, b"", formats.MAX_SIZE))
            if position + len(piece) > formats.MAX_SIZE:
                raise FormatError(
                    f"{show_path(self.path)} unpacks to more than {exact_size(formats.MAX_SIZE)},"
                    " the most that quick import takes"
                )
            tail = (tail + piece[-formats.TAIL_SIZE :])[-formats.TAIL_SIZE :]
            is_data = bool(np.frombuffer(piece, np.uint8).any())
            if is_data:
                self._waiting[position] = piece
            yield position, len(piece), is_data
            position += len(piece)
            self.position = position
        self.size = position
        if not position:
            raise FormatError(f"{show_path(self.path)} unpacks to nothing; there is no disk in it")
        self._refuse(formats.identify(head, tail, self.size))

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with a piece that `extents` has yielded, whole and for the only time."""
        buffer[:] = self._waiting.pop(offset)

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the file is not as it was."""
        self._image.check_unchanged()

    def _refuse(self, matches: tuple[formats.Match, ...]) -> None:
        """Raise ContentError if what was unpacked is not RAW."""
        inner = formats.primary(matches)
        if inner == formats.RAW or not self._raw_only:
            return
        raise ContentError(not_raw(self.path, self._format, inner))


def not_raw(path: Path, format_: str, inner: str) -> str:
    """Return in a sentence what a compressed file holds that is not taken of it, and what helps."""
    outer, name = KNOWN[format_], show_path(path)
    named = KNOWN[inner].name if inner in KNOWN else f"an image of the format {inner}"
    named = "the image of a disc (ISO 9660)" if inner == formats.ISO else named
    what = f"{name} is {outer.name} with {named} in it"
    if inner == "tar":
        return f"{what}; tar -xf {shlex.quote(name)}, and name the disk image that was in it"
    if inner in STREAMS or (inner in KNOWN and inner != formats.OVA):
        return f"{what}; unpack it to see: {outer.advice.format(shlex.quote(name))}"
    return f"{what}; unpack it first: {outer.advice.format(shlex.quote(name))}"


def content_of(image: RawImage, format_: str) -> str:
    """Return the format of what is in a compressed file, by its start and by its name.

    A format that is known by its end is not seen here, unless the name says it (disk.vhd.gz).
    Raises FormatError if the start does not unpack.
    """
    head = b""
    for piece in _unpacked(image, format_):
        head += piece
        if len(head) >= formats.HEAD_SIZE:
            break
    found = formats.primary(formats.identify(head[: formats.HEAD_SIZE], b"", formats.MAX_SIZE))
    return found if found != formats.RAW else formats.named(image.path.with_suffix(""))


def _pieces(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
    """Yield the same bytes in pieces of one length; the last one may be short."""
    waiting, size = list[bytes](), 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= length:
            whole = b"".join(waiting)
            for start in range(0, size - length + 1, length):
                yield whole[start : start + length]
            rest = whole[size // length * length :]
            waiting, size = [rest], len(rest)
    if size:
        yield b"".join(waiting)


def _unpacked(image: RawImage, format_: str) -> Iterator[bytes]:
    """Yield what the file unpacks to; raises FormatError."""
    new = _DECODERS[format_]()
    step = _ZSTD_READ if format_ == "zstd" else _READ
    name, offset = show_path(image.path), 0
    decoder: _Bounded | _Gzip | _Zstd | None = None
    while offset < image.size:
        data = image.pread(offset, min(step, image.size - offset))
        offset += len(data)
        while data:
            if decoder is None:
                data = data.lstrip(b"\0") if format_ in ("gzip", "xz") else data  # padding
                if not data:
                    break
                decoder = new()
            try:
                yield from decoder.push(data)
            except _FAULTS as error:
                raise _damaged(name, format_, offset - len(data), error) from error
            data, decoder = (decoder.unused, None) if decoder.ended else (b"", decoder)
    if decoder is not None:
        raise FormatError(
            f"{name} is cut short: its {format_} stream goes on after byte {image.size}, where the"
            f" file ends; {_CHECKSUM}"
        )


def _damaged(name: str, format_: str, offset: int, error: Exception) -> FormatError:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return FormatError(
        f"{name} is damaged: its {format_} stream does not unpack near byte {offset}"
        f" ({show_path(text)}); {_CHECKSUM}"
    )


class _Bounded:
    """A decoder of Python's own: bz2, lzma, and lz4's, which have one interface."""

    def __init__(self, decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._decoder = decoder

    def push(self, data: bytes) -> Iterator[bytes]:
        """Yield what comes out of a part of the stream."""
        while True:
            out = self._decoder.decompress(data, _OUT) or b""
            data = b""
            if out:
                yield out
            if self._decoder.eof or (self._decoder.needs_input and len(out) != _OUT):
                return

    @property
    def ended(self) -> bool:
        """Whether the stream has ended."""
        return bool(self._decoder.eof)

    @property
    def unused(self) -> bytes:
        """What was pushed and lies behind the end of the stream."""
        return self._decoder.unused_data or b""


class _Gzip:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(31)  # with gzip's header and checksum

    def push(self, data: bytes) -> Iterator[bytes]:
        while data and not self._decoder.eof:
            out = self._decoder.decompress(data, _OUT)
            data = self._decoder.unconsumed_tail
            if out:
                yield out

    @property
    def ended(self) -> bool:
        return self._decoder.eof

    @property
    def unused(self) -> bytes:
        return self._decoder.unused_data


class _Zstd:
    def __init__(self) -> None:
        self._decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()

    def push(self, data: bytes) -> Iterator[bytes]:
        out = self._decoder.decompress(data)
        for start in range(0, len(out), _OUT):
            yield out[start : start + _OUT]

    @property
    def ended(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def unused(self) -> bytes:
        return self._decoder.unused_data


def _lz4() -> Callable[[], _Bounded]:
    try:
        from lz4.frame import LZ4FrameDecompressor
    except ImportError as error:
        raise MissingExtraError("unpacking lz4 needs the package lz4", extra="guest") from error
    return lambda: _Bounded(LZ4FrameDecompressor())


_DECODERS: dict[str, Callable[[], Callable[[], _Bounded | _Gzip | _Zstd]]] = {
    "gzip": lambda: _Gzip,
    "zstd": lambda: _Zstd,
    "bzip2": lambda: lambda: _Bounded(bz2.BZ2Decompressor()),
    "xz": lambda: lambda: _Bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)),
    "lz4": _lz4,
}
