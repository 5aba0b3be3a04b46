"""The entries of a batch: each is checked and imported by itself, and its end is a value."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imsprep import service
from imsprep.errors import ServiceError, UsageError
from imsprep.ims.listed import CloudImage
from imsprep.options import ImportOptions, WaitOptions
from imsprep.pipeline.batch import run_entry
from imsprep.pipeline.batch.run_entry import (
    BatchStoppedError,
    Connections,
    WorkContext,
    alone,
    check_entry,
    check_for_cluster,
    import_entry,
)
from imsprep.pipeline.batch.values import DONE, FAILED, PLANNED, REFUSED, UNCHECKED, BatchEntry
from imsprep.progress import Event
from imsprep.units import MIB
from tests.support.pipeline.batch_folder import Folder, make_disk


@pytest.fixture
def one(tmp_path: Path) -> BatchEntry:
    """An entry whose disk is a data disk for a folder."""
    make_disk(tmp_path / "web.raw", 1)
    options = ImportOptions(
        to=f"local:{tmp_path}/cloud", name="web", type="DataImage", min_disk=40, via="raw",
        poll_s=0.05,
    )  # fmt: skip
    return BatchEntry(str(tmp_path / "web.raw"), "web.raw", "web", options)


def changed(entry: BatchEntry, **options: Any) -> BatchEntry:
    return replace(entry, options=replace(entry.options, **options))


class Service:
    """A service that lists no images, and has this quota or refuses to tell it."""

    def __init__(self, quota: tuple[int, int] | None = None, *, refuses: bool = False) -> None:
        self.quota, self.refuses = quota, refuses

    def images(self, name: str, tag: str | None = None, *, limit_s: float) -> list[CloudImage]:
        return []

    def image_quota(self, *, limit_s: float = 0) -> tuple[int, int] | None:
        if self.refuses:
            raise ServiceError("not for you")
        return self.quota

    def os_versions(self, *, limit_s: float) -> list[str]:
        return []


def reaching(found: object) -> Any:
    """What connects with a service."""

    @contextmanager
    def connect(*_: object) -> Iterator[Any]:
        if isinstance(found, Exception):
            raise found
        yield found

    return connect


nobody = reaching(AssertionError("nobody is to be asked"))


def test_an_entry_that_passes_is_planned_with_its_request(one: BatchEntry) -> None:
    outcome = check_entry(one, nobody, ask_bucket=True)
    assert (outcome.state, outcome.message, outcome.exit_code) == (PLANNED, None, 0)
    assert (outcome.image, outcome.name, outcome.size) == ("web.raw", "web", 24 * MIB)
    assert (outcome.format, outcome.body["image_url"]) == ("raw", "images:web.raw")
    assert outcome.room is None


@pytest.mark.parametrize(("service_", "room"), [
    (Service((3, 50)), 47), (Service(), None), (Service(refuses=True), None),
])  # fmt: skip
def test_the_room_that_a_service_has_is_asked_with_the_bucket(
    one: BatchEntry, service_: Service, room: int | None
) -> None:
    there = changed(one, endpoint="http://127.0.0.1:9")
    assert check_entry(there, reaching(service_), ask_bucket=True).room == room
    assert check_entry(there, nobody, ask_bucket=False).room is None


def test_what_findings_stop_is_refused_with_the_words_of_a_plan(one: BatchEntry) -> None:
    outcome = check_entry(changed(one, name=" x"), nobody, ask_bucket=False)
    assert (outcome.state, outcome.kind, outcome.exit_code) == (REFUSED, "FindingsError", 1)
    assert "is stopped by" in str(outcome.message)
    assert outcome.errors == 1
    assert outcome.findings
    never = check_entry(changed(one, name=" x", fail_on="never"), nobody, ask_bucket=False)
    assert (never.state, never.errors) == (PLANNED, 1)


@pytest.mark.parametrize(("change", "state", "code", "said"), [
    (lambda entry: Path(entry.image).unlink(), UNCHECKED, 3, "cannot read"),
    (lambda entry: Path(entry.image).write_bytes(b""), REFUSED, 1, "is stopped by"),
])  # fmt: skip
def test_what_cannot_be_checked_is_told_from_what_is_refused(
    one: BatchEntry, change: Callable[[BatchEntry], object], state: str, code: int, said: str
) -> None:
    change(one)
    outcome = check_entry(one, nobody, ask_bucket=False)
    assert (outcome.state, outcome.exit_code) == (state, code)
    assert said in str(outcome.message)


def test_a_worker_with_another_version_refuses(one: BatchEntry) -> None:
    other = replace(one, version="0.0.1")
    checked = check_entry(other, nobody, ask_bucket=False)
    for outcome in (checked, import_entry(other, alone(nobody))):
        assert outcome.exit_code == 2
        assert "read by imsprep 0.0.1" in str(outcome.message)


@pytest.mark.parametrize(("error", "kind", "said"), [
    (ServiceError("no such project"), "ServiceError", "no such project"),
    (OSError(17, "File exists", "/a/b"), "ReadError", "cannot use /a/b: File exists"),
    (ZeroDivisionError("x"), "ZeroDivisionError", "internal error: ZeroDivisionError('x')"),
])  # fmt: skip
def test_whatever_ends_an_import_is_its_outcome(
    one: BatchEntry, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, said: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(run_entry, "ship", broken)
    outcome = import_entry(one, alone(reaching(Service())))
    assert (outcome.state, outcome.kind, outcome.message) == (FAILED, kind, said)
    assert outcome.seconds > 0


def test_findings_of_an_import_have_the_words_of_a_plan(one: BatchEntry) -> None:
    outcome = import_entry(changed(one, name=" x"), alone(nobody))
    assert (outcome.state, outcome.kind) == (FAILED, "FindingsError")
    assert "is stopped by" in str(outcome.message)


def test_the_stop_of_a_batch_ends_an_entry_and_is_no_outcome(one: BatchEntry) -> None:
    stop = threading.Event()
    stop.set()
    context = replace(alone(reaching(Service())), stop=stop)
    with pytest.raises(BatchStoppedError):
        import_entry(one, context)


def test_how_far_the_scan_is_is_told_of_its_entry(
    one: BatchEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_entry, "ship", lambda *_: 1 / 0)
    moved: list[tuple[BatchEntry, Event]] = []
    connect = reaching(Service())
    context = WorkContext(threading.Event(), lambda *_: None, lambda *a: moved.append(a), connect)
    import_entry(one, context)
    assert all(entry == one for entry, _ in moved)
    scanned = [event for _, event in moved if event.step == "scan"]
    assert sum(event.count for event in scanned) == 24 * MIB
    assert {event.total for event in scanned} == {24 * MIB}


@pytest.mark.slow
def test_an_entry_works_by_itself_after_a_journey(tmp_path: Path) -> None:
    folder = Folder(tmp_path, count=2)
    for disk in folder.disks:
        options = ImportOptions(
            to=f"local:{tmp_path}/cloud", name=disk.stem, type="DataImage", min_disk=40,
            via="raw", poll_s=0.05,
        )  # fmt: skip
        travelled = pickle.loads(pickle.dumps(BatchEntry(str(disk), disk.name, disk.stem, options)))
        assert check_entry(travelled, service.connected, ask_bucket=True).state == PLANNED
        outcome = pickle.loads(pickle.dumps(import_entry(travelled, alone(service.connected))))
        assert (outcome.state, outcome.message) == (DONE, None)
        assert (outcome.image, outcome.sent > 0) == (disk.name, True)
    folder.assert_each_was_imported_once()


def test_entries_that_need_the_same_service_share_its_connection(tmp_path: Path) -> None:
    opened: list[tuple[object, ...]] = []

    @contextmanager
    def connect(*where: object) -> Iterator[Any]:
        opened.append(where)
        yield Service()
        opened.append(("closed",))

    otc, huawei = WaitOptions(site="otc"), WaitOptions(site="huawei")
    with ExitStack() as stack:
        shared = Connections(stack, connect).connect
        clients = []
        for folder, options in ((None, otc), (None, otc), (tmp_path, otc), (None, huawei)):
            with shared(folder, options) as client:
                clients.append(client)
        assert clients[0] is clients[1]
        assert len({id(client) for client in clients}) == 3
        assert len(opened) == 3
    assert opened[3:] == [("closed",)] * 3


def test_a_cluster_takes_a_folder_only_with_a_service_that_every_worker_reaches(
    one: BatchEntry,
) -> None:
    with pytest.raises(UsageError, match=r"web\.raw: on a cluster, `to: local:.*` also needs"):
        check_for_cluster([one])
    check_for_cluster([changed(one, endpoint="http://10.0.0.1:9"), changed(one, to="obs:bkt")])
