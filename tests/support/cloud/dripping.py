"""A server on this machine whose answers come drop by drop, and never to their end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HEADER = b"HTTP/1.1 200 OK\r\nX-Drip: "
BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def dripping(begins: bytes, drop: bytes = b" ") -> Iterator[str]:
    """Yield the URL of a server that answers with `begins`, and then with a drop every 20 ms."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            connection.recv(1 << 20)
            connection.sendall(begins)
            while not over.wait(0.02):
                connection.sendall(drop)

    def serve(server: socket.socket) -> None:
        server.settimeout(0.05)
        while not over.is_set():
            with suppress(TimeoutError):
                threads.append(threading.Thread(target=drip, args=(server.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve, args=(server,))
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            for thread in (serving, *threads):
                thread.join()
