"""A client for the Network Block Device protocol, as far as reading a disk of qemu-nbd needs it.

Fixed newstyle negotiation, structured replies and the metadata context base:allocation, which tells
zeros without reading them. Source: doc/proto.md of the NBD project. Numbers are big-endian.
A connection serves one thread.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAX_READ = 8 << 20  # bytes asked for at once; every server grants 32 MiB
_MAX_STATUS = 1 << 31  # bytes asked about at once, below the 32 bits of a length
PATIENCE_S = 120.0  # for a part of an answer; a disk that needs longer is broken
_MAX_REPLY = 1 << 16  # bytes of a reply that is not data; more is nonsense

_GREETING, _OPTION_MAGIC = b"NBDMAGIC", b"IHAVEOPT"
_REPLY_MAGIC = 0x3E889045565A9
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_GO, _STRUCTURED_REPLY, _SET_META_CONTEXT = 7, 8, 10  # options
_ACK, _INFO, _META_CONTEXT = 1, 3, 4  # replies to options; errors have the highest bit
_INFO_EXPORT = 0
_REQUEST_MAGIC, _CHUNK_MAGIC = 0x25609513, 0x668E33EF
_READ, _DISCONNECT, _BLOCK_STATUS = 0, 2, 7  # commands
_NONE, _OFFSET_DATA, _OFFSET_HOLE, _STATUS = 0, 1, 2, 5  # chunks; errors have the highest bit
_DONE = 1  # the flag of a reply's last chunk
_ZERO = 2  # the flag of an extent that reads as zeros
_CONTEXT = b"base:allocation"

_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_CHUNK = struct.Struct(">IHHQI")


class NbdError(Exception):
    """The server refused, went away, or said something that the protocol does not know.

    `silent` means that it gave no answer in time.
    """

    silent = False


class _Chunk(NamedTuple):
    kind: int
    length: int
    last: bool


class NbdClient:
    """One connection to the default export of a server on a Unix socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._handle = 0
        self.size = 0  # bytes of the disk
        self._context = -1
        self._negotiate()

    @classmethod
    def connect(cls, path: Path) -> NbdClient:
        """Connect and negotiate; OSError if nothing listens there, NbdError."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE_S)
        try:
            connection.connect(str(path))
            return cls(connection)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Disconnect and close."""
        with contextlib.suppress(NbdError):
            self._request(_DISCONNECT, 0, 0)
        self._socket.close()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer with what lies at `offset`."""
        while buffer:
            piece = buffer[:MAX_READ]
            self._request(_READ, offset, len(piece))
            got = 0
            for chunk in self._chunks():
                start = struct.unpack(">Q", self._receive(8))[0] - offset
                length = chunk.length - 8
                if chunk.kind == _OFFSET_HOLE:
                    (length,) = struct.unpack(">I", self._receive(4))
                elif chunk.kind != _OFFSET_DATA:
                    raise NbdError(f"a chunk of type {chunk.kind} instead of data")
                if start < 0 or start + length > len(piece):
                    raise NbdError("data that was not asked for")
                part = piece[start : start + length]
                if chunk.kind == _OFFSET_HOLE:
                    part[:] = bytes(length)
                else:
                    self._receive_into(part)
                got += length
            if got != len(piece):
                raise NbdError(f"{got} bytes instead of {len(piece)}")
            buffer, offset = buffer[len(piece) :], offset + len(piece)

    def extents(self) -> Iterator[tuple[int, int, bool]]:
        """Yield offset, length and whether it is data; the rest reads as zeros."""
        offset = 0
        while offset < self.size:
            start = offset
            self._request(_BLOCK_STATUS, offset, min(_MAX_STATUS, self.size - offset))
            found = list[tuple[int, int]]()
            for chunk in self._chunks():
                if chunk.kind != _STATUS or chunk.length > _MAX_REPLY * 16:
                    raise NbdError(f"a chunk of type {chunk.kind} instead of extents")
                words = struct.unpack(f">{chunk.length // 4}I", self._receive(chunk.length))
                if words[0] == self._context:
                    found += zip(words[1::2], words[2::2], strict=True)
            for length, flags in found:
                length = min(length, self.size - offset)
                if length:
                    yield offset, length, not flags & _ZERO
                offset += length
            if offset == start:
                raise NbdError("no extents for a part of the disk")

    def _negotiate(self) -> None:
        greeting, magic, flags = struct.unpack(">8s8sH", self._receive(18))
        if (greeting, magic) != (_GREETING, _OPTION_MAGIC) or not flags & _FIXED_NEWSTYLE:
            raise NbdError("no server of the newstyle protocol")
        self._send(struct.pack(">I", flags & (_FIXED_NEWSTYLE | _NO_ZEROES)))
        self._option(_STRUCTURED_REPLY, b"")
        query = struct.pack(">III", 0, 1, len(_CONTEXT)) + _CONTEXT
        for kind, data in self._option(_SET_META_CONTEXT, query):
            if kind == _META_CONTEXT and data[4:] == _CONTEXT:
                (self._context,) = struct.unpack(">I", data[:4])
        if self._context < 0:
            raise NbdError("the server does not report zeros (base:allocation)")
        for kind, data in self._option(_GO, struct.pack(">IH", 0, 0)):
            if kind == _INFO and data[:2] == struct.pack(">H", _INFO_EXPORT):
                (self.size,) = struct.unpack(">Q", data[2:10])

    def _option(self, option: int, data: bytes) -> list[tuple[int, bytes]]:
        """Send an option; return the replies before its acknowledgement."""
        self._send(_OPTION.pack(_OPTION_MAGIC, option, len(data)) + data)
        replies = list[tuple[int, bytes]]()
        while True:
            magic, _, kind, length = _OPTION_REPLY.unpack(self._receive(_OPTION_REPLY.size))
            if magic != _REPLY_MAGIC or length > _MAX_REPLY:
                raise NbdError("no reply that the protocol knows")
            payload = self._receive(length)
            if kind == _ACK:
                return replies
            if kind >> 31:
                text = payload.decode(errors="replace")
                raise NbdError(f"option {option} was refused: {text or hex(kind)}")
            replies.append((kind, payload))

    def _request(self, command: int, offset: int, length: int) -> None:
        self._handle += 1
        self._send(_REQUEST.pack(_REQUEST_MAGIC, 0, command, self._handle, offset, length))

    def _chunks(self) -> Iterator[_Chunk]:
        """Yield the chunks of a reply; the caller of each receives its `length` bytes."""
        last = False
        while not last:
            magic, flags, kind, handle, length = _CHUNK.unpack(self._receive(_CHUNK.size))
            if magic != _CHUNK_MAGIC or handle != self._handle:
                raise NbdError("no reply to what was asked")
            last = bool(flags & _DONE)
            if kind >> 15:
                payload = self._receive(min(length, _MAX_REPLY))
                text = payload[6:].decode(errors="replace").strip("\0")
                raise NbdError(text or f"error {int.from_bytes(payload[:4], 'big')}")
            if kind != _NONE:
                yield _Chunk(kind, length, last)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise _gone(error) from error

    def _receive(self, length: int) -> bytes:
        buffer = bytearray(length)
        self._receive_into(memoryview(buffer))
        return bytes(buffer)

    def _receive_into(self, buffer: memoryview) -> None:
        while buffer:
            try:
                got = self._socket.recv_into(buffer)
            except OSError as error:
                raise _gone(error) from error
            if not got:
                raise NbdError("the connection was closed")
            buffer = buffer[got:]


def _gone(error: OSError) -> NbdError:
    if not isinstance(error, TimeoutError):
        return NbdError(f"the connection was closed: {error}")
    silence = NbdError(f"gave no answer for {PATIENCE_S:g} s")
    silence.silent = True
    return silence
