"""A container as a stream of parts: whose memory its bytes lie in."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from imsprep.errors import ReadError
from imsprep.image.file import RawImage
from imsprep.zvhd2.codec import Packer
from imsprep.zvhd2.stream import Chunk, ContainerStream, KnownPart, StaleError, check_known
from imsprep.zvhd2.writer import PackTask, WriteTask, write_container

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


@pytest.mark.slow
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
        write_container(image, image.extents(), file.fileno(), WriteTask(PACKING))
        file.seek(0)
        assert b"".join(bytes_of[n] for n in sorted(bytes_of)) == file.read()


@pytest.mark.slow
def test_what_is_not_released_stays_as_it_is(image: RawImage) -> None:
    noted = {}
    held = []
    for chunk in chunks(image, 2 * MIB):
        assert chunk.data is not None
        noted[chunk.part.number] = bytes(chunk.data)
        held.append(chunk)
    assert len({id(chunk.data.obj) for chunk in held if chunk.data}) == len(held)
    assert all(chunk.data == noted[chunk.part.number] for chunk in held)


@pytest.mark.slow
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


@pytest.fixture
def small(tmp_path: Path) -> Iterator[RawImage]:
    """A disk of seven blocks of which five do not pack, and two are zeros."""
    path, block = tmp_path / "small.raw", random.Random(4).randbytes(2 * MIB)
    path.write_bytes(block * 3 + bytes(2 * MIB) + block * 2 + bytes(2 * MIB))
    with RawImage.open(path) as image:
        yield image


@pytest.mark.parametrize("wrong", ["another block", "no payload"])
def test_a_block_that_is_packed_wrong_is_noticed_before_it_is_handed_on(
    small: RawImage, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Packer.__call__

    def faulty(self: Packer, block: bytearray) -> bytes:
        if wrong == "no payload":
            return real(self, block)[:-1]
        other = bytearray(block)
        other[-1] ^= 1
        return real(self, other)

    monkeypatch.setattr(Packer, "__call__", faulty)
    with pytest.raises(ReadError, match="does not unpack to what was packed"):
        list(chunks(small, MIB))
    unproved = ContainerStream(small, PACKING, lambda number: MIB, {}, verify=False)
    assert list(unproved.chunks(small.extents(), lambda count: None))


def _row(part: KnownPart, at: int, field: str, more: int) -> KnownPart:
    rows = part.rows.copy()
    rows[field][at] = int(rows[field][at]) + more
    return replace(part, rows=rows)


OTHERS: list[Callable[[KnownPart], KnownPart]] = [
    lambda part: replace(part, number=part.number + 1),
    lambda part: replace(part, number=part.number - 1),
    lambda part: replace(part, start=part.start + 4096),
    lambda part: replace(part, start=part.start - 4096),
    lambda part: replace(part, length=part.length + 4096),
    lambda part: replace(part, length=part.length - 4096),
    lambda part: replace(part, digest="0" * 64),
    lambda part: replace(part, uuid="0" * 32),
    lambda part: replace(part, rows=part.rows[:-1]),
    lambda part: replace(part, rows=part.rows[:0]),
    lambda part: replace(part, rows=part.rows[:0], number=part.number + 2),  # behind the last one
    lambda part: replace(part, rows=part.rows[1:]),
    lambda part: replace(part, rows=np.concatenate([part.rows, part.rows[-1:]])),
    lambda part: _row(part, 0, "length", 4096),
    lambda part: _row(part, -1, "length", -4096),
    lambda part: _row(part, -1, "block", 1),
]


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("other", OTHERS)
def test_a_known_part_that_says_anything_else_is_refused(
    small: RawImage, number: int, other: Callable[[KnownPart], KnownPart]
) -> None:
    """Whether its tables are part of it, as of the last one, or not."""
    whole = {one.part.number: one.part for one in chunks(small, 4 * MIB)}
    assert sorted(whole) == [1, 2, 3]
    changed = other(whole[number])
    with pytest.raises(StaleError):
        list(chunks(small, 4 * MIB, {changed.number: changed}))


def test_known_parts_are_none_if_they_contradict_each_other(small: RawImage) -> None:
    whole = {one.part.number: one.part for one in chunks(small, 2 * MIB)}
    assert len(whole) > 4
    two, three, four, last = whole[2], whole[3], whole[4], whole[max(whole)]
    assert list(check_known([four, last, two])) == [2, 4, max(whole)]
    assert check_known([]) == {}
    for wrong in (
        [whole[1], two],
        [replace(two, number=0)],
        [replace(two, start=0)],
        [two, two],
        [two, replace(three, number=2)],
        [two, replace(three, start=three.start - 1)],
        [replace(two, uuid=last.uuid), three],
        [two, replace(three, rows=two.rows)],
        [replace(two, rows=three.rows), replace(three, rows=two.rows)],
        [two, replace(three, rows=np.concatenate([three.rows, three.rows]))],
    ):
        assert check_known(wrong) == {}


@pytest.mark.parametrize("known", [False, True])
def test_progress_of_streaming_adds_up_to_the_disk(tmp_path: Path, known: bool) -> None:
    """Of a disk with holes, whose blocks hold several ranges of data."""
    path, chance = tmp_path / "disk.raw", random.Random(5)
    with path.open("wb") as file:
        file.truncate(24 * MIB)
        for at in (2 * MIB, 2 * MIB + 65536, 9 * MIB, 10 * MIB, 11 * MIB, 22 * MIB):
            file.seek(at)
            file.write(chance.randbytes(20_000))
    with RawImage.open(path) as image:
        parts = {}
        if known:
            parts = {
                one.part.number: one.part for one in chunks(image, 4096) if one.part.number > 1
            }
            assert parts
        told: list[int] = []
        stream = ContainerStream(image, PACKING, lambda number: 4096, parts)
        list(stream.chunks(image.extents(), told.append))
    assert sum(told) == 24 * MIB
    assert min(told) >= 0
    assert len(told) > 4


@pytest.mark.parametrize(
    ("start", "length", "same"), [(0, 0, True), (-4096, 4096, False), (4096, -4096, False),
                                  (0, 4096, False), (0, -4096, False)]
)  # fmt: skip
def test_a_known_part_of_tables_alone_begins_where_the_records_end(
    small: RawImage, start: int, length: int, same: bool
) -> None:
    whole = {one.part.number: one.part for one in chunks(small, 2 * MIB)}
    last = whole[max(whole)]
    assert (len(last.rows), last.uuid != "") == (0, True)
    noted = replace(last, start=last.start + start, length=last.length + length)
    if same:
        again = [one.part for one in chunks(small, 2 * MIB, {noted.number: noted}) if not one.data]
        assert again == [noted]
    else:
        with pytest.raises(StaleError):
            list(chunks(small, 2 * MIB, {noted.number: noted}))
