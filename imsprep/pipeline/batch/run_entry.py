"""The entries of a batch: checked and imported; each a function of plain values.

`check_entry` and `import_entry` can be pickled by their names and need nothing but the entry and a
way to connect, so that threads of this process run them as well as the workers of a cluster.
Credentials are taken from where they run, the environment or a file, and are in no entry.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep import __version__
from imsprep.checks.gather_facts import CONNECTIONS
from imsprep.errors import (
    FindingsError,
    FormatError,
    ImsprepError,
    MissingExtraError,
    ReadError,
    ServiceError,
    TransferError,
    UsageError,
)
from imsprep.pipeline.batch.executors import reporter
from imsprep.pipeline.batch.values import (
    DONE,
    FAILED,
    PLANNED,
    REFUSED,
    UNCHECKED,
    BatchEntry,
    Outcome,
    in_plan,
)
from imsprep.pipeline.check_import import examine, why_not
from imsprep.pipeline.from_options import fail_on
from imsprep.pipeline.import_task import (
    Connect,
    asking,
    asking_service,
    open_for_import,
    poll_policy_of,
    ship_task_of,
    target_of,
    task_of,
)
from imsprep.pipeline.prepare import prepare
from imsprep.pipeline.ship import ship
from imsprep.progress import CONVERT, SCAN, UPLOAD, Event, job_event
from imsprep.zvhd2.source import OpenImage

if TYPE_CHECKING:
    from imsprep.bitmap.layout import BitmapLayout
    from imsprep.ims.client import ImsClient
    from imsprep.ims.job import JobStatus
    from imsprep.ims.wait import PollPolicy
    from imsprep.options import ServiceOptions
    from imsprep.pipeline.values import ShipTask
    from imsprep.store.contract import ObjectStore


# What says that an image or its request is not taken; after any other error that is not known.
_PROOFS = (FindingsError, FormatError, ServiceError, UsageError)


class BatchStoppedError(Exception):
    """Raised inside an entry that is to end because the whole batch does."""


@dataclass(frozen=True)
class WorkContext:
    """What the entries of one process share; a cluster's worker has none of it."""

    stop: threading.Event
    news: Callable[[BatchEntry, str], None]  # a line for people
    moved: Callable[[BatchEntry, Event], None]  # how far an entry is
    connect: Connect
    lock_wait_s: float | None = 0.0  # for another process that imports the image; None: as its job


def _no_news(*_: object) -> None:
    """Take no notice."""


def alone(connect: Connect) -> WorkContext:
    """Return the context of an entry that works by itself, waiting for others as for its job."""
    return WorkContext(threading.Event(), _no_news, _no_news, connect, lock_wait_s=None)


def import_on_cluster(entry: BatchEntry, connect: Connect) -> Outcome:
    """Import an entry in a worker of a cluster, which passes on how far it is."""
    report = reporter(entry.shown)
    return import_entry(entry, replace(alone(connect), moved=lambda _, event: report(event)))


def check_entry(entry: BatchEntry, connect: Connect, *, ask_bucket: bool) -> Outcome:
    """Check an entry as far as that takes no scan; the outcome is planned or one of NOT_TAKEN."""
    try:
        _check_version(entry)
        return _checked(entry, connect if ask_bucket else None)
    except Exception as error:
        error = _translated(error, entry)
        proven = isinstance(error, _PROOFS) and not isinstance(error, MissingExtraError)
        return Outcome.of_error(entry, REFUSED if proven else UNCHECKED, error)


def _checked(entry: BatchEntry, connect: Connect | None) -> Outcome:
    """Check an entry; ask nothing without `connect`."""
    task, room = replace(task_of(entry.options), ask_bucket=None), None
    if connect is not None:
        room = _room(entry, connect)
        task = replace(task, ask_bucket=asking(entry.options, checking=True))
    with OpenImage.open(entry.image, jobs=CONNECTIONS) as image:
        examined = examine(image, task)
    facts = examined.facts
    size = facts.source_size or facts.virtual_size or facts.file_size
    outcome = Outcome(
        entry.shown,
        entry.name,
        PLANNED,
        size=size,
        body=examined.request.as_body(),
        boot_mode=examined.boot_mode,
        room=room,
    ).with_findings(examined.report)
    if task.fail_on is not None and examined.report.fails(task.fail_on):
        error = FindingsError(why_not(in_plan(examined.report), task.fail_on))
        refused = Outcome.of_error(entry, REFUSED, error).with_findings(examined.report)
        return replace(refused, size=size)
    return outcome


def _room(entry: BatchEntry, connect: Connect) -> int | None:
    """Return how many more images the service takes; None if it does not tell."""
    options, target = entry.options, target_of(entry.options)
    if target.folder is not None and not options.endpoint:
        return None
    with connect(target.folder, options) as client:
        try:
            quota = client.image_quota()
        except (ServiceError, TransferError):
            return None
    return quota[1] - quota[0] if quota else None


