"""Uploads to a real object store on this machine, against `aws s3 cp` and `s3cmd put`.

The server is the JuiceFS gateway, which shares the processors with its clients, so that only ratios
mean anything; it copies zeros as dearly as it receives them, MD5 and all. Bytes on the wire are
counted by a relay between client and server, in a run of its own that is not timed. The same relay
is the line of 1 Gbit/s in the case that has one.

The peers have one way for a disk image, which is to send the RAW file. imsprep has two: the RAW
file with its zeros copied, and a ZVHD2, which has none. The second is timed from the RAW file to
the object, so packing counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.harness import Bench, Case, Goal, data_ranges
from benchmarks.inputs import GIB, MIB
from benchmarks.measure import Command, command
from imsprep.cloud.credentials import Credentials
from imsprep.store.obs import ObsStore, open_obs
from tests.support.store.gateway import ACCESS_KEY, SECRET_KEY, Gateway, Relay, program

JOBS = 4  # for ours and for aws; s3cmd sends one part after the other
PAGE = 4096
BUCKET, KEY = "bench", "disk.raw"
ENVIRONMENT = {
    "HUAWEICLOUD_SDK_AK": ACCESS_KEY,
    "HUAWEICLOUD_SDK_SK": SECRET_KEY,
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def cases(bench: Bench) -> Iterator[Case]:
    """Yield the cases; the server runs from the first to the last."""
    folder = bench.folder / "upload"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    gateway = Gateway(folder.absolute())
    gateway.start()
    try:
        keys = Credentials(ACCESS_KEY, SECRET_KEY)
        store = open_obs(BUCKET, endpoint=gateway.endpoint, region="us-east-1", credentials=keys)
        store.client.create_bucket(Bucket=BUCKET)
        yield from _cases(bench, gateway, store, folder)
        store.close()
    finally:
        gateway.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _cases(bench: Bench, gateway: Gateway, store: ObsStore, folder: Path) -> Iterator[Case]:
    sparse = bench.inputs.ext4(8 * GIB, 650 * MIB)
    random = bench.inputs.random(bench.size(3 * GIB, 256 * MIB))
    planned = bench.inputs.extents(bench.size(1 << 40, 64 * GIB), 512, bench.size(GIB, 64 * MIB))
    url, light = gateway.endpoint, Goal("memory_mib", "<=", 300)

    def before() -> None:
        empty(store)

    yield Case(
        "8 GiB ext4, 650 MiB of files", _ours(sparse, url), aws(sparse, url, folder), "aws s3 cp",
        (Goal("ratio", ">=", 4), Goal("wire_share", "<=", 1.05), light),
        before, _counted(sparse, gateway, store), runs=3,
    )  # fmt: skip
    yield Case(
        "8 GiB ext4, 650 MiB of files", _ours(sparse, url), _s3cmd(sparse, url, folder),
        "s3cmd put", (Goal("ratio", ">=", 4),), before, runs=3, memory=False,
    )  # fmt: skip
    for name, peer in (("aws s3 cp", aws), ("s3cmd put", _s3cmd)):
        yield Case(
            "8 GiB ext4, packed as ZVHD2 and sent", _packed(sparse, url, folder),
            peer(sparse, url, folder), f"{name} of the RAW file", (Goal("ratio", ">=", 4),),
            before, runs=3, memory=False,
        )  # fmt: skip
    with Relay(gateway.port, bytes_per_s=1e9 / 8) as line:
        yield Case(
            "8 GiB ext4 over 1 Gbit/s", _ours(sparse, line.endpoint),
            aws(sparse, line.endpoint, folder), "aws s3 cp", (Goal("ratio", ">=", 4),), before,
            runs=1, memory=False,
        )  # fmt: skip
    yield Case(
        f"{random.stat().st_size >> 20} MiB of random data", _ours(random, url),
        aws(random, url, folder), "aws s3 cp",
        (Goal("ratio", ">=", 1), light), before, runs=3, quick=True,
    )  # fmt: skip
    yield Case(
        f"{planned.stat().st_size >> 30} GiB in 512 pieces, planning",
        command(sys.executable, "-m", "imsprep", "upload", planned, "--to", "local:x", "--dry-run"),
        None, "-", (Goal("seconds", "<=", 1),), quick=True, memory=False,
    )  # fmt: skip


def _ours(image: Path, endpoint: str) -> Command:
    return command(
        sys.executable, "-m", "imsprep", "upload", image, "--to", f"obs:{BUCKET}", "--key", KEY,
        "--region", "us-east-1", "--endpoint", endpoint, "--jobs", JOBS, "-q", "--force",
        env=ENVIRONMENT,
    )  # fmt: skip


def _packed(image: Path, endpoint: str, folder: Path) -> Command:
    """Return the other route, both steps in one: RAW file to container, container to object."""
    container = folder / "disk.zvhd2"
    imsprep = f"{sys.executable} -m imsprep"
    target = f"--to obs:{BUCKET} --key disk.zvhd2 --region us-east-1 --endpoint {endpoint}"
    return command(
        "sh", "-c",
        f"{imsprep} convert {image} {container} -q --force"
        f" && exec {imsprep} upload {container} {target} --jobs {JOBS} -q --force",
        env=ENVIRONMENT,
    )  # fmt: skip


def aws(image: Path, url: str, folder: Path) -> Command:
    settings = folder / "aws"
    settings.write_text(
        f"[default]\ns3 =\n  max_concurrent_requests = {JOBS}\n  addressing_style = path\n"
    )
    return command(
        program("aws") or "aws", "--endpoint-url", url, "s3", "cp", "--no-progress",
        image, f"s3://{BUCKET}/{KEY}", env={**ENVIRONMENT, "AWS_CONFIG_FILE": str(settings)},
    )  # fmt: skip


def _s3cmd(image: Path, url: str, folder: Path) -> Command:
    settings, host = folder / "s3cfg", url.removeprefix("http://")
    settings.write_text(
        f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\nhost_base = {host}\n"
        f"host_bucket = {host}\nuse_https = False\n"
    )
    return command(
        program("s3cmd") or "s3cmd", "-c", settings, "--no-progress", "put", image,
        f"s3://{BUCKET}/{KEY}",
    )  # fmt: skip


def empty(store: ObsStore) -> None:
    for found in store.list_objects():
        store.delete(found.key)


def _counted(image: Path, gateway: Gateway, store: ObsStore) -> Callable[[], Mapping[str, float]]:
    """Return what gives the bytes on the wire by the bytes of data; counts once."""
    found: dict[str, float] = {}

    def count() -> Mapping[str, float]:
        if not found:
            empty(store)
            with Relay(gateway.port) as relay:
                ours = _ours(image, relay.endpoint)
                environment = {**os.environ, **ours.env}
                subprocess.run(ours.argv, env=environment, check=True, stdout=subprocess.DEVNULL)
            found["wire_share"] = relay.count / data_bytes(image)
        return found

    return count


def data_bytes(image: Path) -> int:
    """Return the bytes in pages that hold anything but zeros; holes are not read."""
    pages = 0
    with open(image, "rb", buffering=0) as file:
        for start, end in data_ranges(file.fileno()):
            for offset in range(start, end, 8 * MIB):
                data = os.pread(file.fileno(), min(8 * MIB, end - offset), offset)
                whole = np.frombuffer(data.ljust(-(-len(data) // PAGE) * PAGE, b"\0"), np.uint64)
                pages += int(whole.reshape(-1, PAGE // 8).any(axis=1).sum())
    return pages * PAGE
