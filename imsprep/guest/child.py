"""The child process of an inspection: set limits, inspect, print JSON. See `sandbox`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager
from typing import BinaryIO

from imsprep.errors import ImsprepError, ReadError
from imsprep.guest.inspection import inspect
from imsprep.guest.sandbox import CPU_LIMIT_S

_ZVHD2_COOKIE = b"z2strm"


def main() -> None:
    """Inspect the image named by the first argument within the memory of the second, in bytes."""
    path, memory_limit = sys.argv[1], int(sys.argv[2])
    _limit(memory_limit)
    try:
        with _open(path) as file:
            size = file.seek(0, os.SEEK_END)
            answer = inspect(file, size).as_dict()
    except (ImsprepError, OSError) as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": f"the inspection needed more than {memory_limit} bytes of memory"}
    except RecursionError:
        answer = {"error": "something in the image is nested too deep"}
    json.dump(answer, sys.stdout)


def _open(path: str) -> AbstractContextManager[BinaryIO]:
    """Open a RAW image; of another format the file's bytes are not the disk's."""
    file = open(path, "rb")  # noqa: SIM115 - handed on to the caller's `with`
    if file.read(len(_ZVHD2_COOKIE)) == _ZVHD2_COOKIE:
        file.close()
        raise ReadError("ZVHD2 cannot be looked into yet; check the RAW image it was made from")
    return file


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
    ):
        hard = resource.getrlimit(kind)[1]
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (soft, hard))
        except (OSError, ValueError):
            continue  # macOS refuses some of them


if __name__ == "__main__":
    main()
