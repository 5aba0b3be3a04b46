"""SIGKILL at random instants, on every store that there is: `make kills`.

Whatever is killed, the next run ends with the same object, and nothing is left of the others.
IMSPREP_KILLS says how many kills a store takes, IMSPREP_SEED gives other instants.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from imsprep.cloud.credentials import Credentials
from imsprep.store.contract import ObjectStore
from imsprep.store.directory import DirectoryStore
from imsprep.store.obs import open_obs
from imsprep.system.atomic import leftovers
from imsprep.units import MIB
from tests.support.store.gateway import ACCESS_KEY, SECRET_KEY, Gateway, Seaweed, program
from tests.support.store.suite import pattern

KILLS = int(os.environ.get("IMSPREP_KILLS", 0))
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not KILLS, reason="make kills"),
    pytest.mark.timeout(300 + 60 * KILLS),
]
PIECE, EVERY = 12 * MIB, 30 * MIB
Place = tuple[ObjectStore, list[str]]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with open(path, "wb") as file:
        for number in range(4):
            file.seek(number * EVERY)
            file.write(pattern(PIECE, number))
        file.truncate(4 * EVERY)
    return path


def bucket_at(endpoint: str) -> Place:
    """Make a bucket at an S3 endpoint; give it, and the options that lead there."""
    name = f"kills-{secrets.token_hex(6)}"
    keys = Credentials(ACCESS_KEY, SECRET_KEY)
    store: Any = open_obs(name, endpoint=endpoint, region="us-east-1", credentials=keys)

    for left in range(60, -1, -1):
        try:
            store.client.create_bucket(Bucket=name)
            break
        except Exception:  # a server that has just started may not be ready for it
            if not left:
                raise
            time.sleep(1)
    return store, ["--to", f"obs:{name}", "--region", "us-east-1", "--endpoint", endpoint]


@pytest.fixture(params=["folder", "moto", "juicefs", "weed"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind = request.param
    if kind == "folder":
        yield DirectoryStore(tmp_path / "cloud/images"), ["--to", f"local:{tmp_path}/cloud"]
    elif kind == "moto":
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        yield bucket_at(f"http://127.0.0.1:{server.get_host_and_port()[1]}")
        server.stop()
    else:
        if program(kind) is None:
            pytest.skip(f"not installed: {kind} (make kills)")
        (tmp_path / kind).mkdir()
        made: Callable[[Path], Any] = Gateway if kind == "juicefs" else Seaweed
        gateway = made(tmp_path / kind)
        gateway.start()
        try:
            store, where = bucket_at(gateway.endpoint)
            # Copies of SeaweedFS have other ETags from some length on.
            yield store, where if kind == "juicefs" else [*where, "--no-copy"]
        finally:
            gateway.kill()


ENVIRONMENT = {
    **os.environ, "HUAWEICLOUD_SDK_AK": ACCESS_KEY, "HUAWEICLOUD_SDK_SK": SECRET_KEY,
}  # fmt: skip


def kill_often(
    words: list[str], begin: Callable[[], object], check: Callable[[], object]
) -> tuple[int, int]:
    """Kill a command at random instants, and let it end; count the kills, and those with an end.

    `begin` is called before a series of kills, `check` when the command has ended by itself.
    """
    command = [sys.executable, "-m", "imsprep", *words, "-q"]
    random = Random(os.environ.get("IMSPREP_SEED", "2"))

    def run(limit_s: float | None) -> int:
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=-3) as process:
            try:
                return process.wait(limit_s)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()

    began = time.monotonic()
    assert run(None) == 0
    whole_s = time.monotonic() - began
    killed = ended = 0
    for _ in range(4 * KILLS):
        if killed >= KILLS:
            break
        begin()
        while killed < KILLS:
            began = time.monotonic()
            if run(random.uniform(0.2, 1.1) * whole_s) != -signal.SIGKILL:
                # It ended before the instant that was drawn: the next ones are to fall earlier.
                whole_s = min(whole_s, time.monotonic() - began)
                break
            killed += 1
        assert run(None) == 0
        check()
        ended += 1
    assert killed >= KILLS
    return killed, ended


def test_uploads_that_are_killed_end_as_one_object(disk: Path, place: Place) -> None:
    store, where = place

    def check() -> None:
        assert store.read("disk.raw", 0, 4 * EVERY + 1) == disk.read_bytes()
        assert [found.key for found in store.list_objects()] == ["disk.raw"]
        check_tidy(store, disk)

    kill_often(
        ["upload", str(disk), *where, "--part-size", "10m"],
        lambda: store.delete("disk.raw"),
        check,
    )


def test_disks_that_are_packed_while_they_are_sent_end_as_one_object(
    disk: Path, place: Place
) -> None:
    store, where = place
    where = [word for word in where if word != "--no-copy"]
    where = [where[where.index("--to") + 1], *where[2:]]
    expected = packed(disk)

    def check() -> None:
        assert store.read("disk.zvhd2", 0, len(expected) + 1) == expected
        assert [found.key for found in store.list_objects()] == ["disk.zvhd2"]
        check_tidy(store, disk)

    kill_often(
        ["convert", str(disk), *where, "--part-size", "10m"],
        lambda: store.delete("disk.zvhd2"),
        check,
    )


def test_streamed_imports_that_are_killed_end_as_one_object_and_one_image(
    disk: Path, tmp_path: Path
) -> None:
    store, expected = DirectoryStore(tmp_path / "cloud/images"), packed(disk)

    def begin() -> None:
        shutil.rmtree(tmp_path / "cloud")
        disk.with_suffix(".imsprep.json").unlink()

    def check() -> None:
        assert store.read("disk.zvhd2", 0, len(expected) + 1) == expected
        [made] = (tmp_path / "cloud/.emulator/disks").glob("*.raw")
        assert made.read_bytes()[: 4 * EVERY] == disk.read_bytes()
        check_tidy(store, disk)

    request = ["--name", "killed", "--type", "DataImage", "--min-disk", "40"]
    to = f"local:{tmp_path}/cloud"
    kill_often(["import", str(disk), *request, "--to", to, "--part-size", "10m"], begin, check)


def packed(disk: Path) -> bytes:
    """The container of the image's date, as a file of its own."""
    place = disk.parent / "expected" / "disk.zvhd2"
    place.parent.mkdir()
    date = str(int(disk.stat().st_mtime))
    command = [sys.executable, "-m", "imsprep", "convert", str(disk), str(place), "-q"]
    subprocess.run([*command, "--timestamp", date], check=True, stdout=-3)
    return place.read_bytes()


def check_tidy(store: ObjectStore, disk: Path) -> None:
    """Nothing is left of runs that were killed."""
    assert store.list_uploads() == []
    left = {path.name for path in disk.parent.glob("disk.*")} - {"disk.imsprep.json"}
    assert left == {"disk.raw"}
    assert leftovers(disk.parent) == []
