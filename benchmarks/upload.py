"""Upload one image to a real object store, with imsprep and its peers in turn; print the ratios.

Needs the dependency groups `e2e` and `peers`, and mkfs.ext4. The server is the JuiceFS gateway on
loopback; it shares the processors with the client, so only ratios mean anything.

    python -m benchmarks.upload sparse      8 GiB ext4 image with 650 MiB of files
    python -m benchmarks.upload random      3 GiB of random data
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from imsprep.credentials import Credentials
from imsprep.obs import open_obs
from imsprep.units import GIB, MIB
from tests.gateway import ACCESS_KEY, SECRET_KEY, Gateway, program

JOBS = "4"


def make_sparse(path: Path) -> None:
    """An ext4 file system of 8 GiB with 130 files of 5 MiB."""
    with tempfile.TemporaryDirectory(dir=path.parent) as tree:
        for n in range(130):
            Path(tree, f"file{n:03}").write_bytes(os.urandom(5 * MIB))
        with open(path, "wb") as file:
            file.truncate(8 * GIB)
        subprocess.run(["mkfs.ext4", "-q", "-d", tree, str(path)], check=True)


def make_random(path: Path) -> None:
    with open(path, "wb") as file:
        for _ in range(3 * GIB // (64 * MIB)):
            file.write(os.urandom(64 * MIB))


def commands(image: Path, gateway: Gateway, folder: Path) -> dict[str, list[str]]:
    """The contestants' command lines; each writes an object of its own name."""
    aws = folder / "aws"
    aws.write_text(
        f"[default]\ns3 =\n  max_concurrent_requests = {JOBS}\n  addressing_style = path\n"
    )
    host = gateway.endpoint.removeprefix("http://")
    s3cmd = folder / "s3cfg"
    s3cmd.write_text(
        f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\nhost_base = {host}\n"
        f"host_bucket = {host}\nuse_https = False\n"
    )
    return {
        "imsprep": [
            sys.executable,
            "-m",
            "imsprep",
            "upload",
            str(image),
            "--to",
            "obs:bench",
            "--key",
            "imsprep",
            "--region",
            "us-east-1",
            "--endpoint",
            gateway.endpoint,
            "--jobs",
            JOBS,
            "-q",
            "--force",
        ],
        "aws s3 cp": [
            program("aws") or "aws",
            "--endpoint-url",
            gateway.endpoint,
            "s3",
            "cp",
            "--no-progress",
            str(image),
            "s3://bench/aws",
        ],
        "s3cmd put": [
            program("s3cmd") or "s3cmd",
            "-c",
            str(s3cmd),
            "--no-progress",
            "put",
            str(image),
            "s3://bench/s3cmd",
        ],
    }


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """Return seconds, and the peak of memory in MiB."""
    environment = {
        **os.environ,
        "HUAWEICLOUD_SDK_AK": ACCESS_KEY,
        "HUAWEICLOUD_SDK_SK": SECRET_KEY,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "aws"),
    }
    start = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=["sparse", "random"])
    parser.add_argument("--folder", help="where there is room for the image and the objects")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        image = folder / "disk.raw"
        (make_sparse if arguments.case == "sparse" else make_random)(image)
        data = image.stat().st_blocks * 512
        gateway = Gateway(folder)
        gateway.start()
        try:
            keys = Credentials(ACCESS_KEY, SECRET_KEY)
            store = open_obs(
                "bench", endpoint=gateway.endpoint, region="us-east-1", credentials=keys
            )
            store._client.create_bucket(Bucket="bench")
            print(f"{arguments.case}: {image.stat().st_size} bytes, {data} of them on disk")
            ours = None
            for contestant, command in commands(image, gateway, folder).items():
                seconds, memory = run(command, folder)
                ours = ours or seconds
                print(f"{contestant:10} {seconds:7.1f} s {memory:6.0f} MiB {seconds / ours:6.2f}x")
                for found in store.list_objects():
                    store.delete(found.key)
            store.close()
        finally:
            gateway.kill()


if __name__ == "__main__":
    main()
