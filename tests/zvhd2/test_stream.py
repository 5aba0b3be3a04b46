"""A container as a stream of parts: whose memory its bytes lie in."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from imsprep.image.file import RawImage
from imsprep.zvhd2.stream import Chunk, ContainerStream, KnownPart
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


def chunks(
    image: RawImage,
    least: int,
    known: Mapping[int, KnownPart] = MappingProxyType({}),
    *,
    growth: int = 2,
) -> Iterator[Chunk]:
    """Stream a container whose parts grow from the seventh on."""
    made = ContainerStream(
        image, PACKING, lambda number: least * (growth if number > 6 else 1), known
    )
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


@pytest.mark.parametrize("least", [1 * MIB, 2 * MIB])
def test_parts_that_are_known_are_passed_wherever_they_are(image: RawImage, least: int) -> None:
    """As a run that was interrupted leaves them: the parts behind may be longer than the first."""
    whole = {
        one.part.number: (one.part, bytes(one.data or b""))
        for one in chunks(image, least, growth=4)
    }
    numbers = [number for number in sorted(whole) if number > 1]  # the first is sent last
    assert len(numbers) > 9
    chance = random.Random(7)
    some = [set(chance.sample(numbers, count)) for count in range(0, len(numbers), 2)]
    for kept in [*(set(numbers[:count]) for count in range(len(numbers))), *some]:
        again = {
            one.part.number: one.data and bytes(one.data)
            for one in chunks(image, least, {n: whole[n][0] for n in kept}, growth=4)
        }
        assert again == {n: None if n in kept else data for n, (_, data) in whole.items()}
