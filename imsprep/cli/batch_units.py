"""The units of a batch: read from a plan, checked and imported; each a function of plain values.

`check_unit` and `import_unit` can be pickled by their names and need nothing but the unit, so that
threads of this process run them as well as the workers of a cluster. Credentials are taken from
where they run, the environment or a file, and are in no unit.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from imsprep import __version__
from imsprep.cli.configured import policy_of, settings_here
from imsprep.cli.options.importing import asking, order_of, shipping_of, target_of
from imsprep.cli.service import WHERE, asking_service, connected, pace_of
from imsprep.errors import (
    FindingsError,
    ImsprepError,
    ReadError,
    ServiceError,
    TransferError,
    UsageError,
    show_path,
)
from imsprep.pipeline.batch import plan
from imsprep.pipeline.batch.run import DONE, FAILED, PLANNED, REFUSED, Outcome, Unit
from imsprep.progress import CONVERT, IMPORT, SCAN, UPLOAD, Event
from imsprep.units import MIB, exact_size

if TYPE_CHECKING:
    from imsprep.cli.settings import Setting
    from imsprep.ims.client import ImsClient
    from imsprep.ims.job import JobStatus
    from imsprep.ims.wait import Pace
    from imsprep.pipeline.batch.plan import Entry, Known, Value
    from imsprep.pipeline.ship import Shipping

# Options of `imsprep import` that belong to its command line and not to an image.
_NOT_OF_AN_IMAGE = ("image", "dry_run", "as_json", "quiet")
_PER_IMAGE = ("name", "key", "bitmap", "image-url")
_MAX_PLAN = 16 * MIB  # bytes, some 100,000 images; what is larger is an image itself


class StoppedError(Exception):
    """Raised inside a unit that is to end because the whole batch does."""


@dataclass(frozen=True)
class Company:
    """What a unit shares with the others of its process; a cluster's worker has none of it."""

    stop: threading.Event
    news: Callable[[Unit, str], None]  # a line for people
    moved: Callable[[Unit, Event], None]  # how far a unit is
    connect: Callable[..., contextlib.AbstractContextManager[ImsClient]] = connected
    lock_wait_s: float | None = 0.0  # for another process that imports the image; None: as its job


# click keeps the help option of the first context that asks for it.
HELP = ["-h", "--help"]


def _no_news(*_: object) -> None:
    """Tell nobody."""


ALONE = Company(threading.Event(), _no_news, _no_news, lock_wait_s=None)


def import_on_cluster(unit: Unit) -> Outcome:
    """Import a unit in a worker of a cluster, which passes on how far it is."""
    from imsprep.pipeline.batch.executors import reporter

    report = reporter(unit.shown)
    return import_unit(unit, replace(ALONE, moved=lambda _, event: report(event)))


def read_units(path: Path) -> list[Unit]:
    """Return the units of a plan; raises UsageError with all mistakes, ReadError."""
    try:
        if (size := path.stat().st_size) > _MAX_PLAN:
            raise UsageError(f"{show_path(path)} is not a plan: it has {exact_size(size)}")
        text = path.read_text("utf-8")
    except OSError as error:
        raise ReadError.from_os(error, "cannot read", path) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{show_path(path)} is not a plan: byte {error.start} is not UTF-8"
        ) from None
    entries = plan.parse(text, show_path(path), known_options())
    mistakes: list[tuple[int, str]] = []
    folder = path.absolute().parent
    settings = settings_here()
    units = [_unit(entry, folder, settings, mistakes) for entry in entries]
    plan.refuse(show_path(path), mistakes)
    named = [(entry, unit) for entry, unit in zip(entries, units, strict=True) if unit is not None]
    clashes = plan.clashes([(entry, _claims(unit)) for entry, unit in named])
    plan.refuse(show_path(path), clashes)
    return [unit for _, unit in named]


def known_options() -> Known:
    """Return what a plan may say of an image: the options of `imsprep import`."""
    found = {}
    for name, option in _options().items():
        assert isinstance(option, click.Option)
        found[name] = plan.LIST if option.multiple else plan.FLAG if option.is_flag else plan.TEXT
    return plan.Known(found, _PER_IMAGE)


def _options() -> dict[str, click.Parameter]:
    """Return import's options by their names on the command line, without the dashes."""
    return {
        p.opts[0].removeprefix("--"): p
        for p in _import_command().params
        if p.expose_value and p.name not in _NOT_OF_AN_IMAGE
    }


