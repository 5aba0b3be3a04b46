"""End to end against a real server on disk: `make e2e` installs it and runs these."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("botocore", reason="not installed: botocore")

from botocore.exceptions import BotoCoreError, ClientError

from imsprep.cloud.credentials import Credentials
from imsprep.options import UploadOptions
from imsprep.store.contract import MIN_PART_SIZE
from imsprep.store.obs import ObsStore, open_obs
from imsprep.units import MIB
from imsprep.upload.file import plan_file
from tests.support.store.gateway import (
    ACCESS_KEY,
    SECRET_KEY,
    Gateway,
    Relay,
    Seaweed,
    Server,
    emulating,
    program,
)  # fmt: skip
from tests.support.store.suite import StoreSuite, pattern

told = logging.getLogger(__name__)  # pytest --log-cli-level=INFO shows it
pytestmark = [
    pytest.mark.e2e,
    *(
        pytest.mark.skipif(program(name) is None, reason=f"not installed: {name} (make e2e)")
        for name in ("juicefs", "weed")
    ),
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    server = Gateway(tmp_path_factory.mktemp("gateway"))
    server.start()
    yield server
    server.kill()


@contextmanager
def new_bucket(server: Server) -> Iterator[ObsStore]:
    bucket = f"test-{secrets.token_hex(6)}"
    keys = Credentials(ACCESS_KEY, SECRET_KEY)
    store = open_obs(bucket, endpoint=server.endpoint, region="us-east-1", credentials=keys)
    make(store, bucket)
    yield store
    store.close()


def make(store: ObsStore, bucket: str) -> None:
    """Make a bucket; for a minute a server that has just started may not be ready for it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            store.client.create_bucket(Bucket=bucket)
        except (ClientError, BotoCoreError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


@pytest.fixture
def store(gateway: Gateway) -> Iterator[ObsStore]:
    with new_bucket(gateway) as store:
        yield store


class TestGateway(StoreSuite):
    minds_small_parts = False  # JuiceFS takes them


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("weed"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def other_store(seaweed: Seaweed) -> Iterator[ObsStore]:
    with new_bucket(seaweed) as store:
        yield store


class TestSeaweed(StoreSuite):
    copies_have_md5 = False
    forgets_replaced_parts = False

    @pytest.fixture
    def store(self, other_store: ObsStore) -> ObsStore:
        return other_store


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_disk(tmp_path, every=120 * MIB)


def make_disk(folder: Path, *, every: int) -> Path:
    """Make an image of six pieces of data, 16 MiB each, which begin so many bytes apart."""
    path = folder / "disk.raw"
    with open(path, "wb") as file:
        for n in range(6):
            file.seek(n * every)
            file.write(pattern(16 * MIB, n))
        file.truncate(6 * every + 80 * MIB)
    return path


ENVIRONMENT = {
    **os.environ,
    "HUAWEICLOUD_SDK_AK": ACCESS_KEY,
    "HUAWEICLOUD_SDK_SK": SECRET_KEY,
}
IMSPREP = [sys.executable, "-m", "imsprep"]


def start_upload(
    server: Server | Relay, store: ObsStore, disk: Path, *options: str
) -> subprocess.Popen[bytes]:
    command = [
        *IMSPREP, "upload", str(disk), "--to", f"obs:{store.bucket}", "--region", "us-east-1",
        "--endpoint", server.endpoint, "--part-size", "10m", "-q", *options,
    ]  # fmt: skip
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)


def assert_same(store: ObsStore, disk: Path) -> None:
    """The object is the image, byte for byte, and nothing else is left."""
    ours, theirs = hashlib.sha256(), hashlib.sha256()
    size = disk.stat().st_size
    with open(disk, "rb") as file:
        for offset in range(0, size, 64 * MIB):
            ours.update(file.read(64 * MIB))
            theirs.update(store.read("disk.raw", offset, 64 * MIB))
    assert ours.digest() == theirs.digest()
    assert [(o.key, o.size) for o in store.list_objects()] == [("disk.raw", size)]
    assert store.list_uploads() == []


@pytest.mark.parametrize("megabytes", [150, 153])
def test_a_store_whose_copies_have_other_etags_is_used_or_refused_with_what_works(
    seaweed: Seaweed, other_store: ObsStore, disk: Path, megabytes: int
) -> None:
    """SeaweedFS: composite ETags, which are let pass, and for some lengths those of other bytes."""
    os.truncate(disk, megabytes * MIB)
    code = start_upload(seaweed, other_store, disk).wait()
    assert code in (0, 6)
    if code == 6:
        assert other_store.head("disk.raw") is None
        assert start_upload(seaweed, other_store, disk, "--no-copy").wait() == 0
    assert_same(other_store, disk)


@pytest.mark.parametrize("options", [(), ("--no-copy", "--part-size", "128m")])
def test_an_image_arrives_whole(
    gateway: Gateway, store: ObsStore, disk: Path, options: tuple[str, ...]
) -> None:
    assert start_upload(gateway, store, disk, *options).wait() == 0
    assert_same(store, disk)


def test_the_server_is_killed_and_started_again(
    gateway: Gateway, store: ObsStore, disk: Path
) -> None:
    upload = start_upload(gateway, store, disk, "--limit-rate", "40m")
    for _ in range(2):
        time.sleep(1.2)
        gateway.kill()
        time.sleep(0.5)
        gateway.start()
    assert upload.wait() == 0
    assert_same(store, disk)


@pytest.mark.slow
def test_the_client_is_killed_at_random_instants(
    gateway: Gateway, store: ObsStore, tmp_path: Path
) -> None:
    """SIGKILL twice, then to the end: the same object, and only parts in flight are sent again.

    IMSPREP_KILLS and IMSPREP_SEED make a longer run, and another one.
    """
    random = Random(int(os.environ.get("IMSPREP_SEED", "2")))
    wanted = int(os.environ.get("IMSPREP_KILLS", "4"))
    disk = make_disk(tmp_path, every=40 * MIB)
    killed = 0
    for _ in range(2 * wanted):  # an upload may end before its kill
        killed += kill_and_finish(gateway, store, disk, random)
        store.delete("disk.raw")
        if killed >= wanted:
            return
    pytest.fail(f"{2 * wanted} rounds killed only {killed} uploads before they ended")


def kill_and_finish(gateway: Gateway, store: ObsStore, disk: Path, random: Random) -> int:
    """Kill two uploads of an image, let a third one end, and look at what it made."""
    plan = plan_file(disk, UploadOptions(part_size=10 * MIB))
    in_flight = UploadOptions().jobs * max(part.sent for part in plan.parts)
    killed = 0
    # Slow enough that parts are on their way at most instants.
    with Relay(gateway.port, bytes_per_s=60 * MIB) as relay:
        for _ in range(2):
            upload = start_upload(relay, store, disk)
            enough = relay.count + random.uniform(0, max(0, plan.sent - relay.count))
            while upload.poll() is None and relay.count < enough:
                time.sleep(0.005)
            time.sleep(random.uniform(0, 0.7))
            upload.kill()
            killed += upload.wait() == -signal.SIGKILL
        assert start_upload(relay, store, disk).wait() == 0
    runs = 1 + killed
    # The seed of the zero object may be sent in each run, and requests have heads.
    around = runs * MIN_PART_SIZE + len(plan.parts) * runs * 4096
    twice = relay.count - plan.sent
    told.info(
        "killed %d, sent %d of %d bytes twice, with all around them", killed, twice, plan.sent
    )
    assert twice <= killed * in_flight + around
    assert_same(store, disk)
    return killed


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["raw", "zvhd2"])
def test_an_import_through_the_gateway_makes_the_same_disk(
    gateway: Gateway, store: ObsStore, tmp_path: Path, format_: str
) -> None:
    image = tmp_path / "disk.raw"
    with open(image, "wb") as file:
        file.write(b"\xeb" + bytes(509) + b"\x55\xaa")
        for n in range(6):
            file.seek((3 + n * 40) * MIB)
            file.write(pattern(7 * MIB + n, n))
        # The disk of a ZVHD2 is rounded up to a whole GiB.
        file.truncate(256 * MIB if format_ == "raw" else 1024 * MIB)
    with open(image, "rb") as file:
        source = hashlib.file_digest(file, "sha256").hexdigest()
    if format_ == "zvhd2":
        packed = image.with_suffix(".zvhd2")
        subprocess.run([*IMSPREP, "convert", image, packed, "-q"], check=True, env=ENVIRONMENT)
        image = packed
    with emulating(gateway, tmp_path / "cloud") as url:
        done = subprocess.run(
            [*IMSPREP, "import", image, "--via", "raw" if format_ == "raw" else "auto", "--name", "web01", "--min-disk", "10", "--os-version",
             "Ubuntu 18.04 server 64bit", "--to", f"obs:{store.bucket}", "--region", "us-east-1",
             "--obs-endpoint", gateway.endpoint, "--endpoint", url, "--poll", "0.2", "--json"],
            env=ENVIRONMENT, capture_output=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [made] = (tmp_path / "cloud" / ".emulator" / "disks").glob("*.raw")
    assert made.stem == json.loads(done.stdout)["image_id"]
    with open(made, "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == source
