"""The child process of an inspection: set limits, inspect, print JSON. See `sandbox`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from imsprep.container import Zvhd2Reader
from imsprep.errors import ImsprepError
from imsprep.guest.inspection import inspect
from imsprep.guest.sandbox import ANSWER_LIMIT, CPU_LIMIT_S
from imsprep.zvhd2 import COOKIE_START


def main() -> None:
    """Inspect the image named by the first argument within the memory of the second, in bytes."""
    path, memory_limit = sys.argv[1], int(sys.argv[2])
    _limit(memory_limit)
    try:
        with _open(path) as (file, size):
            answer = inspect(file, size).as_dict()
    except (ImsprepError, OSError) as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": f"the inspection needed more than {memory_limit} bytes of memory"}
    except RecursionError:
        answer = {"error": "something in the image is nested too deep"}
    json.dump(answer, sys.stdout)


@contextmanager
def _open(path: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open the disk in a RAW or ZVHD2 image, and tell its size without what ZVHD2 adds to a GiB."""
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


if __name__ == "__main__":
    main()
