"""SIGKILL at random instants, on every store that there is: `make kills`.

Whatever is killed, the next run ends with the same object, and nothing is left of the others.
IMSPREP_KILLS says how many kills a store takes, IMSPREP_SEED gives other instants.
"""

from __future__ import annotations

import os
import secrets
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
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, Gateway, Seaweed, program
from tests.support.store_suite import pattern

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif("IMSPREP_KILLS" not in os.environ, reason="make kills"),
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
            store._client.create_bucket(Bucket=name)
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


def test_uploads_that_are_killed_end_as_one_object(disk: Path, place: Place) -> None:
    store, where = place
    environment = {
        **os.environ, "HUAWEICLOUD_SDK_AK": ACCESS_KEY, "HUAWEICLOUD_SDK_SK": SECRET_KEY,
    }  # fmt: skip
    command = [sys.executable, "-m", "imsprep", "upload", str(disk), *where, "--part-size", "10m"]
    random, wanted = Random(os.environ.get("IMSPREP_SEED", "2")), int(os.environ["IMSPREP_KILLS"])

    def run(limit_s: float | None) -> int:
        with subprocess.Popen([*command, "-q"], env=environment, stdout=-3) as upload:
            try:
                return upload.wait(limit_s)
            except subprocess.TimeoutExpired:
                upload.kill()
                return upload.wait()

    began = time.monotonic()
    assert run(None) == 0
    whole_s = time.monotonic() - began
    killed = 0
    for _ in range(4 * wanted):
        if killed >= wanted:
            break
        store.delete("disk.raw")
        while killed < wanted and run(random.uniform(0.2, 1.1) * whole_s) == -signal.SIGKILL:
            killed += 1
        assert run(None) == 0
        assert store.read("disk.raw", 0, 4 * EVERY + 1) == disk.read_bytes()
        assert [found.key for found in store.list_objects()] == ["disk.raw"]
        assert store.list_uploads() == []
        assert sorted(p.name for p in disk.parent.glob("disk.raw*")) == ["disk.raw"]
        assert leftovers(disk.parent) == []
    assert killed >= wanted