def _import_command() -> click.Command:
    command: click.Command = importlib.import_module("imsprep.cli.commands.import_").command
    return command


def _unit(
    entry: Entry, folder: Path, settings: Mapping[str, Setting], mistakes: list[tuple[int, str]]
) -> Unit | None:
    """Return an entry with its values read as the command line reads them; note what is wrong."""
    options, arguments, before = _options(), [], len(mistakes)
    for name, value in entry.options.items():
        placed = _placed(value, options[name], folder)
        arguments += _arguments(name, placed)
        try:
            with click.Context(
                _import_command(), info_name="import", help_option_names=HELP
            ) as context:
                options[name].type_cast_value(context, placed)
            _check_holds_no_secret(name, value)
        except click.ClickException as error:
            mistakes.append((entry.lines[name], f"{name}: {error.format_message()}"))
        except UsageError as error:
            mistakes.append((entry.lines[name], str(error)))
    if len(mistakes) > before:
        return None
    try:
        context = _import_command().make_context(
            "import",
            [*arguments, "--", entry.image],
            default_map={"site": settings["site"].value},
            help_option_names=HELP,
        )
        settled = {k: v for k, v in context.params.items() if k not in _NOT_OF_AN_IMAGE}
        target_of(settled)
        settled["policy"] = policy_of(settings, ignore=settled["ignore"])
        if not settled["name"]:
            raise UsageError("it needs a 'name'")
    except (click.ClickException, UsageError) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        mistakes.append((entry.line, f"{entry.image}: {text}"))
        return None
    return Unit(str(folder / entry.image), entry.image, settled["name"], settled)


def _placed(value: Value, option: click.Parameter, folder: Path) -> Value:
    """Return a value with paths that are relative to the plan's folder made absolute."""
    if isinstance(value, str) and isinstance(option.type, click.Path):
        return str(folder / value)
    if isinstance(value, str) and option.name == "to" and value.startswith("local:"):
        return "local:" + str(folder / value.removeprefix("local:"))
    return value


def _arguments(name: str, value: Value) -> list[str]:
    """Return an option as the command line has it."""
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    words = value if isinstance(value, tuple) else (value,)
    return [f"--{name}={word}" for word in words]


def _check_holds_no_secret(name: str, value: Value) -> None:
    if name.endswith("endpoint") and isinstance(value, str) and "@" in urlsplit(value).netloc:
        raise UsageError(
            f"{name}: a URL in a plan holds no user or password; credentials come from the"
            " environment or a file of the machine that imports"
        )


def _claims(unit: Unit) -> list[tuple[str, str]]:
    """Return what no other image of the plan may have: in words, and as a value."""
    from imsprep.bitmap.codec import bitmap_path
    from imsprep.pipeline.container import place_for
    from imsprep.pipeline.formats import RAW, ZVHD2
    from imsprep.pipeline.manifest import path_beside

    target, image, via = target_of(unit.options), Path(unit.image), unit.options["via"]
    place = place_for(image, unit.options["work_dir"])
    name = place.name if via == ZVHD2 else image.name
    key = target.key_for(unit.options["key"] or name)
    packed = [] if via == RAW else [("the container", str(place.resolve()))]
    return [
        *packed,
        ("the image", str(Path(unit.image).resolve())),
        ("the name", unit.name),
        ("the manifest", str(path_beside(image).resolve())),
        ("the object", f"{key} in {target}"),
        ("the bitmap's object", f"{bitmap_path(Path(key))} in {target}"),
    ]


def check_unit(unit: Unit, *, ask_bucket: bool) -> Outcome:
    """Check a unit as far as that takes no scan; the outcome is planned or refused."""
    try:
        _check_version(unit)
        return _checked(unit, ask_bucket)
    except Exception as error:
        return Outcome.of_error(unit, REFUSED, _translated(error, unit))


def _checked(unit: Unit, ask_bucket: bool) -> Outcome:
    from imsprep.pipeline.prepare import examine, why_not

    options, target, room = unit.options, target_of(unit.options), None
    order = order_of(options, target)
    if ask_bucket:
        room = _room(unit)
        order = replace(order, ask_bucket=asking(options, target, checking=True))
    examined = examine(Path(unit.image), order)
    outcome = Outcome(
        unit.shown,
        unit.name,
        PLANNED,
        size=examined.facts.virtual_size or examined.facts.file_size,
        findings=examined.report.findings,
        body=examined.request.as_body(),
        room=room,
    )
    if order.fail_on is not None and examined.report.fails(order.fail_on):
        error = FindingsError(why_not(examined.report, order.fail_on))
        return replace(Outcome.of_error(unit, REFUSED, error), findings=outcome.findings)
    return outcome


