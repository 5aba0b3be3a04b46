"""The disk that is served is the disk, to our client and to QEMU's."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from imsprep.image.disk import ByteExtent
from imsprep.trial.nbd_server import exported
from tests.support.running import need


class Bytes:
    """A disk in memory."""

    def __init__(self, data: bytes) -> None:
        self.path, self.size, self._data = Path("disk"), len(data), data

    def extents(self) -> Iterator[ByteExtent]:
        yield 0, self.size, True

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        if offset + len(buffer) > 1 << 20:
            raise OSError("a bad sector")
        buffer[:] = self._data[offset : offset + len(buffer)]

    def check_unchanged(self) -> None:
        """It never does."""


@need("qemu-img")
def test_qemu_reads_the_disk_that_is_served(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(700_001)  # not whole sectors
    out = tmp_path / "out.raw"
    with exported(Bytes(data), tmp_path) as address:
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", address, out], check=True)
    assert out.read_bytes() == data.ljust(-(-len(data) // 512) * 512, b"\0")


@need("qemu-img")
def test_what_cannot_be_read_is_an_error_there(tmp_path: Path) -> None:
    with exported(Bytes(bytes(2 << 20)), tmp_path) as address:
        done = subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", address,
                               tmp_path / "out.raw"], capture_output=True)  # fmt: skip
    assert done.returncode != 0
