"""An import service that answers as a test asks, and a clock that never waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from imsprep.system.threads import serving


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        assert self.now < 1e5, "this waits for ever"


@contextmanager
def answering(
    *answers: tuple[int, Any],
    headers: dict[str, str] | None = None,
    agents: list[str] | None = None,
) -> Iterator[Any]:
    """A server that gives these answers in turn; yields (url, list of what was asked).

    The User-Agent of each request is added to `agents`.
    """
    asked: list[tuple[str, str, bytes]] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked.append((self.command, self.path, self.rfile.read(length)))
            if agents is not None:
                agents.append(self.headers.get("User-Agent", ""))
            status, body = left.pop(0) if len(left) > 1 else left[0]
            if status == 0:
                self.close_connection = True
                return
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - the name is the library's

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with serving(server, poll_s=0.02):
        yield f"http://127.0.0.1:{server.server_port}", asked
