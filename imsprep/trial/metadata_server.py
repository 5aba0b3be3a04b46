"""One request to the metadata service, on stdin and stdout; QEMU starts this for a connection.

    python -m imsprep.trial.metadata_server LOG

The path of the request becomes a line of the file LOG.
"""

from __future__ import annotations

import os
import sys

from imsprep.trial.metadata import answer, path_of
from imsprep.units import KIB

_LIMIT = 64 * KIB  # bytes of a request's head
_IN, _OUT = 0, 1


def main() -> None:
    """Answer one request, then end."""
    request = b""
    while b"\r\n\r\n" not in request and len(request) < _LIMIT:
        piece = os.read(_IN, _LIMIT)
        if not piece:
            break
        request += piece
    path = path_of(request)
    with open(sys.argv[1], "a", encoding="utf-8") as log:
        log.write(f"{path if path is not None else '?'}\n")
    reply = answer(request)
    while reply:
        reply = reply[os.write(_OUT, reply) :]


if __name__ == "__main__":
    main()