def import_entry(entry: BatchEntry, context: WorkContext) -> Outcome:
    """Import an entry, or go on with it; the outcome is done or failed.

    Raises BatchStoppedError if the context's `stop` is set meanwhile.
    """
    start = time.monotonic()
    try:
        _check_version(entry)
        outcome = _imported(entry, context)
    except BatchStoppedError:
        raise
    except Exception as error:
        outcome = Outcome.of_error(entry, FAILED, _translated(error, entry))
    return replace(outcome, seconds=time.monotonic() - start)


def _imported(entry: BatchEntry, context: WorkContext) -> Outcome:
    options = entry.options
    with open_for_import(Path(entry.image), options) as image:
        steps = (SCAN, CONVERT)
        scanned, packed = (_counting(entry, context, s, image.likely_size) for s in steps)
        task = replace(
            task_of(options, scanned, packed, partial(context.news, entry)),
            ask_service=asking_service(options, context.connect, _pace(entry, context)),
        )
        prepared = prepare(image, task)
        with context.connect(target_of(options).folder, options) as client:
            shipping = _shipping(entry, context, client, prepared.open_store)
            announce = partial(context.moved, entry, prepared.upload_event)
            done = ship(prepared, image, replace(shipping, on_upload=announce))
    return Outcome(
        entry.shown,
        entry.name,
        DONE,
        image_id=done.image_id,
        job_id=done.job_id,
        size=done.disk_size,
        data_bytes=done.data_bytes,
        sent=done.sent,
        earlier=done.earlier,
        identity=prepared.identity,
    )


def _pace(entry: BatchEntry, context: WorkContext) -> PollPolicy:
    """Return how to wait for the service, looking for a stop now and then."""

    def sleep(seconds: float) -> None:
        if context.stop.wait(seconds):
            raise BatchStoppedError

    options, news = entry.options, partial(context.news, entry)
    local = target_of(options).folder is not None
    pace = poll_policy_of(options.timeout_s, options.poll_s, local=local)
    return replace(pace, sleep=sleep, on_warning=news)


def _shipping(
    entry: BatchEntry,
    context: WorkContext,
    client: ImsClient,
    open_store: Callable[[], ObjectStore] | None,
) -> ShipTask:
    """Return what `ship` works with; what it calls now and then also looks for a stop."""
    options = entry.options
    news = partial(context.news, entry)

    def on_status(status: JobStatus) -> None:
        context.moved(entry, job_event(status.percent, status.status, status.job_id))
        news(f"job {status.job_id}: {status.status}")

    def progress(*, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        _look_for_stop(context)
        count = sent + copied + reused
        context.moved(entry, Event(UPLOAD, count, sent=sent, copied=copied))

    pace = replace(_pace(entry, context), on_status=on_status)
    shipping = ship_task_of(options, client, pace, progress, open_store)
    wait_s = options.timeout_s if context.lock_wait_s is None else context.lock_wait_s
    return replace(shipping, lock_wait_s=wait_s)


def _look_for_stop(context: WorkContext) -> None:
    if context.stop.is_set():
        raise BatchStoppedError


def _counting(
    entry: BatchEntry, context: WorkContext, what: str, total: int
) -> Callable[[int], None]:
    def count(size: int) -> None:
        _look_for_stop(context)
        context.moved(entry, Event(what, size, total))

    return count


def _check_version(entry: BatchEntry) -> None:
    if entry.version != __version__:
        raise UsageError(
            f"the plan was read by imsprep {entry.version}, and this worker has imsprep"
            f" {__version__}; install the same version on every machine"
        )


def _translated(error: Exception, entry: BatchEntry) -> Exception:
    """Return an error as one of this program's, with the plan's words for what to do."""
    least = fail_on(entry.options)
    if isinstance(error, FindingsError) and error.report is not None and least is not None:
        return FindingsError(why_not(in_plan(error.report), least))
    if isinstance(error, OSError) and not isinstance(error, ImsprepError):
        return ReadError.from_os(error, "cannot use", error.filename or entry.image)
    return error


class Connections:
    """One connection for all entries that need the same: an emulator is not started twice."""

    def __init__(self, stack: contextlib.ExitStack, connect: Connect) -> None:
        self._stack, self._connect, self._lock = stack, connect, threading.Lock()
        self._clients: dict[object, ImsClient] = {}

    @contextlib.contextmanager
    def connect(
        self, folder: Path | None, options: ServiceOptions, layout: BitmapLayout | None = None
    ) -> Iterator[ImsClient]:
        """Yield a client as the connect that was given does; it lives as long as the stack."""
        where = (options.site, options.region, options.endpoint, options.api, options.ca_bundle)
        key = (folder, layout, *where)
        with self._lock:
            if key not in self._clients:
                opened = self._connect(folder, options, layout)
                self._clients[key] = self._stack.enter_context(opened)
            client = self._clients[key]
        yield client


def check_for_cluster(entries: list[BatchEntry]) -> None:
    """Raise UsageError for what only this process could do."""
    for entry in entries:
        if target_of(entry.options).folder is not None and not entry.options.endpoint:
            raise UsageError(
                f"{entry.shown}: on a cluster, `to: {entry.options.to}` also needs `endpoint`,"
                " the URL of an `imsprep emulator` that every worker reaches"
            )
