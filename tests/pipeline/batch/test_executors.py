"""`imsprep batch --scheduler`: a scheduler and two workers, processes of their own on 127.0.0.1."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("distributed", reason="not installed: distributed")

from tests.support.emulator.process import emulator
from tests.support.paths import ROOT
from tests.support.pipeline.batch_folder import DEFAULTS, Folder

# Limits are for a program that is wrong: nothing here waits for a time.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Cluster:
    """A scheduler and workers; every process is ended by its own id."""

    def __init__(self, folder: Path, stack: ExitStack, environment: dict[str, str]) -> None:
        self._folder, self._stack = folder, stack
        self.environment = {**environment, "PYTHONPATH": str(ROOT)}
        found = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-jupyter",
            "--scheduler-file", str(found),
        )  # fmt: skip
        until(lambda: found.exists() and found.stat().st_size > 0)
        self.address = json.loads(found.read_text())["address"]

    def add_worker(self, number: int) -> subprocess.Popen[bytes]:
        folder = self._folder / f"worker{number}"
        return self._start(
            "worker", self.address, "--host", "127.0.0.1", "--no-nanny", "--nthreads", "1",
            "--no-dashboard", "--memory-limit", "0", "--local-directory", str(folder),
        )  # fmt: skip

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        log = self._stack.enter_context((self._folder / "cluster.log").open("ab"))
        process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self._stack.callback(end, process)
        return process


def end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
    process.wait()


def until(true: Callable[[], object], limit_s: float = 300) -> None:
    """Wait for something that will be; the limit is for a program that is wrong."""
    last = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < last, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def in_state(folder: Folder, state: str) -> list[str]:
    """The images whose manifest says so."""
    found = []
    for path in folder.path.glob("*.imsprep.json"):
        if json.loads(path.read_text())["state"] == state:
            found.append(path.name)
    return found


class Service:
    """An emulator whose jobs do not end before `release`, which starts it again."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._held = stack.enter_context(ExitStack())
        slow = emulator(folder, "--fault", "slow-job-s=3600")
        self.environment = self._held.enter_context(slow)

    def release(self) -> None:
        self._held.close()
        port = urlsplit(self.environment["URL"]).port
        self._stack.enter_context(emulator(self._folder, "--port", str(port)))


def begin(
    tmp_path: Path, stack: ExitStack, *, count: int = 4, **settings: str
) -> tuple[Folder, Cluster, list[subprocess.Popen[bytes]], subprocess.Popen[str], Service]:
    """Hand a batch to a cluster; come back when each of its two workers is in the middle of one."""
    place = tmp_path / "shared"
    place.mkdir()
    folder = Folder(place, count)
    service = Service(place / "cloud", stack)
    environment = service.environment
    endpoint = f"  endpoint: {environment['URL']}\n"
    folder.write_plan(*({} for _ in range(count)), defaults=DEFAULTS + endpoint)
    cluster = Cluster(tmp_path, stack, {**environment, **settings})
    workers = [cluster.add_worker(n) for n in range(2)]
    # The one who hands out the work has no credentials: none can come from here.
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("HUAWEICLOUD_", "HW_", "OS_"))}
    bare["HOME"] = str(tmp_path)
    until(lambda: all((tmp_path / f"worker{n}").exists() for n in range(2)))
    batch = folder.start("--scheduler", cluster.address, "--jobs", "2", "--json", env=bare)
    stack.callback(end, batch)
    until(lambda: len(in_state(folder, "started")) == 2 or batch.poll() is not None)
    assert batch.poll() is None, batch.communicate()  # each worker waits for one image's job
    return folder, cluster, workers, batch, service


def test_one_of_two_workers_is_killed_in_the_middle(tmp_path: Path, stack: ExitStack) -> None:
    folder, _, workers, batch, service = begin(tmp_path, stack)
    workers[0].kill()
    service.release()
    out, err = batch.communicate(timeout=300)
    assert batch.returncode == 0, out + err
    assert workers[0].wait() == -signal.SIGKILL
    assert json.loads(out)["counts"]["done"] == 4
    jobs = list((folder.path / "cloud" / ".emulator" / "jobs").glob("*.json"))
    assert len(jobs) == 4
    folder.assert_each_was_imported_once()
    assert not list(folder.path.glob("*.lock"))


def test_a_worker_that_was_taken_for_dead_and_is_not_imports_nothing_twice(
    tmp_path: Path, stack: ExitStack
) -> None:
    folder, cluster, workers, batch, service = begin(tmp_path, stack, count=2)
    distributed: Any = importlib.import_module("distributed")
    client = stack.enter_context(distributed.Client(cluster.address, set_as_default=False))
    address = {pid: address for address, pid in client.run(os.getpid).items()}
    dead, other = (address[worker.pid] for worker in workers)
    own = {*client.call_stack()[other]}
    workers[0].send_signal(signal.SIGSTOP)

    async def give_up(dask_scheduler: Any) -> None:
        await dask_scheduler.remove_worker(dead, stimulus_id="test")

    client.run_on_scheduler(give_up)
    service.release()
    # The other one takes over the entry, and waits for the image's lock.
    until(lambda: {*client.call_stack().get(other, ())} - own or batch.poll() is not None)
    workers[0].send_signal(signal.SIGCONT)
    out, err = batch.communicate(timeout=300)
    assert batch.returncode == 0, out + err
    folder.assert_each_was_imported_once()
    assert len(list((folder.path / "cloud" / ".emulator" / "jobs").glob("*.json"))) == 2


def test_a_batch_that_is_interrupted_goes_on_from_another_machine(
    tmp_path: Path, stack: ExitStack
) -> None:
    folder, cluster, _, batch, service = begin(tmp_path, stack, count=3)
    batch.send_signal(signal.SIGINT)
    _, err = batch.communicate(timeout=300)
    service.release()
    assert batch.returncode == 130, err
    assert "what runs on the cluster goes on there" in err
    assert "Traceback" not in err
    again = folder.start("--scheduler", cluster.address, "--json")
    stack.callback(end, again)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, out + err
    folder.assert_each_was_imported_once()


def test_a_scheduler_that_ends_fails_what_it_had_and_the_next_run_goes_on(
    tmp_path: Path, stack: ExitStack
) -> None:
    settings = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"}
    folder, cluster, _, batch, service = begin(tmp_path, stack, count=3, **settings)
    environment = cluster.environment
    cluster.scheduler.kill()
    out, err = batch.communicate(timeout=300)
    service.release()
    assert batch.returncode == 5, out + err
    assert "run again" in out
    # The workers end what they were at; then there is somebody else's work to go on with.
    until(lambda: goes_on_here(folder, environment), 300)
    folder.assert_each_was_imported_once()


def goes_on_here(folder: Folder, environment: dict[str, str]) -> bool:
    with folder.start("-q", env=environment) as batch:
        _, err = batch.communicate(timeout=300)
    assert batch.returncode == 0 or "another imsprep works on" in err, err
    return batch.returncode == 0


def test_a_scheduler_that_does_not_answer_is_wrong_usage(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 1)
    folder.write_plan({}, defaults=DEFAULTS + "  endpoint: http://127.0.0.1:1\n")
    with folder.start("--scheduler", "tcp://127.0.0.1:1") as batch:
        _, err = batch.communicate(timeout=120)
    assert batch.returncode == 2
    assert "no Dask scheduler answers at 'tcp://127.0.0.1:1'" in err
    assert "Traceback" not in err
