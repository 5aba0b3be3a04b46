"""The emulator on a port of this machine: always 127.0.0.1, a thread per connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from werkzeug.serving import WSGIRequestHandler, make_server

from imsprep.emulator.app import EmulatorApp, Settings
from imsprep.errors import UsageError
from imsprep.system import threads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HOST = "127.0.0.1"  # never another: the emulator is for this machine
_POLL_S = 0.02  # how often it is asked whether to end; every import to `local:` waits for that


class _Handler(WSGIRequestHandler):
    """A connection: quiet, able to hang up, and telling the path as it came over the wire."""

    def log(self, type: str, message: str, *args: object) -> None:
        """Log nothing: the library does not print."""

    def make_environ(self) -> WSGIEnvironment:
        """Add what the application needs beyond WSGI."""
        environ = super().make_environ()
        environ["RAW_PATH"] = urlsplit(self.path).path
        environ["imsprep.drop"] = self._drop
        return environ

    def _drop(self) -> None:
        """End the connection without an answer."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def connection_dropped(self, error: BaseException, environ: object = None) -> None:
        """Take no notice: the other side went away."""


@contextmanager
def serving(settings: Settings, port: int = 0) -> Iterator[tuple[EmulatorApp, str]]:
    """Serve an emulator while the block runs; gives it and its URL. Port 0 is any free one.

    Raises UsageError if the port is taken.
    """
    try:
        # Bound here, because werkzeug would print and exit where the port is taken.
        listener = socket.create_server((HOST, port))
    except OSError as error:
        text = f"cannot listen on {HOST}:{port}: {error.strerror}; choose another port"
        raise UsageError(text, remedies=("port",)) from error
    with listener:  # werkzeug works on a copy of its file descriptor
        emulator = EmulatorApp(settings)
        server = make_server(
            HOST, port, emulator, threaded=True, request_handler=_Handler, fd=listener.fileno()
        )
    try:
        with threads.serving(server, poll_s=_POLL_S):
            yield emulator, f"http://{HOST}:{server.port}"
    finally:
        emulator.close()
