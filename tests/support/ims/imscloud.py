"""A bucket folder with an uploaded image, and an emulator and a client over it, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imsprep.cloud.credentials import Credentials
from imsprep.cloud.endpoints import Endpoints
from imsprep.emulator.app import EmulatorApp, Settings
from imsprep.emulator.server import serving
from imsprep.ims.client import ImsClient
from imsprep.ims.request import QuickImportRequest
from imsprep.store.contract import ObjectFacts
from imsprep.units import MIB

KEY = Credentials("AKTEST", "SKTEST-do-not-show")
REQUEST = QuickImportRequest("web01", "images:disk.raw", 10, os_version="Ubuntu 18.04 server 64bit")
BLOCK = 2 * MIB


class Objects:
    """Objects in memory: what the emulator needs of a bucket."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = {k.replace("__", "/").replace("_", "."): v for k, v in objects.items()}
        self.storage_class = "STANDARD"

    def head(self, key: str) -> ObjectFacts | None:
        data = self.objects.get(key)
        if data is None:
            return None
        return ObjectFacts(key, len(data), "etag", self.storage_class, None, {})

    def read(self, key: str, offset: int, length: int) -> bytes:
        return self.objects[key][offset : offset + length]


def raw_disk() -> tuple[bytes, bytes]:
    """A disk of five and a half blocks, data in blocks 1, 4 and the short last one; its bitmap."""
    disk = bytearray(5 * BLOCK + MIB)
    for offset in (BLOCK + 7, 4 * BLOCK, len(disk) - 1):
        disk[offset] = 0xA5
    return bytes(disk), bytes([0b110010])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def cloud(
    folder: Path, objects: Objects | None = None, **settings: Any
) -> Iterator[tuple[EmulatorApp, str, Objects]]:
    if objects is None:
        disk, bitmap = raw_disk()
        objects = Objects(disk_raw=disk, disk_mf=bitmap)
    buckets = {"images": objects}
    given = Settings(KEY.access_key, KEY.secret_key, buckets.get, folder, **settings)
    with serving(given) as (emulator, url):
        yield emulator, url, objects


def client(
    url: str, credentials: Credentials = KEY, job_query: Any = "progress", **options: Any
) -> ImsClient:
    return ImsClient(Endpoints(url, url, "eu-de", job_query), credentials, **options)
