"""The door to an inspection: a child process that may die without taking the check with it.

An image is not trusted. Its file systems are read by C libraries and by much Python, so this is
done in a child with a limit on memory, processor time and the clock, which may write no file. What
it found comes back as JSON, never as anything that could run, and step by step: what was found
before the child died is kept, and the rest is a gap with the reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import imsprep
from imsprep.errors import show_path
from imsprep.guest.model import NOT_YET, Guest
from imsprep.system.positioned import read_at
from imsprep.units import GIB, MIB

MEMORY_LIMIT = 1 * GIB  # address space of the child, bytes; a large server takes some 200 MiB
# Processor time of the child: after the first it hands back what it has, after the second a reader
# must be stuck, and it is killed. A server with three kernels takes some 3.
CPU_ENOUGH_S, CPU_LIMIT_S = 10, 20
TIME_LIMIT_S = 300.0  # on the clock; a slow disk may take its time
ANSWER_LIMIT = 64 * MIB  # of JSON


def inspect_image(
    path: str | os.PathLike[str],
    *,
    socket: Path | None = None,
    memory_limit: int = MEMORY_LIMIT,
    time_limit_s: float = TIME_LIMIT_S,
) -> Guest:
    """Look inside a RAW or ZVHD2 image; whatever goes wrong is a reason in `Guest.unread`.

    The disk of another format is served on a `socket`, with a connection to spare; see `qemu`.
    """
    command = [sys.executable, "-P", "-m", "imsprep.guest.child", os.fspath(path)]
    command += [str(memory_limit), *([os.fspath(socket)] if socket is not None else [])]
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",  # each thread of numpy's would reserve memory
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(Path(imsprep.__file__).parents[1]), os.environ.get("PYTHONPATH")])
        ),
    }
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as complaint:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=answer, stderr=complaint, env=environment
        )
        try:
            code = child.wait(time_limit_s)
            reason = _reason(code, complaint.fileno()) if code else None
        except subprocess.TimeoutExpired:
            reason = f"the inspection was stopped after {time_limit_s:g} seconds"
        finally:
            with contextlib.suppress(OSError):
                child.kill()
            child.wait()
        answer.seek(0)
        return guest_of(answer.read(ANSWER_LIMIT + 1), path, reason)


def guest_of(answer: bytes, path: str | os.PathLike[str], reason: str | None) -> Guest:
    """Put together what the child handed over; `reason` says why it could not go on."""
    if len(answer) > ANSWER_LIMIT:
        return Guest(unread=(f"the inspection of {show_path(path)} returned more than is allowed",))
    try:
        values = _put_together(answer)
        reason = values.pop("error", reason)
        guest = Guest.from_dict(values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Guest(unread=(reason or "the inspection returned an answer that cannot be read",))
    if reason is None:
        return guest
    gaps = {path: reason if why == NOT_YET else why for path, why in guest.gaps.items()}
    return dataclasses.replace(guest, gaps=gaps, unread=(*guest.unread, reason))


def _put_together(answer: bytes) -> dict[str, Any]:
    """Add up the child's lines; one that was cut short does not count."""
    values: dict[str, Any] = {}
    for line in answer.splitlines():
        with contextlib.suppress(ValueError):
            new = json.loads(line)
            old = {} if "table" in new else values
            files = {**old.get("files", {}), **new.get("files", {})}
            values = {**old, **new, "files": files}
    return values


def _reason(code: int, complaint: int) -> str:
    """Return how the child ended: a signal is a crash or a limit, the rest is its last line."""
    if code < 0:
        name = signal.Signals(-code).name if -code in list(signal.Signals) else str(-code)
        limit = {"SIGXCPU": f": {CPU_LIMIT_S} s of processor time", "SIGKILL": ""}
        return f"the inspection was ended by {name}{limit.get(name, ': a reader crashed')}"
    size = os.fstat(complaint).st_size
    last = read_at(complaint, 2000, max(size - 2000, 0)).decode("utf-8", "replace").strip()
    return f"the inspection failed: {last.splitlines()[-1] if last else f'exit code {code}'}"
