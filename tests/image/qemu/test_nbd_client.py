"""The client of NBD: what it says and understands, byte for byte, and what it refuses.

The answers of a server are written before the client asks; numbers are those of doc/proto.md.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imsprep.image.qemu import nbd_client
from imsprep.image.qemu.nbd_client import NbdClient, NbdError

SIZE = 1000
GREETING = b"NBDMAGIC" + b"IHAVEOPT" + struct.pack(">H", 3)  # fixed newstyle, no zeroes
GO, STRUCTURED, SET_META = 7, 8, 10  # options
ACK, INFO, META = 1, 3, 4  # their replies
CONTEXT = 9  # by which the server calls base:allocation
DATA, HOLE, STATUS, NONE = 1, 2, 5, 0  # chunks
LAST = 1


def reply(option: int, kind: int, data: bytes = b"") -> bytes:
    """A reply to an option."""
    return struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data)) + data


def chunk(number: int, kind: int, data: bytes = b"", flags: int = LAST) -> bytes:
    """A chunk of the answer to a request, which are numbered from 1."""
    return struct.pack(">IHHQI", 0x668E33EF, flags, kind, number, len(data)) + data


def data(offset: int, content: bytes, number: int = 1, flags: int = LAST) -> bytes:
    return chunk(number, DATA, struct.pack(">Q", offset) + content, flags)


def status(*extents: tuple[int, int], number: int = 1) -> bytes:
    """An answer with lengths and flags of extents."""
    words = [CONTEXT, *(word for extent in extents for word in extent)]
    return chunk(number, STATUS, struct.pack(f">{len(words)}I", *words))


AGREED = (
    GREETING,
    reply(STRUCTURED, ACK),
    reply(SET_META, META, struct.pack(">I", CONTEXT) + b"base:allocation"),
    reply(SET_META, ACK),
    reply(GO, INFO, struct.pack(">HQH", 0, SIZE, 1)),
    reply(GO, INFO, struct.pack(">HIII", 3, 1, 4096, 1 << 25)),  # sizes of blocks: not needed
    reply(GO, ACK),
)


@contextmanager
def connected(*answers: bytes) -> Iterator[tuple[NbdClient, socket.socket]]:
    """A client that agreed with a server, and the server's end, with its answers to come."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(b"".join((*AGREED, *answers)))
        client = NbdClient(ours)
        theirs.recv(1 << 16)  # what was said to agree
        yield client, theirs


