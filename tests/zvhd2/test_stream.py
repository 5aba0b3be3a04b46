"""A container as a stream of parts: whose memory its bytes lie in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from imsprep.image.file import RawImage
from imsprep.zvhd2.stream import Chunk, ContainerStream
from imsprep.zvhd2.writer import PackTask, write_container

MIB = 1 << 20
PACKING = PackTask(timestamp=5, jobs=2)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[RawImage]:
    """A disk of 24 blocks that do not pack."""
    path = tmp_path / "disk.raw"
    path.write_bytes(random.Random(3).randbytes(48 * MIB))
    with RawImage.open(path) as image:
        yield image


def chunks(image: RawImage, least: int) -> Iterator[Chunk]:
    made = ContainerStream(image, PACKING, lambda number: least << (number > 6), {})
    return made.chunks(image.extents(), lambda count: None)


def test_released_memory_is_used_again(image: RawImage, tmp_path: Path) -> None:
    memory, bytes_of = [], {}
    for chunk in chunks(image, 2 * MIB):
        assert chunk.data is not None
        memory.append(chunk.data.obj)  # and kept, so that no other can have its id
        bytes_of[chunk.part.number] = bytes(chunk.data)
        chunk.release()
    assert len(memory) > 12
    assert len({id(one) for one in memory}) <= 4  # of each length one to fill; the first part's
    with (tmp_path / "whole").open("w+b") as file:
        write_container(image, image.extents(), file.fileno(), PACKING, lambda count: None)
        file.seek(0)
        assert b"".join(bytes_of[n] for n in sorted(bytes_of)) == file.read()


def test_what_is_not_released_stays_as_it_is(image: RawImage) -> None:
    noted = {}
    held = []
    for chunk in chunks(image, 2 * MIB):
        assert chunk.data is not None
        noted[chunk.part.number] = bytes(chunk.data)
        held.append(chunk)
    assert len({id(chunk.data.obj) for chunk in held if chunk.data}) == len(held)
    assert all(chunk.data == noted[chunk.part.number] for chunk in held)
