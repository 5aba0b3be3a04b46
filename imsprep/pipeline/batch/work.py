"""The units of a batch: checked and imported; each a function of plain values.

`check_unit` and `import_unit` can be pickled by their names and need nothing but the unit and a way
to connect, so that threads of this process run them as well as the workers of a cluster.
Credentials are taken from where they run, the environment or a file, and are in no unit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imsprep import __version__
from imsprep.errors import (
    FindingsError,
    ImsprepError,
    ReadError,
    ServiceError,
    TransferError,
    UsageError,
)
from imsprep.image.file import RawImage
from imsprep.pipeline.batch.executors import reporter
from imsprep.pipeline.batch.run import DONE, FAILED, PLANNED, REFUSED, Outcome, Unit
from imsprep.pipeline.examine import examine, why_not
from imsprep.pipeline.importing import (
    Connect,
    asking,
    asking_service,
    poll_policy_of,
    shipping_of,
    target_of,
    task_of,
)
from imsprep.pipeline.prepare import prepare
from imsprep.pipeline.ship import ship
from imsprep.progress import CONVERT, IMPORT, SCAN, UPLOAD, Event
from imsprep.zvhd2.convert import likely_size

if TYPE_CHECKING:
    from imsprep.bitmap.layout import BitmapLayout
    from imsprep.ims.client import ImsClient
    from imsprep.ims.job import JobStatus
    from imsprep.ims.wait import PollPolicy
    from imsprep.options import ServiceOptions
    from imsprep.pipeline.ship import Shipping


class StoppedError(Exception):
    """Raised inside a unit that is to end because the whole batch does."""


@dataclass(frozen=True)
class Company:
    """What a unit shares with the others of its process; a cluster's worker has none of it."""

    stop: threading.Event
    news: Callable[[Unit, str], None]  # a line for people
    moved: Callable[[Unit, Event], None]  # how far a unit is
    connect: Connect
    lock_wait_s: float | None = 0.0  # for another process that imports the image; None: as its job


def _no_news(*_: object) -> None:
    """Take no notice."""


def alone(connect: Connect) -> Company:
    """Return the company of a unit that works by itself, waiting for others as for its job."""
    return Company(threading.Event(), _no_news, _no_news, connect, lock_wait_s=None)


def import_on_cluster(unit: Unit, connect: Connect) -> Outcome:
    """Import a unit in a worker of a cluster, which passes on how far it is."""
    report = reporter(unit.shown)
    return import_unit(unit, replace(alone(connect), moved=lambda _, event: report(event)))


def check_unit(unit: Unit, connect: Connect, *, ask_bucket: bool) -> Outcome:
    """Check a unit as far as that takes no scan; the outcome is planned or refused."""
    try:
        _check_version(unit)
        return _checked(unit, connect if ask_bucket else None)
    except Exception as error:
        return Outcome.of_error(unit, REFUSED, _translated(error, unit))


def _checked(unit: Unit, connect: Connect | None) -> Outcome:
    """Check a unit; ask nothing without `connect`."""
    task, room = replace(task_of(unit.options), ask_bucket=None), None
    if connect is not None:
        room = _room(unit, connect)
        task = replace(task, ask_bucket=asking(unit.options, checking=True))
    with RawImage.open(unit.image) as image:
        examined = examine(image, task)
    outcome = Outcome(
        unit.shown,
        unit.name,
        PLANNED,
        size=examined.facts.virtual_size or examined.facts.file_size,
        findings=examined.report.findings,
        body=examined.request.as_body(),
        room=room,
    )
    if task.fail_on is not None and examined.report.fails(task.fail_on):
        error = FindingsError(why_not(examined.report, task.fail_on))
        return replace(Outcome.of_error(unit, REFUSED, error), findings=outcome.findings)
    return outcome


def _room(unit: Unit, connect: Connect) -> int | None:
    """Return how many more images the service takes; None if it does not tell."""
    options, target = unit.options, target_of(unit.options)
    if target.folder is not None and not options.endpoint:
        return None
    with connect(target.folder, options) as client:
        try:
            quota = client.image_quota()
        except (ServiceError, TransferError):
            return None
    return quota[1] - quota[0] if quota else None


def import_unit(unit: Unit, company: Company) -> Outcome:
    """Import a unit, or go on with it; the outcome is done or failed.

    Raises StoppedError if the company's `stop` is set meanwhile.
    """
    start = time.monotonic()
    try:
        _check_version(unit)
        outcome = _imported(unit, company)
    except StoppedError:
        raise
    except Exception as error:
        outcome = Outcome.of_error(unit, FAILED, _translated(error, unit))
    return replace(outcome, seconds=time.monotonic() - start)