def refusal(*answers: bytes) -> str:
    """Why a server that answers so is no good, or goes away."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(answers))
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(NbdError) as told:
            NbdClient(ours)
    return str(told.value)


def read(client: NbdClient, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    client.read_into(offset, memoryview(buffer))
    return bytes(buffer)


def request(number: int, command: int, offset: int, length: int) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, 0, command, number, offset, length)


def test_it_agrees_on_structured_replies_and_base_allocation() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(AGREED))
        assert NbdClient(ours).size == SIZE
        query = struct.pack(">III", 0, 1, 15) + b"base:allocation"
        assert theirs.recv(1 << 16) == (
            struct.pack(">I", 3)
            + b"IHAVEOPT" + struct.pack(">II", STRUCTURED, 0)
            + b"IHAVEOPT" + struct.pack(">II", SET_META, len(query)) + query
            + b"IHAVEOPT" + struct.pack(">II", GO, 6) + struct.pack(">IH", 0, 0)
        )  # fmt: skip


@pytest.mark.parametrize(("answers", "said"), [
    ([b"NBDMAGIC" + struct.pack(">QH", 0x420281861253, 0)], "no server of the newstyle protocol"),
    ([GREETING[:-2] + b"\0\2"], "no server of the newstyle protocol"),
    ([GREETING, reply(STRUCTURED, 1 << 31 | 1)], "option 8 was refused: 0x80000001"),
    ([GREETING, reply(STRUCTURED, 1 << 31 | 1, b"not here")], "option 8 was refused: not here"),
    ([*AGREED[:2], reply(SET_META, ACK)], "does not report zeros"),
    ([GREETING, bytes(20)], "no reply that the protocol knows"),
    ([GREETING, struct.pack(">QIII", 0x3E889045565A9, 8, 1, 1 << 20)], "no reply that the protocol"),
    ([GREETING[:9]], "the connection was closed"),
])  # fmt: skip
def test_a_server_that_does_not_agree_is_refused(answers: list[bytes], said: str) -> None:
    assert said in refusal(*answers)


def test_a_read_is_put_together_from_data_and_holes_in_any_order() -> None:
    hole = chunk(1, HOLE, struct.pack(">QI", 104, 3), flags=0)
    with connected(data(107, b"end", flags=0), hole, data(100, b"head")) as (client, server):
        assert read(client, 100, 10) == b"head\0\0\0end"
        assert server.recv(100) == request(1, 0, 100, 10)


def test_a_chunk_without_data_may_end_a_read() -> None:
    with connected(data(0, b"head", flags=0), chunk(1, NONE)) as (client, _):
        assert read(client, 0, 4) == b"head"


def test_more_than_is_asked_for_at_once_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nbd_client, "MAX_READ", 4)
    with connected(data(8, b"0123", 1), data(12, b"4567", 2), data(16, b"8", 3)) as (
        client,
        server,
    ):
        assert read(client, 8, 9) == b"012345678"
        asked = request(1, 0, 8, 4) + request(2, 0, 12, 4) + request(3, 0, 16, 1)
        assert server.recv(200) == asked


@pytest.mark.parametrize(("answer", "said"), [
    (data(99, b"head"), "data that was not asked for"),
    (data(102, b"head"), "data that was not asked for"),
    (data(100, b"he"), "2 bytes instead of 4"),
    (status((4, 0)), "a chunk of type 5 instead of data"),
    (chunk(2, NONE), "no reply to what was asked"),
    (bytes(20), "no reply to what was asked"),
    (chunk(1, 1 << 15 | 1, struct.pack(">IH", 5, 9) + b"bad disk\0"), "bad disk"),
    (chunk(1, 1 << 15 | 1, struct.pack(">IH", 28, 0)), "error 28"),
])  # fmt: skip
def test_a_read_that_is_not_answered_as_asked_is_an_error(answer: bytes, said: str) -> None:
    with connected(answer + bytes(8)) as (client, _), pytest.raises(NbdError) as told:
        read(client, 100, 4)
    assert str(told.value) == said


def test_extents_are_data_or_read_as_zeros_to_the_end_of_the_disk() -> None:
    first = status((100, 0), (200, 3), (0, 0), (300, 1))  # the flags: 1 is a hole, 2 reads as zeros
    with connected(first, status((5000, 2), number=2)) as (client, server):
        assert list(client.extents()) == [
            (0, 100, True), (100, 200, False), (300, 300, True), (600, 400, False),
        ]  # fmt: skip
        assert server.recv(200) == request(1, 7, 0, SIZE) + request(2, 7, 600, 400)


def test_extents_of_another_context_do_not_count() -> None:
    other = chunk(1, STATUS, struct.pack(">3I", CONTEXT + 1, SIZE, 2), flags=0)
    with connected(other, status((SIZE, 0))) as (client, _):
        assert list(client.extents()) == [(0, SIZE, True)]


@pytest.mark.parametrize(("answer", "said"), [
    (status(), "no extents for a part of the disk"),
    (data(0, b"data"), "a chunk of type 1 instead of extents"),
])  # fmt: skip
def test_extents_that_are_not_told_are_an_error(answer: bytes, said: str) -> None:
    with connected(answer) as (client, _), pytest.raises(NbdError, match=said):
        list(client.extents())


def test_a_server_that_went_away_is_told_from_one_that_is_silent() -> None:
    with connected() as (client, server):
        server.close()
        with pytest.raises(NbdError, match="the connection was closed") as told:
            read(client, 0, 1)
        assert not told.value.silent
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.01)
        with pytest.raises(NbdError, match="gave no answer") as told:
            NbdClient(ours)
        assert told.value.silent


def test_it_disconnects_when_it_is_closed_also_where_nobody_hears_it() -> None:
    with connected() as (client, server):
        client.close()
        assert server.recv(100) == request(1, 2, 0, 0)
        assert server.recv(100) == b""
    with connected() as (client, server):
        server.close()
        client.close()


def test_where_nothing_listens_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        NbdClient.connect(tmp_path / "socket")
