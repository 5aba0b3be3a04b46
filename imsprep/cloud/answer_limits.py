"""Limits of an HTTP answer: when its last byte has to be there, and how many bytes it may have.

The timeouts of `requests` and botocore hold for each read of a socket: a server that sends a byte
now and then, of a header or of a body, is waited for without end. Both stand on urllib3, whose
connection pools are extended here; what they read of an answer is read against one limit. Looking
up a name, connecting and sending have timeouts of their own.
"""

from __future__ import annotations

import contextlib
import io
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from _typeshed import WriteableBuffer
    from urllib3 import HTTPConnectionPool


class AnswerError(OSError):
    """An answer was not whole within its limit of time, or is longer than its limit."""


@dataclass(frozen=True)
class AnswerLimits:
    """What holds for each answer of a connection.

    `end` is called when a request has been sent, and returns when its answer has to be there, on
    `time.monotonic`. `most` is in bytes as they travel; an answer to a request for a range of an
    object is as long as the range.
    """

    end: Callable[[], float]
    most: int | None = None


def limited(
    pools: Mapping[str, type[HTTPConnectionPool]], limits: AnswerLimits
) -> dict[str, type[HTTPConnectionPool]]:
    """Return pool classes like these, by scheme, whose connections keep to the limits.

    For `pool_classes_by_scheme` of a `urllib3.PoolManager`. Errors are AnswerError, in what urllib3
    and its users make of an OSError.
    """
    return {scheme: _limited_pool(pool, limits) for scheme, pool in pools.items()}


def why_broken(error: BaseException) -> AnswerError | None:
    """Return the AnswerError that an error of another library came from, if it did."""
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        if isinstance(inner, AnswerError):
            return inner
        seen.add(id(inner))
        inner = inner.__cause__ or inner.__context__
    return None


def _limited_pool(pool: type[HTTPConnectionPool], limits: AnswerLimits) -> type[HTTPConnectionPool]:
    own = {"answer_limits": limits}
    connection = type(pool.ConnectionCls.__name__, (_Limited, pool.ConnectionCls), own)
    made = type(pool.__name__, (pool,), {"ConnectionCls": connection})
    return cast("type[HTTPConnectionPool]", made)


class _Limited:
    """What a connection class of urllib3 is extended by."""

    answer_limits: AnswerLimits
    response_class: Callable[..., HTTPResponse]
    _most: int | None = None

    def request(
        self,
        method: str,
        url: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        """Send a request; see urllib3."""
        ranged = any(str(name).lower() == "range" for name in headers or ())
        self._most = None if ranged else self.answer_limits.most
        super().request(method, url, body, headers, **more)  # type: ignore[misc]  # a mixin

    def getresponse(self) -> object:
        """Read the answer's headers; see urllib3."""
        made, end, most = self.response_class, self.answer_limits.end(), self._most

        def response(sock: socket.socket, *args: object, **more: object) -> HTTPResponse:
            answer = made(sock, *args, **more)
            inner = cast(socket.SocketIO, answer.fp.detach())
            answer.fp = io.BufferedReader(_Reader(inner, sock, end, most))
            return answer

        self.response_class = response
        try:
            return super().getresponse()  # type: ignore[misc]  # a mixin
        finally:
            self.response_class = made


class _Reader(io.RawIOBase):
    """The bytes of one answer, up to its limits."""

    def __init__(
        self, inner: socket.SocketIO, sock: socket.socket, end: float, most: int | None
    ) -> None:
        self._inner, self._sock, self._end, self._most = inner, sock, end, most
        self._begun, self._count = time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._inner.fileno()

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left, usual = self._end - time.monotonic(), self._sock.gettimeout()
        if left <= 0:
            raise self._too_slow()
        self._sock.settimeout(left if usual is None else min(left, usual))
        try:
            count: int | None = self._inner.readinto(buffer)
        except TimeoutError:
            if time.monotonic() >= self._end:
                raise self._too_slow() from None
            raise
        finally:
            with contextlib.suppress(OSError):  # it may be closed by now
                self._sock.settimeout(usual)
        self._count += count or 0
        if self._most is not None and self._count > self._most:
            raise AnswerError(f"the answer has more than {self._most >> 20} MiB")
        return count

    def close(self) -> None:
        self._inner.close()
        super().close()

    def _too_slow(self) -> AnswerError:
        return AnswerError(f"the answer takes more than {self._end - self._begun:.0f} s")
