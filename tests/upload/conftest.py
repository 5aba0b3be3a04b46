"""The image that uploads are tried with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from imsprep.image.blockmap import BlockMap
from imsprep.store.directory import DirectoryStore
from imsprep.units import MIB
from imsprep.upload.journal import Journal
from imsprep.upload.plan import plan_parts, plan_plain
from tests.support.upload.case import (
    LAYOUT,
    Case,
    block,
)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(len(LAYOUT) * MIB)
        for n, full in enumerate(LAYOUT):
            if full:
                os.pwrite(file.fileno(), block(n), n * MIB)
    flags = np.array(LAYOUT, dtype=bool)
    plan = plan_parts(BlockMap.from_flags(len(LAYOUT) * MIB, MIB, flags), part_size=10 * MIB)
    return Case(path, plan, DirectoryStore(tmp_path / "bucket"), Journal.for_file(path))


@pytest.fixture
def small(case: Case) -> Case:
    """An image of which everything is sent, in one part."""
    os.truncate(case.path, MIB)
    case.plan = plan_plain(MIB)
    return case
