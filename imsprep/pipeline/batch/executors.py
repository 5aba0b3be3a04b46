"""Where the units of a batch are worked on: threads of this process, or a Dask cluster.

Threads, because a unit's time goes into the network, the disk, hashing and processes of its own,
all of which let other threads run, and because one connection and one way to stop are shared.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from imsprep.errors import MissingExtraError, UsageError

_CONNECT_S = 10.0
# After an interruption: so long may units take to end by themselves; what is cut off then is no
# loss, because the next run goes on from there as well.
_GRACE_S = 3.0


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


@contextlib.contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """Give a Dask cluster as an executor, and how many units it can work on at a time.

    If the block is interrupted, units that were not begun are taken back. Raises UsageError if no
    scheduler answers or has no workers, MissingExtraError without imsprep[dask].
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise MissingExtraError("--scheduler needs Dask: pip install 'imsprep[dask]'") from error
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
        executor = client.get_executor(pure=False)
        try:
            yield executor, sum(workers.values())
        except BaseException:
            executor.shutdown(wait=False)
            raise
        executor.shutdown()
