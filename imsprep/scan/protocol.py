"""Tasks and answers: what a scan and its readers say to each other, through pipes.

task    COUNT, then as many RANGEs: start and stop, bytes
answer  COUNT, then as many BLOCKs: the numbers of those that hold data
"""

from __future__ import annotations

import struct
from collections.abc import Callable

_COUNT = struct.Struct("=q")
_RANGE = struct.Struct("=qq")
_BLOCK = struct.Struct("=q")

Read = Callable[[int], bytes]  # returns this many bytes, fewer only if the other side is gone


def task(ranges: list[tuple[int, int]]) -> bytes:
    """Return the message that asks which blocks in these ranges hold data."""
    return _COUNT.pack(len(ranges)) + b"".join(_RANGE.pack(*one) for one in ranges)


def read_task(read: Read) -> list[tuple[int, int]] | None:
    """Return the ranges of the next task; None if there is none any more."""
    body = _read(read, _RANGE.size)
    return None if body is None else list(_RANGE.iter_unpack(body))


def answer(blocks: list[int]) -> bytes:
    """Return the message that names the blocks with data."""
    return _COUNT.pack(len(blocks)) + struct.pack(f"={len(blocks)}q", *blocks)


def read_answer(read: Read) -> list[int] | None:
    """Return the blocks of the next answer; None if the reader is gone."""
    body = _read(read, _BLOCK.size)
    return None if body is None else [number for (number,) in _BLOCK.iter_unpack(body)]


def _read(read: Read, item: int) -> bytes | None:
    """Return the body of a message, whose items have this size; None if it is not whole."""
    head = read(_COUNT.size)
    if len(head) < _COUNT.size:
        return None
    length = _COUNT.unpack(head)[0] * item
    body = read(length)
    return body if len(body) == length else None
