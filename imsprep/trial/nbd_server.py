"""A disk served to QEMU: the Network Block Device protocol, read-only, on a Unix socket.

What is neither RAW nor read by QEMU as it is asked to (a ZVHD2, and whatever `image` and `zvhd2`
open) reaches the machine so. Source: doc/proto.md of the NBD project: fixed newstyle negotiation,
simple replies. `image.qemu.nbd_client` is the other side.
"""

from __future__ import annotations

import contextlib
import socketserver
import struct
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from imsprep.errors import ImsprepError
from imsprep.image.disk import Disk
from imsprep.system.threads import serving
from imsprep.units import MIB, SECTOR

_GREETING, _OPTION_MAGIC = b"NBDMAGIC", b"IHAVEOPT"
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7  # options
_REPLY_MAGIC = 0x3E889045565A9
_ACK, _REPLY_INFO, _UNSUPPORTED = 1, 3, 0x80000001  # replies to options
_HAS_FLAGS, _READ_ONLY = 1, 2
_REQUEST_MAGIC, _ANSWER_MAGIC = 0x25609513, 0x67446698
_READ, _WRITE, _DISCONNECT = 0, 1, 2
_EIO, _EINVAL = 5, 22
_POLL_S = 0.05  # how often it is asked whether to end
_MAX_READ, _MAX_OPTION = 32 * MIB, 64 * 1024  # bytes of a request

_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_ANSWER = struct.Struct(">IIQ")


@contextlib.contextmanager
def exported(disk: Disk, folder: Path) -> Iterator[str]:
    """Serve a disk on a socket in `folder`; yields the address for `plan.Places`."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, EOFError):
                _Session(disk, self.rfile, self.wfile).serve()

    path = folder / "disk"
    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    server.daemon_threads = True
    with serving(server, poll_s=_POLL_S):
        yield f"nbd:unix:{path}"


class _Session:
    """One connection."""

    def __init__(self, disk: Disk, source: BufferedIOBase, sink: BufferedIOBase) -> None:
        self._disk, self._source, self._sink = disk, source, sink
        self._size = -(-disk.size // SECTOR) * SECTOR

    def serve(self) -> None:
        """Negotiate, then answer until the client leaves."""
        if self._negotiate():
            while self._answer():
                self._sink.flush()

    def _receive(self, count: int) -> bytes:
        data = self._source.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def _negotiate(self) -> bool:
        """Return whether the client goes on to read."""
        self._sink.write(
            _GREETING + _OPTION_MAGIC + struct.pack(">H", _FIXED_NEWSTYLE | _NO_ZEROES)
        )
        self._sink.flush()
        (flags,) = struct.unpack(">I", self._receive(4))
        while True:
            magic, option, length = _OPTION.unpack(self._receive(_OPTION.size))
            if magic != _OPTION_MAGIC or length > _MAX_OPTION:
                return False
            self._receive(length)
            reply = struct.pack(">QH", self._size, _HAS_FLAGS | _READ_ONLY)
            if option == _EXPORT_NAME:
                self._sink.write(reply + (b"" if flags & _NO_ZEROES else bytes(124)))
            elif option in (_INFO, _GO):
                self._reply(option, _REPLY_INFO, struct.pack(">H", 0) + reply)
                self._reply(option, _ACK)
            else:
                self._reply(option, _ACK if option == _ABORT else _UNSUPPORTED)
            self._sink.flush()
            if option in (_EXPORT_NAME, _GO, _ABORT):
                return bool(option != _ABORT)

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        self._sink.write(_OPTION_REPLY.pack(_REPLY_MAGIC, option, kind, len(data)) + data)

    def _answer(self) -> bool:
        """Answer one request; return whether there may be more."""
        magic, _, kind, cookie, offset, length = _REQUEST.unpack(self._receive(_REQUEST.size))
        if magic != _REQUEST_MAGIC or kind == _DISCONNECT:
            return False
        if kind != _READ or length > _MAX_READ or offset + length > self._size:
            self._sink.write(_ANSWER.pack(_ANSWER_MAGIC, _EINVAL, cookie))
            return bool(kind != _WRITE)  # what was to be written follows, and is not wanted
        buffer = bytearray(length)
        there = max(0, min(length, self._disk.size - offset))
        try:
            self._disk.pread_into(offset, memoryview(buffer)[:there])
        except (ImsprepError, OSError):
            self._sink.write(_ANSWER.pack(_ANSWER_MAGIC, _EIO, cookie))
        else:
            self._sink.write(_ANSWER.pack(_ANSWER_MAGIC, 0, cookie) + buffer)
        return True
