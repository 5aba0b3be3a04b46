"""An image, a bucket and an emulator: all that an import needs, to be imported again and again."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from imsprep.emulator.app import Settings
from imsprep.emulator.faults import Faults
from imsprep.emulator.server import serving
from imsprep.image.blockmap import BlockMap
from imsprep.image.identity import Identity
from imsprep.ims.wait import PollPolicy
from imsprep.options import DigestOptions
from imsprep.pipeline import manifest as manifests
from imsprep.pipeline.digests import digest_image
from imsprep.pipeline.manifest import Manifest
from imsprep.pipeline.ship import ship
from imsprep.pipeline.values import Artefact, Prepared, ShipTask
from imsprep.report import Report
from imsprep.store.directory import DirectoryStore
from imsprep.units import MIB
from imsprep.upload.plan import plan_parts, plan_plain
from imsprep.upload.values import TransferPolicy
from imsprep.zvhd2.source import OpenImage
from tests.support.ims.answers import Clock
from tests.support.ims.imscloud import KEY, REQUEST, client

BLOCK = 2 * MIB


BLOCKS = 40


def make_image(folder: Path, seed: int = 1) -> Prepared:
    """A RAW disk with some blocks of data, its bitmap, and the plan for both."""
    folder.mkdir(exist_ok=True)
    choice = random.Random(seed)
    flags = np.array([choice.random() < 0.3 for _ in range(BLOCKS)])
    flags[BLOCKS // 2] = True
    size = BLOCKS * BLOCK - 512
    image, bitmap = folder / "disk.raw", folder / "disk.mf"
    with image.open("wb") as file:
        for block in np.flatnonzero(flags):
            file.seek(int(block) * BLOCK)
            file.write(choice.randbytes(1000) + b"\x01")
        file.truncate(size)
    block_map = BlockMap.from_flags(size, BLOCK, flags)
    bitmap.write_bytes(block_map.bits.tobytes())
    artefacts = (
        Artefact("image", image, "disk.raw", plan_parts(block_map), Identity.of(image)),
        Artefact(
            "bitmap", bitmap, "disk.mf", plan_plain(bitmap.stat().st_size), Identity.of(bitmap)
        ),
    )
    identity = Identity.of(image)
    report = Report("disk.raw")
    return Prepared(image, size, block_map.data_bytes, identity, artefacts, REQUEST, report)


def digest_of(image: OpenImage) -> str:
    return digest_image(image, DigestOptions())


class Place:
    """A folder with an image, a bucket, and an emulator that can be started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        (folder / "cloud" / "images").mkdir(parents=True)
        self.store = DirectoryStore(folder / "cloud" / "images")
        self.prepared = make_image(folder / "local")
        self.jobs: list[str] = []

    def forget_images(self) -> None:
        """Delete every image that the emulator has made."""
        for image in self.running.board.images():
            self.running.board.delete(image.image_id)

    @contextmanager
    def emulator(self, **faults: Any) -> Iterator[Callable[..., Any]]:
        settings = Settings(
            KEY.access_key,
            KEY.secret_key,
            self.bucket,
            self.folder / "state",
            faults=Faults(**faults),
        )
        with serving(settings) as (emulator, url):
            self.running, self.service = emulator, client(url)

            def go(opened: OpenImage | None = None, **changes: Any) -> Any:
                shipping = ShipTask(
                    self.store, "images", "local", client(url), "emulator", PollPolicy(self.nap, self.clock),
                    digest_of, lambda **_: None, TransferPolicy(), on_job=self.jobs.append,
                )  # fmt: skip
                if opened is not None:
                    return ship(self.prepared, opened, replace(shipping, **changes))
                with OpenImage.open(self.prepared.image) as image:
                    return ship(self.prepared, image, replace(shipping, **changes))

            yield go

    def bucket(self, name: str) -> Any:
        return self.store if name == "images" else None

    def nap(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        threading.Event().wait(0.02)

    def manifest(self) -> Manifest:
        found = manifests.read(self.folder / "local" / "disk.imsprep.json")
        assert found is not None
        return found


def schema() -> Any:
    text = resources.files("imsprep").joinpath("data", "manifest-1.json").read_text()
    return json.loads(text)
