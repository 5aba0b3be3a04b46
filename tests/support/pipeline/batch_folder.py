"""A folder with images and a plan of a batch."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.ims.imscloud import sha256

MIB = 1 << 20


DEFAULTS = """\
defaults:
  via: raw
  to: local:cloud
  min-disk: 40
  os-version: Debian GNU/Linux 10.0.0 64bit
  poll: 0.05
"""


def make_disk(path: Path, seed: int) -> Path:
    """A RAW disk of 24 MiB that is mostly holes; the seed is its content."""
    with path.open("wb") as file:
        file.truncate(24 * MIB)
        file.write(b"\xeb" + bytes(509) + b"\x55\xaa")
        file.seek(3 * MIB + 5)
        file.write(random.Random(seed).randbytes(4000))
    return path


class Folder:
    """A folder with disks, a plan for them, and what the emulator made of them."""

    def __init__(self, path: Path, count: int = 3) -> None:
        self.path, self.plan = path, path / "plan.yaml"
        self.disks = [make_disk(path / f"web{n}.raw", n) for n in range(count)]
        self.write_plan(*({} for _ in self.disks))

    def write_plan(self, *entries: dict[str, Any], defaults: str = DEFAULTS) -> None:
        lines = [defaults + "images:"]
        for n, entry in enumerate(entries):
            lines.append(f"  - {json.dumps({'image': f'web{n}.raw', 'name': f'web{n}', **entry})}")
        self.plan.write_text("\n".join(lines) + "\n")

    def images(self) -> list[dict[str, Any]]:
        """The images that the service lists."""
        found = (self.path / "cloud" / ".emulator" / "images").glob("*.json")
        return [json.loads(path.read_text()) for path in found]

    def assert_each_was_imported_once(self) -> None:
        assert sorted(i["body"]["name"] for i in self.images()) == sorted(
            d.stem for d in self.disks
        )
        for image in self.images():
            source = self.path / f"{image['body']['name']}.raw"
            assert image["status"] == "active"
            assert sha256(Path(image["disk"]["path"]).read_bytes()) == sha256(source.read_bytes())

    def start(self, *options: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "imsprep", "batch", str(self.plan), *options]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env or os.environ
        )  # fmt: skip
