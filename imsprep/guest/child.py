"""The child process of an inspection: set limits, inspect, print JSON. See `sandbox`.

Each line adds to those before: what is new of the Guest, and of its files the new ones; a line with
`table` starts again. A last line `{"error": reason}` says why there are no more. So a reader that
is killed has handed over what it had.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from imsprep.errors import ImsprepError
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.inspect import inspect
from imsprep.guest.model import Guest
from imsprep.guest.sandbox import ANSWER_LIMIT, CPU_ENOUGH_S, CPU_LIMIT_S
from imsprep.guest.tree import Budget
from imsprep.image.qemu.nbd_client import NbdClient, NbdError
from imsprep.image.qemu.nbd_file import DiskFile
from imsprep.units import KIB
from imsprep.zvhd2.reader import Zvhd2Reader
from imsprep.zvhd2.records import COOKIE_START

_BUFFER = 64 * KIB  # bytes read ahead of a disk that is served


def main() -> None:
    """Inspect the image named by the first argument within the memory of the second, in bytes.

    A third is the socket on which the disk in the image is served.
    """
    path, memory_limit, socket = sys.argv[1], int(sys.argv[2]), [*sys.argv, ""][3]
    _limit(memory_limit)
    budget, teller = Budget(), Teller()
    try:
        with _open(path, socket) as (file, size), ended_in_time(budget):
            guest = inspect(file, size, budget, teller.tell)
        teller.tell(guest)
    except (ImsprepError, OSError, NbdError) as error:
        _print({"error": str(error)})
    except MemoryError:
        _print({"error": f"the inspection needed more than {memory_limit} bytes of memory"})
    except RecursionError:
        _print({"error": "something in the image is nested too deep"})


class Teller:
    """Prints what has become known since the last line."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}

    def tell(self, guest: Guest) -> None:
        """Print what is new of the guest since the last time."""
        values = guest.as_dict()
        if not self._told.get("files", {}).keys() <= values["files"].keys():
            self._told = {}  # they were another system's
        files = _changed(self._told.get("files", {}), values["files"])
        _print({**_changed(self._told, values), "files": files})
        self._told = values


def _changed(old: dict[str, object], new: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in new.items() if key not in old or old[key] != value}


def _print(values: dict[str, object]) -> None:
    # On a line of its own: the one before may have been interrupted.
    sys.stdout.write(f"\n{json.dumps(values)}\n")
    sys.stdout.flush()


@contextmanager
def _open(path: str, socket: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open the disk in an image, and give its size without what ZVHD2 adds to a GiB."""
    if socket:
        with closing(NbdClient.connect(Path(socket))) as client:
            yield cast(BinaryIO, io.BufferedReader(DiskFile(client), _BUFFER)), client.size
        return
    with open(path, "rb") as file:
        cookie = file.read(len(COOKIE_START))
        if cookie != COOKIE_START:
            yield file, file.seek(0, os.SEEK_END)
            return
    with Zvhd2Reader.open(path) as reader:
        yield cast(BinaryIO, reader), reader.container.original_size


def _limit(memory: int) -> None:
    """Limit this process; where the system has no such limits the clock alone holds."""
    try:
        import resource
    except ImportError:
        return
    for kind, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, CPU_LIMIT_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, ANSWER_LIMIT),
    ):
        hard = resource.getrlimit(kind)[1]
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (soft, hard))
        except (OSError, ValueError):
            continue  # macOS refuses some of them


@contextmanager
def ended_in_time(budget: Budget) -> Iterator[None]:
    """Let nothing more be read after CPU_ENOUGH_S; Python code is interrupted where it stands.

    A loop inside a library of C goes on, to the limit of the process.
    """

    def enough(*_: object) -> None:
        budget.spend_all(f"reading took more than {CPU_ENOUGH_S} s of processor time")
        raise UnreadableError(budget.end)

    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGPROF, enough)
    signal.setitimer(signal.ITIMER_PROF, CPU_ENOUGH_S, 0.2)  # again for what is begun then
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    main()
