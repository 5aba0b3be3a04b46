"""The scan of a disk that is no file finds what the scan of the file finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.image.file import RawImage
from imsprep.options import ScanOptions
from imsprep.scan.by_reader import scan_disk
from imsprep.scan.scan import scan
from imsprep.units import KIB

BLOCK = 8 * KIB


@given(st.lists(st.sampled_from([0, 1]), min_size=1, max_size=40), st.integers(0, 3))
def test_it_finds_what_a_scan_finds(
    tmp_path_factory: pytest.TempPathFactory, pages: list[int], rest: int
) -> None:
    path: Path = tmp_path_factory.mktemp("d") / "d.raw"
    path.write_bytes(b"".join(bytes([p]) * 4096 for p in pages) + bytes(rest) + b"x")
    done: list[int] = []
    with RawImage.open(path) as image:
        found = scan_disk(image, block_size=BLOCK, progress=done.append)
        assert found.block_map == scan(image, ScanOptions(block_size=BLOCK)).block_map
    assert sum(done) == found.block_map.size == sum(found.coverage)
