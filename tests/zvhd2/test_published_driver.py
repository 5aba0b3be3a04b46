"""The judge is right: it reads the files that the published driver wrote, and refuses others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.zvhd2 import goldens
from tests.support.zvhd2.published_driver import BLOCK, DriverError, PublishedDriver


def driver(tmp_path: Path, data: bytes) -> PublishedDriver:
    path = tmp_path / "disk.zvhd2"
    path.write_bytes(data)
    return PublishedDriver(path)


@pytest.mark.parametrize("name", goldens.NAMES)
def test_it_reads_what_the_driver_wrote(name: str, tmp_path: Path) -> None:
    facts = goldens.FACTS[name]
    read = driver(tmp_path, goldens.golden(name))
    assert read.size == facts["virtual_size"]
    stored = set(facts["nonzero_blocks"])
    for block in {*stored, *(b + 1 for b in stored), 0, facts["blocks"] - 1}:
        if block < facts["blocks"]:
            assert read.block(block) == goldens.disk_bytes(name, block * BLOCK, BLOCK)


@pytest.mark.parametrize(("at", "value"), [(-4096, 0), (-4096 + 64, 7), (-4096 + 96, 1)])
def test_it_refuses_a_damaged_footer(at: int, value: int, tmp_path: Path) -> None:
    data = bytearray(goldens.golden("one_block"))
    data[at] ^= value or 0xFF
    with pytest.raises(DriverError):
        driver(tmp_path, bytes(data))
