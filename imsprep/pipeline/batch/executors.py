"""Where the entries of a batch are worked on: threads of this process, or a Dask cluster.

Threads, because an entry's time goes into the network, the disk, hashing and processes of its own,
all of which let other threads run, and because one connection and one way to stop are shared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from imsprep.errors import MissingExtraError, UsageError
from imsprep.progress import IMPORT, Event, silent

_CONNECT_S = 10.0
# After an interruption: so long may entries take to end by themselves; what is cut off then is no
# loss, because the next run goes on from there as well.
_GRACE_S = 3.0
_TOPIC, _REPORT_S = "imsprep", 0.5


@contextlib.contextmanager
def threads(jobs: int, stop: threading.Event) -> Iterator[Executor]:
    """Give threads of this process; if the block is interrupted, `stop` is set for all of them."""
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="image")
    try:
        yield pool
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for thread in [t for t in threading.enumerate() if t.name.startswith("image")]:
            thread.join(_GRACE_S / jobs)
        raise
    pool.shutdown()


def reporter(shown: str) -> Callable[[Event], None]:
    """Return a function that passes events of an image on from a worker of a cluster.

    Bytes are gathered for half a second, so that a scan does not flood the scheduler; outside a
    worker nothing is passed on.
    """
    try:
        worker: Any = importlib.import_module("distributed").get_worker()
    except (ImportError, ValueError):
        return silent
    waiting: list[Event] = []
    lock, last = threading.Lock(), [0.0]

    def report(event: Event) -> None:
        with lock:
            waiting.append(event)
            if time.monotonic() < last[0] + _REPORT_S and event.step != IMPORT:
                return
            last[0] = time.monotonic()
            events = [dataclasses.asdict(one) for one in waiting]
            waiting.clear()
        worker.log_event(_TOPIC, {"image": shown, "events": events})

    return report


@contextlib.contextmanager
def cluster(
    address: str, moved: Callable[[str, Event], object] = lambda image, event: None
) -> Iterator[tuple[Executor, int]]:
    """Give a Dask cluster as an executor, and how many entries it can work on at a time.

    `moved` is called with what the workers' `reporter` passes on, by a thread of Dask's.
    If the block is interrupted, entries that were not begun are taken back. Raises UsageError if no
    scheduler answers or has no workers, MissingExtraError without imsprep[dask].
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise MissingExtraError("a Dask cluster needs distributed", extra="dask") from error
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with `dask scheduler`"
        ) from error
    with client:
        workers = client.nthreads()
        if not workers:
            raise UsageError(
                f"the scheduler at {address!r} has no workers; start some with"
                f" `dask worker {address}`, with imsprep, credentials and the images in reach"
            )
        client.subscribe_topic(_TOPIC, lambda entry: _passed_on(entry, moved))
        executor = client.get_executor(pure=False)
        try:
            yield executor, sum(workers.values())
        except BaseException:
            executor.shutdown(wait=False)
            raise
        executor.shutdown()


def _passed_on(entry: Any, moved: Callable[[str, Event], object]) -> None:
    """Call with each event of an entry of the scheduler's log; entries are (time, message)."""
    with contextlib.suppress(TypeError, KeyError, ValueError):  # another program's entry
        _, message = entry
        for values in message["events"]:
            moved(message["image"], Event(**values))
