"""What else a superblock says: features of ext, and the UUID in a backup of one that is gone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imsprep.guest.fs.features import of
from imsprep.guest.model import UNKNOWN
from imsprep.image.volumes.signatures import EXT4
from tests.conftest import need
from tests.support.guest.trees import UUID


@need("mkfs.ext4")
@pytest.mark.parametrize(("block", "size"), [("1024", 16 << 20), ("2048", 40 << 20), ("4096", 160 << 20)])  # fmt: skip
def test_the_backup_of_a_superblock_that_is_gone_has_its_uuid(
    tmp_path: Path, block: str, size: int
) -> None:
    path = tmp_path / "ext4.img"
    with path.open("wb") as file:
        file.truncate(size)
    made = ["mkfs.ext4", "-q", "-F", "-b", block, "-U", UUID, "-O", "metadata_csum_seed", path]
    subprocess.run(made, check=True, capture_output=True)
    with path.open("r+b") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        assert "metadata_csum_seed" in of(read, EXT4)["features"]
        file.seek(1024)
        file.write(bytes(1024))
        assert of(read, UNKNOWN) == {"lost": UUID}
        assert of(lambda offset, length: bytes(length), UNKNOWN) == {"lost": None}
        assert of(lambda offset, length: b"", UNKNOWN) == {"lost": None}
