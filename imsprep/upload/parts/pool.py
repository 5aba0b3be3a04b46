"""Threads for an upload: what was not begun is dropped and waits end as soon as anything fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from imsprep.store.retry import RetryingStore

# How long to wait without a look: a signal that another thread received wakes no thread that waits.
LOOK_S = 1.0


@contextlib.contextmanager
def workers(store: RetryingStore, count: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool whose work is dropped and whose waits end when anything goes wrong.

    An interruption does not wait for the parts on their way: they are no loss, and may take minutes
    on a slow line.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix="upload")
    interrupted = False
    try:
        yield pool
    except BaseException as error:
        interrupted = not isinstance(error, Exception)
        store.stop()
        raise
    finally:
        pool.shutdown(wait=not interrupted, cancel_futures=True)