def _imported(unit: Unit, company: Company) -> Outcome:
    options, size = unit.options, likely_size(Path(unit.image))
    scanned, packed = (_counting(unit, company, what, size) for what in (SCAN, CONVERT))
    task = replace(
        task_of(options, scanned, packed, partial(company.news, unit)),
        ask_service=asking_service(options, company.connect, _pace(unit, company)),
    )
    prepared = prepare(Path(unit.image), task)
    with company.connect(target_of(options).folder, options) as client:
        plans = [artefact.plan for artefact in prepared.artefacts]
        size, sent, copied = (
            sum(getattr(plan, name) for plan in plans) for name in ("size", "sent", "copied")
        )
        company.moved(unit, Event(UPLOAD, total=size, sent=sent, copied=copied))
        done = ship(prepared, _shipping(unit, company, client))
    return Outcome(
        unit.shown,
        unit.name,
        DONE,
        image_id=done.image_id,
        job_id=done.job_id,
        size=done.size,
        data_bytes=done.data_bytes,
        sent=done.sent,
        identity=prepared.identity,
    )


def _pace(unit: Unit, company: Company) -> PollPolicy:
    """Return how to wait for the service, looking for a stop now and then."""

    def sleep(seconds: float) -> None:
        if company.stop.wait(seconds):
            raise StoppedError

    options, news = unit.options, partial(company.news, unit)
    local = target_of(options).folder is not None
    pace = poll_policy_of(options.timeout_s, options.poll_s, local=local)
    return replace(pace, sleep=sleep, on_warning=news)


def _shipping(unit: Unit, company: Company, client: ImsClient) -> Shipping:
    """Return what `ship` works with; what it calls now and then also looks for a stop."""
    options = unit.options
    news = partial(company.news, unit)

    def on_status(status: JobStatus) -> None:
        share = f" {status.progress:.0%}" if status.progress is not None else ""
        event = Event(IMPORT, status.percent, 100, text=status.status, job_id=status.job_id)
        company.moved(unit, event)
        news(f"job {status.job_id} {status.status}{share}")

    def progress(*, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        _look_for_stop(company)
        count = sent + copied + reused
        company.moved(unit, Event(UPLOAD, count, sent=sent, copied=copied))

    pace = replace(_pace(unit, company), on_status=on_status)
    shipping = shipping_of(options, client, pace, progress)
    wait_s = options.timeout_s if company.lock_wait_s is None else company.lock_wait_s
    return replace(
        shipping,
        lock_wait_s=wait_s,
        open_source=partial(_open_stoppable, company.stop, shipping.open_source),
    )


def _look_for_stop(company: Company) -> None:
    if company.stop.is_set():
        raise StoppedError


def _counting(unit: Unit, company: Company, what: str, total: int) -> Callable[[int], None]:
    def count(size: int) -> None:
        _look_for_stop(company)
        company.moved(unit, Event(what, size, total))

    return count


@contextlib.contextmanager
def _open_stoppable(stop: threading.Event, open_source: Any, path: Path) -> Iterator[Any]:
    """Open a source whose reading ends when the batch does."""
    with open_source(path) as source:
        pread = source.pread

        def read(offset: int, length: int) -> bytes:
            if stop.is_set():
                raise StoppedError
            data: bytes = pread(offset, length)
            return data

        source.pread = read
        yield source


def _check_version(unit: Unit) -> None:
    if unit.version != __version__:
        raise UsageError(
            f"the plan was read by imsprep {unit.version}, and this worker has imsprep"
            f" {__version__}; install the same version on every machine"
        )


def _translated(error: Exception, unit: Unit) -> Exception:
    """Return an error as one of this program's."""
    if isinstance(error, OSError) and not isinstance(error, ImsprepError):
        return ReadError.from_os(error, "cannot use", error.filename or unit.image)
    return error


class Connections:
    """One connection for all units that need the same: an emulator is not started twice."""

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


def check_for_cluster(units: list[Unit]) -> None:
    """Raise UsageError for what only this process could do."""
    for unit in units:
        if target_of(unit.options).folder is not None and not unit.options.endpoint:
            raise UsageError(
                f"{unit.shown}: on a cluster, `to: {unit.options.to}` also needs `endpoint`,"
                " the URL of an `imsprep emulator` that every worker reaches"
            )