def _room(unit: Unit) -> int | None:
    """Return how many more images the service takes; None if it does not tell."""
    options, target = unit.options, target_of(unit.options)
    if target.folder is not None and not options["endpoint"]:
        return None
    with connected(target.folder, **{name: options[name] for name in WHERE}) as client:
        try:
            quota = client.image_quota()
        except (ServiceError, TransferError):
            return None
    return quota[1] - quota[0] if quota else None


def import_unit(unit: Unit, company: Company = ALONE) -> Outcome:
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
    from imsprep.pipeline.prepare import prepare
    from imsprep.pipeline.ship import ship
    from imsprep.zvhd2.convert import likely_size

    options, target = unit.options, target_of(unit.options)
    size = likely_size(Path(unit.image))
    counts = (_counting(unit, company, what, size) for what in (SCAN, CONVERT))
    order = replace(
        order_of(options, target, *counts),
        told=partial(company.news, unit),
        ask_bucket=asking(options, target),
        ask_service=asking_service(options, target, _pace(unit, company)),
    )
    prepared = prepare(Path(unit.image), order)
    with company.connect(target.folder, **{name: options[name] for name in WHERE}) as client:
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


def _pace(unit: Unit, company: Company) -> Pace:
    """Return how to wait for the service, looking for a stop now and then."""

    def sleep(seconds: float) -> None:
        if company.stop.wait(seconds):
            raise StoppedError

    options, news = unit.options, partial(company.news, unit)
    where = {name: options[name] for name in WHERE}
    pace = pace_of(options["poll"], options["timeout"], quiet=True, to=options["to"], where=where)
    return replace(pace, sleep=sleep, on_trouble=news)


def _shipping(unit: Unit, company: Company, client: ImsClient) -> Shipping:
    """Return what `ship` works with; what it calls now and then also looks for a stop."""
    options = unit.options
    news = partial(company.news, unit)

    def on_status(status: JobStatus) -> None:
        share = f" {status.progress:.0%}" if status.progress is not None else ""
        percent = round((status.progress or 0) * 100)
        company.moved(unit, Event(IMPORT, percent, 100, text=status.status, job_id=status.job_id))
        news(f"job {status.job_id} {status.status}{share}")

    def progress(*, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        _look_for_stop(company)
        count = sent + copied + reused
        company.moved(unit, Event(UPLOAD, count, sent=sent, copied=copied))

    pace = replace(_pace(unit, company), on_status=on_status)
    shipping = shipping_of(options, target_of(options), client, pace, progress)
    wait_s = options["timeout"] if company.lock_wait_s is None else company.lock_wait_s
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
            f"the plan was read by imsprep {unit.version}, and here is imsprep {__version__};"
            " install the same one on every machine"
        )


def _translated(error: Exception, unit: Unit) -> Exception:
    """Return an error as the command line would tell it."""
    if isinstance(error, OSError) and not isinstance(error, ImsprepError):
        return ReadError.from_os(error, "cannot use", error.filename or unit.image)
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    return error


class Connections:
    """One connection for all units that need the same: an emulator is not started twice."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack, self._lock = stack, threading.Lock()
        self._clients: dict[Any, ImsClient] = {}

    @contextlib.contextmanager
    def connect(self, folder: Path | None, **where: Any) -> Iterator[ImsClient]:
        """Yield a client as `connected` does; it lives as long as the stack."""
        key = (folder, *sorted(where.items(), key=lambda pair: pair[0]))
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._stack.enter_context(connected(folder, **where))
            client = self._clients[key]
        yield client


def check_for_cluster(units: list[Unit]) -> None:
    """Raise UsageError for what only this process could do."""
    for unit in units:
        if target_of(unit.options).folder is not None and not unit.options["endpoint"]:
            raise UsageError(
                f"{unit.shown}: with --scheduler, `to: {unit.options['to']}` also needs `endpoint`,"
                " the URL of an `imsprep emulator` that every worker reaches"
            )
