from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import ImageChangedError, ReadError
from imsprep.image import RawImage
from imsprep.scan import scan
from imsprep.units import KIB


@given(
    st.lists(st.tuples(st.integers(0, 800 * KIB), st.integers(1, 3000)), max_size=8),
    st.integers(1, 900 * KIB),
    st.sampled_from([512, 4 * KIB, 96 * KIB, 512 * KIB]),
)
def test_a_block_is_allocated_if_any_byte_of_it_is_not_zero(
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[tuple[int, int]],
    size: int,
    block_size: int,
) -> None:
    path = tmp_path_factory.mktemp("scan") / "disk.raw"
    with open(path, "wb") as file:
        file.truncate(size)
        for n, (offset, length) in enumerate(writes):
            os.pwrite(file.fileno(), bytes([n % 2]) * length, offset)  # some of it written zeros
        file.truncate(size)
    with RawImage.open(path) as image:
        found = scan(image, block_size=block_size).block_map
    data = path.read_bytes()
    blocks = [any(data[i : i + block_size]) for i in range(0, size, block_size)]
    assert found.flags().tolist() == blocks


def test_an_image_that_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * 4096)
    with RawImage.open(path) as image:
        path.write_bytes(b"y" * 2048)
        with pytest.raises(ImageChangedError, match="shorter"):
            image.pread(0, 4096)
        with pytest.raises(ImageChangedError):
            image.check_unchanged()


def test_a_folder_and_a_missing_file_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ReadError, match="cannot read"), RawImage.open(path):
            pass
