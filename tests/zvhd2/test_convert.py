"""Convert: what is written is judged by the published driver's reading, and by files of its own."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsprep.errors import ImageChangedError, ReadError, UsageError
from imsprep.image.file import RawImage
from imsprep.options import ConvertOptions
from imsprep.system import positioned
from imsprep.units import GIB, MIB
from imsprep.zvhd2 import convert as conversion
from imsprep.zvhd2 import extract, records, writer
from imsprep.zvhd2.codec import Packer
from imsprep.zvhd2.convert import ConvertTask, stamp
from imsprep.zvhd2.examine import check_records, examine
from imsprep.zvhd2.reader import PackedDisk, Zvhd2Reader
from imsprep.zvhd2.writer import PackTask, Written
from tests.support.image.raw_disk import write_disk
from tests.support.running import Outcome
from tests.support.zvhd2.converting import convert
from tests.support.zvhd2.files import build
from tests.support.zvhd2.files import reading as reading_of
from tests.support.zvhd2.goldens import FACTS, NAMES, disk_bytes, golden, runs
from tests.support.zvhd2.published_driver import PublishedDriver

Imsprep = Callable[..., Outcome]
ID = bytes(range(16))
BLOCK = 2 * MIB
BY_METHOD = {"zlib": records.ZLIB, "zstd": records.ZSTD}


def order(**options: object) -> ConvertTask:
    packing = {"timestamp": 1, "uuid": ID, "jobs": 2, **options}
    progress = packing.pop("progress", lambda count: None)
    names = ("force", "to_format", "holes")
    whole = ConvertOptions(**{name: packing.pop(name) for name in names if name in packing})
    return ConvertTask(PackTask(**packing), whole, progress)


def golden_disk(path: Path, name: str) -> Path:
    return write_disk(path, FACTS[name]["raw_size"], runs(name))


# What is the same in a file of the driver's and in ours, made of the same disk.
SAME = [
    name
    for name in records.Footer._fields
    if name not in ("uuid", "timestamp", "checksum", "index_lba", "bitmap_lba")
]


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_disk_gives_the_file_of_the_published_driver(name: str, tmp_path: Path) -> None:
    theirs = golden(name)
    raw, made = golden_disk(tmp_path / "disk.raw", name), tmp_path / "disk.zvhd2"
    convert(raw, made, order(method=FACTS[name]["compress_method"]))
    ours = made.read_bytes()
    for at in (0, -4096):
        mine, other = (records.unpack_footer(data[at:][:512]) for data in (ours, theirs))
        assert {n: getattr(mine, n) for n in SAME} == {n: getattr(other, n) for n in SAME}
        assert ours[at:][512:4096] == theirs[at:][512:4096]
    mine, other = (records.unpack_footer(data[-4096:]) for data in (ours, theirs))
    middles = [data[f.data_end - 4096 : f.data_end] for data, f in ((ours, mine), (theirs, other))]
    first, second = map(records.unpack_footer, middles)
    assert {n: getattr(first, n) for n in SAME} == {n: getattr(second, n) for n in SAME}
    assert records.checksum(middles[0]) == first.checksum  # theirs is stale
    blocks = [
        np.frombuffer(data, records.INDEX_ENTRY, f.index_entries, f.index_lba)["block"].tolist()
        for data, f in ((ours, mine), (theirs, other))
    ]
    assert blocks[0] == blocks[1] == FACTS[name]["nonzero_blocks"]
    bitmaps = [d[f.bitmap_lba :][: f.bitmap_size] for d, f in ((ours, mine), (theirs, other))]
    assert bitmaps[0] == bitmaps[1]
    driver = PublishedDriver(made)
    assert driver.size == FACTS[name]["virtual_size"]
    for block in {0, *FACTS[name]["nonzero_blocks"], FACTS[name]["blocks"] - 1}:
        assert driver.block(block) == disk_bytes(name, block * BLOCK, BLOCK)


@pytest.mark.slow
@settings(max_examples=15)
@given(st.data())
def test_a_disk_comes_back_whose_data_ends_at_any_edge(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Edges of pages and of the container's blocks, and a byte before and behind each."""
    unit = st.sampled_from([4096, BLOCK])
    near = unit.flatmap(lambda u: st.integers(0, 5 * BLOCK // u).map(lambda n: n * u))
    place = st.tuples(near, st.sampled_from([-1, 0, 1])).map(lambda t: max(0, sum(t)))
    size = max(1, data.draw(place))
    runs = data.draw(st.lists(st.tuples(place, place, st.binary(min_size=1, max_size=1))))
    folder = tmp_path_factory.mktemp("edges")
    pieces = [(min(a, b), c * abs(a - b)) for a, b, c in runs if a != b]
    raw = write_disk(
        folder / "disk.raw", size, [(at, d[: size - at]) for at, d in pieces if at < size]
    )
    packed, back = folder / "disk.zvhd2", folder / "back.raw"
    convert(raw, packed, order(jobs=1))
    convert(packed, back, order(jobs=1))
    got, expected = back.read_bytes(), raw.read_bytes()
    assert got[:size] == expected
    assert got[size:] == bytes(-size % 512)
    blocks = {n for n in range(-(-size // BLOCK)) if any(expected[n * BLOCK :][:BLOCK])}
    with Zvhd2Reader.open(packed) as reader:
        assert set(reader.block_map.bits.search(1)) == blocks


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_gives_back_its_disk_sparse(name: str, tmp_path: Path) -> None:
    packed, raw = tmp_path / "disk.zvhd2", tmp_path / "disk.raw"
    packed.write_bytes(golden(name))
    done = convert(packed, raw, order())
    assert raw.stat().st_size == done.target_size == FACTS[name]["raw_size"]
    assert raw.stat().st_blocks * 512 <= len(FACTS[name]["nonzero_blocks"]) * BLOCK
    with open(raw, "rb") as file:
        for offset, data in runs(name):
            assert os.pread(file.fileno(), len(data), offset) == data
        for block in FACTS[name]["nonzero_blocks"]:
            got = os.pread(file.fileno(), BLOCK, block * BLOCK)
            assert got == disk_bytes(name, block * BLOCK, BLOCK)


def test_a_disk_of_two_segments_is_read_by_the_driver_and_by_us(tmp_path: Path) -> None:
    # More than 32768 stored blocks would take too long; so blocks 32767 and 32768 of a sparse disk.
    raw = golden_disk(tmp_path / "disk.raw", "two_segments")
    done = convert(raw, tmp_path / "disk.zvhd2", order())
    assert done.footer is not None
    assert (done.footer.index_seg_num, done.footer.bitmap_seg_num) == (1, 2)
    back = convert(tmp_path / "disk.zvhd2", tmp_path / "back.raw", order())
    assert back.block_map == done.block_map
    assert (tmp_path / "back.raw").stat().st_size == 66 * GIB


@pytest.mark.parametrize("holes", ["trust", "verify"])
def test_a_buffer_that_is_used_again_brings_nothing_of_the_block_before(
    holes: str, tmp_path: Path
) -> None:
    # More full blocks than there are buffers, then blocks with data only in their middles.
    random, blocks = np.random.default_rng(9), 40
    full = [(n * BLOCK, random.bytes(BLOCK)) for n in range(20)]
    sparse = [(n * BLOCK + MIB, random.bytes(5)) for n in range(20, blocks)]
    raw = write_disk(tmp_path / "disk.raw", blocks * BLOCK, full + sparse)
    convert(raw, tmp_path / "disk.zvhd2", order(level=1, holes=holes))
    disk = raw.read_bytes()
    driver = PublishedDriver(tmp_path / "disk.zvhd2")
    for n in range(blocks):
        assert driver.block(n) == disk[n * BLOCK : (n + 1) * BLOCK]


def test_records_stand_side_by_side(tmp_path: Path) -> None:
    convert(golden_disk(tmp_path / "d.raw", "scattered"), tmp_path / "d.zvhd2", order())
    with Zvhd2Reader.open(tmp_path / "d.zvhd2") as reader:
        entries, footer = reader.container.entries, reader.container.footer
    ends = (entries["offset"] + entries["length"]).tolist()
    assert entries["offset"].tolist() == [4096, *ends[:-1]]
    assert footer.index_lba == ends[-1] + 4096  # the middle footer
    size = (tmp_path / "d.zvhd2").stat().st_size
    assert size == footer.bitmap_lba + footer.bitmap_size + 4096


CONTENTS = st.lists(
    st.tuples(
        st.integers(0, 4 * BLOCK), st.sampled_from([1, 511, 4096, 70_000, BLOCK + 1]), st.booleans()
    ),
    max_size=6,
)


@pytest.mark.slow
@settings(max_examples=15)
@given(
    size=st.integers(1, 4 * BLOCK),
    contents=CONTENTS,
    method=st.sampled_from(["zstd", "zlib"]),
    block_size=st.sampled_from([MIB, 2 * MIB, 4 * MIB]),
    holes=st.sampled_from(["trust", "verify"]),
)
def test_any_disk_comes_back_and_threads_change_no_byte(
    size: int,
    contents: list[tuple[int, int, bool]],
    method: str,
    block_size: int,
    holes: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    random = np.random.default_rng(size)
    pieces = [
        (at, random.bytes(n) if full else bytes(n)) for at, n, full in contents if at + n <= size
    ]
    raw = write_disk(folder / "disk.raw", size, pieces)
    options = {"method": BY_METHOD[method], "level": 1, "block_size": block_size, "holes": holes}
    files = []
    for jobs in (1, 3):
        made = folder / f"{jobs}.zvhd2"
        convert(raw, made, order(jobs=jobs, **options))
        files.append(made.read_bytes())
    assert files[0] == files[1]
    disk = raw.read_bytes()
    whole = disk.ljust(-(-size // 512) * 512, b"\0")
    convert(folder / "1.zvhd2", folder / "back.raw", order())
    assert (folder / "back.raw").read_bytes() == whole
    with Zvhd2Reader.open(folder / "1.zvhd2") as reader:
        assert check_records(reader.container, reading(folder / "1.zvhd2")) is None
        data = [bool(any(whole[at : at + block_size])) for at in range(0, size, block_size)]
        assert reader.block_map.flags().tolist() == data
    if block_size == BLOCK:
        driver = PublishedDriver(folder / "1.zvhd2")
        assert driver.disk()[: len(whole)] == whole


def reading(path: Path) -> Callable[[int, int], bytes]:
    data = path.read_bytes()
    return lambda offset, length: data[offset : offset + length]


def test_progress_is_told_every_byte(tmp_path: Path) -> None:
    raw = write_disk(tmp_path / "d.raw", 9 * MIB + 5, [(0, b"x"), (7 * MIB, b"y")])
    told = list[int]()
    convert(raw, tmp_path / "d.zvhd2", order(progress=told.append))
    assert sum(told) == 9 * MIB + 5
    told.clear()
    convert(tmp_path / "d.zvhd2", tmp_path / "back.raw", order(progress=told.append))
    assert sum(told) == 9 * MIB + 512


def test_a_zvhd2_is_packed_again_for_an_older_site(tmp_path: Path) -> None:
    raw = golden_disk(tmp_path / "d.raw", "scattered")
    convert(raw, tmp_path / "d.zvhd2", order())
    again = tmp_path / "older.zvhd2"
    convert(tmp_path / "d.zvhd2", again, order(method=records.ZLIB))
    straight = tmp_path / "straight.zvhd2"
    convert(raw, straight, order(method=records.ZLIB))
    assert again.read_bytes() == straight.read_bytes()


@pytest.mark.parametrize("jobs", [1, 2, 7])
@pytest.mark.parametrize(("source", "target"), [(8, 1), (8, 2), (2, 8), (4, 4)])
def test_packing_again_unpacks_each_block_once(
    source: int, target: int, jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, size = np.random.default_rng(4), 32 * MIB
    disk = b"".join(random.bytes(5000).ljust(MIB, b"\0") for _ in range(32))
    blocks = {n: disk[n * source * MIB :][: source * MIB] for n in range(32 // source)}
    packed = tmp_path / "disk.zvhd2"
    packed.write_bytes(build(blocks, size, block_size=source * MIB).data)
    unpacked, real = [], Zvhd2Reader.read_stored

    def note(self: Zvhd2Reader, entry: tuple[int, int, int]) -> bytes:
        unpacked.append(entry[1])
        return real(self, entry)

    monkeypatch.setattr(Zvhd2Reader, "read_stored", note)
    convert(packed, tmp_path / "again.zvhd2", order(block_size=target * MIB, jobs=jobs))
    assert sorted(unpacked) == list(range(32 // source))
    with Zvhd2Reader.open(tmp_path / "again.zvhd2") as reader:
        assert reader.pread(0, size) == disk


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("target", [1, 2, 32])
def test_packing_again_keeps_to_the_same_bound_of_memory(size: int, target: int) -> None:
    built = build({0: b"x"}, size * MIB, block_size=size * MIB)
    container = examine(reading_of(built.data), len(built.data)).container_or_raise()
    image = SimpleNamespace(path=Path("disk.zvhd2"))
    disk = PackedDisk(image, Zvhd2Reader(container, reading_of(built.data)), jobs=64)
    packing = PackTask(1, ID, level=1, block_size=target * MIB, jobs=64)
    jobs, buffers = writer.shares(packing, writer.MEMORY - disk.memory)
    codecs = jobs * Packer.memory(records.ZSTD, 1, target * MIB)
    assert disk.memory + codecs + buffers * 3 * target * MIB <= 280 * MIB


def test_written_zeros_are_unpacked_once_a_batch_and_stored_as_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, raw, blocks = tmp_path / "disk.zvhd2", tmp_path / "disk.raw", 400
    contents = dict.fromkeys(range(blocks), b"") | {7: b"x", 399: b"y"}
    packed.write_bytes(build(contents, blocks * MIB, block_size=MIB).data)
    looked, real = [], extract.runs_of_data
    monkeypatch.setattr(extract, "runs_of_data", lambda data: looked.append(1) or real(data))
    convert(packed, raw, order())
    assert len(looked) < 40
    assert raw.stat().st_blocks * 512 <= 64 * 1024
    with open(raw, "rb") as file:
        assert os.pread(file.fileno(), 2, 7 * MIB) == b"x\0"
        assert os.pread(file.fileno(), 2, 399 * MIB) == b"y\0"
        assert os.pread(file.fileno(), MIB, 8 * MIB) == bytes(MIB)


# An index that is out of order: two readers see two disks.


def out_of_order(path: Path) -> Path:
    blocks = {0: b"A" * BLOCK, 2: b"C" * BLOCK}
    path.write_bytes(build(blocks, 3 * BLOCK, order=[2, 0]).data)
    return path


@pytest.mark.parametrize("target", ["disk.raw", "other.zvhd2"])
def test_an_index_out_of_order_is_refused_as_check_does_and_makes_nothing(
    target: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    packed = out_of_order(tmp_path / "disk.zvhd2")
    assert PublishedDriver(packed).block(0) != b"A" * BLOCK  # it finds entries by counting
    outcome = imsprep("convert", packed, tmp_path / target)
    assert (outcome.code, outcome.out) == (1, "")
    assert "IMS313" in outcome.err
    assert left(tmp_path) == ["disk.zvhd2"]
    outcome = imsprep("convert", packed, tmp_path / target, "--ignore", "IMS313")
    assert outcome.code == 0
    assert "warning: IMS313" in outcome.err
    whole = tmp_path / target
    if target != "disk.raw":
        convert(whole, tmp_path / "disk.raw", order())
    disk = (tmp_path / "disk.raw").read_bytes()
    assert disk == b"A" * BLOCK + bytes(BLOCK) + b"C" * BLOCK


def test_an_index_of_all_blocks_has_no_order_of_records_to_keep(tmp_path: Path) -> None:
    packed = tmp_path / "disk.zvhd2"
    blocks = {0: b"A" * BLOCK, 2: b"C" * BLOCK}
    packed.write_bytes(build(blocks, 3 * BLOCK, order=[2, 0], all_blocks=True).data)
    convert(packed, tmp_path / "disk.raw", order())
    assert (tmp_path / "disk.raw").read_bytes()[:1] == b"A"


# What goes wrong.


def small(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    pieces = [(n * BLOCK, random.bytes(9000)) for n in range(6)]
    return write_disk(tmp_path / "disk.raw", 6 * BLOCK, pieces)


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != "disk.raw")


@pytest.mark.parametrize("nth", range(8))
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_byte_that_is_written_wrong_is_noticed(
    nth: int, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.pwritev, iter(range(100))

    def faulty(file: int, pieces: list[memoryview], offset: int) -> int:
        data = bytearray(b"".join(pieces))
        if next(calls) == nth:
            data[{"first": 0, "middle": 60, "last": -1}[place]] ^= 1
        return real(file, [data], offset)

    monkeypatch.setattr(os, "pwritev", faulty)
    with pytest.raises(ReadError, match="does not read back"):
        convert(small(tmp_path), tmp_path / "disk.zvhd2", order())
    assert left(tmp_path) == []


@pytest.mark.parametrize("extra", [1, 4096])
def test_a_container_that_is_longer_than_what_was_written_is_noticed(
    extra: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = positioned.write_at

    def more(file: int, pieces: list[bytes | memoryview], offset: int) -> None:
        real(file, pieces, offset)
        os.ftruncate(file, os.fstat(file).st_size + extra)

    monkeypatch.setattr(writer, "write_at", more)
    with pytest.raises(ReadError, match="does not read back"):
        convert(small(tmp_path), tmp_path / "disk.zvhd2", order())
    assert left(tmp_path) == []


def test_a_block_that_is_packed_wrong_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Packer.__call__

    def faulty(self: Packer, block: bytearray) -> bytes:
        other = bytearray(block)
        other[8999] ^= 1
        return real(self, other)

    monkeypatch.setattr(Packer, "__call__", faulty)
    with pytest.raises(ReadError, match="does not read back"):
        convert(small(tmp_path), tmp_path / "disk.zvhd2", order())
    assert left(tmp_path) == []


def test_a_block_that_is_unpacked_to_a_wrong_place_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(small(tmp_path), tmp_path / "disk.zvhd2", order())
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda f, data, at: real(f, data, at + (at == BLOCK)))
    with pytest.raises(ReadError, match="does not read back"):
        convert(tmp_path / "disk.zvhd2", tmp_path / "back.raw", order())
    assert left(tmp_path) == ["disk.zvhd2"]


def test_writes_that_are_cut_short_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = small(tmp_path)
    convert(raw, tmp_path / "whole.zvhd2", order())
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda f, p, at: real(f, [b"".join(p)[:5000]], at))
    convert(raw, tmp_path / "cut.zvhd2", order())
    assert (tmp_path / "cut.zvhd2").read_bytes() == (tmp_path / "whole.zvhd2").read_bytes()


@pytest.mark.parametrize("nth", range(8))
def test_a_full_disk_leaves_nothing(
    nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.pwritev, iter(range(100))

    def full(file: int, pieces: list[memoryview], offset: int) -> int:
        if next(calls) == nth:
            raise OSError(28, "No space left on device")
        return real(file, pieces, offset)

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(ReadError, match="free some space"):
        convert(small(tmp_path), tmp_path / "disk.zvhd2", order())
    assert left(tmp_path) == []


@pytest.mark.parametrize("change", ["write", "cut", "replace", "remove", "late"])
def test_a_disk_that_changes_meanwhile_is_refused(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = small(tmp_path)
    pack = conversion.write_container

    def packed(*arguments: Any, **options: Any) -> Written:
        done = pack(*arguments, **options)
        if change == "late":
            os.utime(raw, (1, 1))
        return done

    monkeypatch.setattr(conversion, "write_container", packed)

    def meddle(count: int) -> None:
        if count and raw.exists():
            if change == "write":
                with open(raw, "r+b") as file:
                    file.write(b"z")
            elif change == "cut":
                os.truncate(raw, 5 * BLOCK)
            elif change != "late":
                raw.unlink()
                if change == "replace":
                    raw.write_bytes(bytes(6 * BLOCK))

    told: list[object] = []  # what is told of a container that is whole
    task = replace(order(progress=meddle), on_whole=lambda *whole: told.append(whole))
    with pytest.raises(ImageChangedError):
        convert(raw, tmp_path / "disk.zvhd2", task)
    assert set(left(tmp_path)) == set()
    assert not told


def test_a_container_that_changes_while_it_is_unpacked_gives_no_disk(tmp_path: Path) -> None:
    packed = tmp_path / "disk.zvhd2"
    convert(small(tmp_path), packed, order())

    def meddle(count: int) -> None:
        with open(packed, "r+b") as file:
            file.write(b"z")

    with pytest.raises(ImageChangedError):
        convert(packed, tmp_path / "back.raw", order(progress=meddle))
    assert left(tmp_path) == ["disk.zvhd2"]


def test_a_damaged_container_gives_no_disk(imsprep: Imsprep, tmp_path: Path) -> None:
    convert(small(tmp_path), tmp_path / "disk.zvhd2", order())
    data = bytearray((tmp_path / "disk.zvhd2").read_bytes())
    data[4096 + 48] ^= 1
    (tmp_path / "disk.zvhd2").write_bytes(data)
    outcome = imsprep("convert", tmp_path / "disk.zvhd2", tmp_path / "back.raw")
    assert (outcome.code, outcome.out) == (1, "")
    assert "at byte 4096" in outcome.err
    assert left(tmp_path) == ["disk.zvhd2"]


# The command.


def test_the_command_says_what_it_made(imsprep: Imsprep, tmp_path: Path) -> None:
    raw = small(tmp_path)
    outcome = imsprep("convert", raw, tmp_path / "disk.zvhd2", "--json", "--uuid", "0" * 32)
    assert outcome.code == 0
    said = outcome.json
    assert said["disk_size"] == 6 * BLOCK
    assert (said["blocks"], said["stored_blocks"], said["compression"]) == (6, 6, "zstd")
    assert said["target_size"] == (tmp_path / "disk.zvhd2").stat().st_size
    assert said["uuid"] == "00000000-0000-0000-0000-000000000000"
    assert said["warnings"] == []
    outcome = imsprep("convert", tmp_path / "disk.zvhd2", tmp_path / "back.img")
    assert outcome.code == 0
    assert "a disk of 12 MiB" in outcome.out
    assert (tmp_path / "back.img").read_bytes() == raw.read_bytes()


def test_a_given_time_gives_the_same_bytes_and_another_disk_another_id(
    imsprep: Imsprep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = small(tmp_path)
    names = [tmp_path / f"{n}.zvhd2" for n in range(5)]
    imsprep("convert", raw, names[0], "--timestamp", "1700000000", "--jobs", "1")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    imsprep("convert", raw, names[1], "--jobs", "4")
    with open(raw, "r+b") as file:
        file.write(b"other")
    imsprep("convert", raw, names[2])
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    imsprep("convert", raw, names[3])
    imsprep("convert", raw, names[4])
    first, *others = (path.read_bytes() for path in names)
    assert first == others[0]
    assert records.unpack_footer(first).timestamp == 1700000000 - records.EPOCH
    assert len({data[68:84] for data in (first, *others)}) == 4


@pytest.mark.slow
def test_zlib_is_flushed_and_not_finished(imsprep: Imsprep, tmp_path: Path) -> None:
    made = tmp_path / "disk.zvhd2"
    assert imsprep("convert", small(tmp_path), made, "--compression", "zlib").code == 0
    data = made.read_bytes()
    head = records.unpack_block_header(data[4096:])
    stream = zlib.decompressobj()
    assert len(stream.decompress(data[4096 + 48 :][: head.size])) == BLOCK
    assert not stream.eof
    assert PublishedDriver(made).disk()[: 6 * BLOCK] == (tmp_path / "disk.raw").read_bytes()


def test_a_block_size_that_the_driver_does_not_read_is_told(
    imsprep: Imsprep, tmp_path: Path
) -> None:
    made = tmp_path / "disk.zvhd2"
    outcome = imsprep("convert", small(tmp_path), made, "--block-size", "4m", "--json")
    assert outcome.code == 0
    assert "reads blocks of 2 MiB only" in outcome.err
    assert len(outcome.json["warnings"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--level", "20"], "zstd has levels 1 to 19, not 20"),
        (["--level", "0"], "zstd has levels 1 to 19, not 0"),
        (["--compression", "zlib", "--level", "10"], "zlib has levels 1 to 9, not 10"),
        (["--block-size", "3m"], "1, 2, 4, 8, 16 or 32 MiB"),
        (["--block-size", "64m"], "1, 2, 4, 8, 16 or 32 MiB"),
        (["--timestamp", "5"], "2000-01-01"),
        (["--timestamp", "6000000000"], "2000-01-01"),
        (["--to-format", "raw"], "is RAW already"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], said: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    outcome = imsprep("convert", small(tmp_path), tmp_path / "disk.zvhd2", *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert left(tmp_path) == []


def test_a_target_is_not_overwritten_unless_asked(imsprep: Imsprep, tmp_path: Path) -> None:
    raw, there = small(tmp_path), tmp_path / "disk.zvhd2"
    there.write_bytes(b"precious")
    outcome = imsprep("convert", raw, there)
    assert (outcome.code, there.read_bytes()) == (2, b"precious")
    assert "--force" in outcome.err
    link = tmp_path / "link.raw"
    link.symlink_to(raw)
    for same in (raw, link):
        outcome = imsprep("convert", raw, same, "--to-format", "zvhd2", "--force")
        assert outcome.code == 2
        assert "the source itself" in outcome.err
    outcome = imsprep("convert", raw, tmp_path, "--to-format", "zvhd2", "--force")
    assert outcome.code == 2
    assert imsprep("convert", raw, tmp_path / "disk").code == 2
    assert imsprep("convert", raw, there, "--force").code == 0
    assert there.read_bytes()[:6] == b"z2strm"


@pytest.mark.parametrize("name", ["new.zvhd2", "new.raw"])
def test_a_target_that_appears_meanwhile_stays(tmp_path: Path, name: str) -> None:
    source = tmp_path / "disk.zvhd2"
    convert(small(tmp_path), source, order())
    target = tmp_path / name
    with pytest.raises(UsageError, match="allow it to be replaced"):
        convert(source, target, order(progress=lambda n: target.write_bytes(b"theirs") and None))
    assert target.read_bytes() == b"theirs"
    assert left(tmp_path) == ["disk.zvhd2", name]


def test_an_empty_image_is_no_disk(imsprep: Imsprep, tmp_path: Path) -> None:
    (tmp_path / "e.raw").touch()
    outcome = imsprep("convert", tmp_path / "e.raw", tmp_path / "e.zvhd2")
    assert outcome.code == 2
    assert "is empty" in outcome.err
    outcome = imsprep("convert", tmp_path / "missing.raw", tmp_path / "e.zvhd2")
    assert outcome.code == 3


def test_an_odd_date_is_refused() -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        stamp(None, {"SOURCE_DATE_EPOCH": "yesterday"}, 0)
    assert stamp(None, {}, records.EPOCH + 7.9) == (7, False)
    for seconds in (0, 1, 2**32 - 1):  # all that a footer holds
        assert stamp(records.EPOCH + seconds, {}, 0) == (seconds, True)
    for seconds in (-1, 2**32):
        with pytest.raises(UsageError, match="a ZVHD2 holds times from"):
            stamp(records.EPOCH + seconds, {}, 0)
    assert stamp(records.EPOCH + 3, {"SOURCE_DATE_EPOCH": "x"}, 0) == (3, True)


@pytest.mark.slow
@pytest.mark.parametrize(("signal", "code"), [("INT", 130), ("TERM", 143), ("KILL", -9)])
@pytest.mark.parametrize("moment", [0.0, 0.3, 0.8])
def test_whatever_ends_it_leaves_no_target(
    signal: str, code: int, moment: float, tmp_path: Path
) -> None:
    random = np.random.default_rng(2)
    pieces = [(n * BLOCK, random.bytes(BLOCK // 4)) for n in range(12)]
    raw = write_disk(tmp_path / "disk.raw", 12 * BLOCK, pieces)
    target = tmp_path / "disk.zvhd2"
    argv = [sys.executable, "-m", "imsprep", "convert", raw, target, "--level", "19", "--jobs", "1"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
        while not list(tmp_path.glob(".disk.zvhd2.*.part")):
            assert process.poll() is None
        (part,) = tmp_path.glob(".disk.zvhd2.*.part")
        while part.stat().st_size < moment * 12 * BLOCK // 4:
            assert process.poll() is None
        process.send_signal(getattr(__import__("signal"), f"SIG{signal}"))
        process.wait()
    assert process.returncode == code
    assert not target.exists()
    assert left(tmp_path) == ([part.name] if signal == "KILL" else [])


@pytest.mark.parametrize("verify", ["full", "none"])
def test_without_verifying_no_record_is_read_back_and_the_file_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: str
) -> None:
    source = tmp_path / "disk.raw"
    source.write_bytes(random.Random(1).randbytes(5 << 20))
    proved: list[int] = []

    class Counting(writer.Unpacker):
        """Counts what is unpacked while writing."""

        def __call__(self, *arguments: Any) -> Any:
            proved.append(1)
            return super().__call__(*arguments)

    monkeypatch.setattr(writer, "Unpacker", Counting)
    order = ConvertTask(PackTask(timestamp=1), ConvertOptions(verify=verify))
    convert(source, tmp_path / f"{verify}.zvhd2", order)
    assert len(proved) == (3 if verify == "full" else 0)
    convert(source, tmp_path / "again.zvhd2", ConvertTask(PackTask(timestamp=1)))
    assert (tmp_path / f"{verify}.zvhd2").read_bytes() == (tmp_path / "again.zvhd2").read_bytes()


def test_unpacking_tells_progress_and_keeps_to_the_disk_s_size(tmp_path: Path) -> None:
    size = 9 * BLOCK + 512
    raw = write_disk(tmp_path / "disk.raw", size, [(2 * BLOCK, b"a"), (9 * BLOCK, b"b" * 512)])
    convert(raw, tmp_path / "disk.zvhd2", order())
    told: list[int] = []
    convert(tmp_path / "disk.zvhd2", tmp_path / "back.raw", order(progress=told.append))
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes()
    assert min(told) >= 0


def test_a_range_of_a_packed_disk_may_cross_blocks(tmp_path: Path) -> None:
    size = 3 * BLOCK
    data = random.Random(3).randbytes(size)
    raw = write_disk(tmp_path / "disk.raw", size, [(0, data)])
    convert(raw, tmp_path / "disk.zvhd2", order())
    with (
        RawImage.open(tmp_path / "disk.zvhd2") as image,
        Zvhd2Reader.open(tmp_path / "disk.zvhd2") as reader,
    ):
        disk = PackedDisk(image, reader, jobs=2)
        for start, stop in ((0, size), (BLOCK - 1, BLOCK + 1), (5, 2 * BLOCK + 5), (BLOCK, BLOCK)):
            buffer = bytearray(stop - start)
            disk.pread_into(start, memoryview(buffer))
            assert bytes(buffer) == data[start:stop]


def test_progress_of_unpacking_adds_up_over_several_batches(tmp_path: Path) -> None:
    (tmp_path / "disk.zvhd2").write_bytes(build(dict.fromkeys(range(1, 70), b"x"), 75 * BLOCK).data)
    told: list[int] = []
    with (
        Zvhd2Reader.open(tmp_path / "disk.zvhd2") as reader,
        (tmp_path / "disk.raw").open("w+b") as file,
    ):
        extract.unpack_disk(reader, file.fileno(), jobs=2, progress=told.append)
    assert sum(told) == 75 * BLOCK
    assert len(told) > 2
    assert min(told) >= 0


def test_many_written_zeros_use_no_buffer_up(tmp_path: Path) -> None:
    source = tmp_path / "disk.raw"
    source.write_bytes(bytes(40 * MIB) + b"the end")
    made = convert(source, tmp_path / "disk.zvhd2", order(holes="verify", jobs=1, block_size=MIB))
    assert made.block_map.allocated == 1
    assert made.block_map[40]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["disk.zvhd2", "other.raw"])
def test_a_source_that_a_program_could_write_to_is_told_of_in_the_result(
    target: str, tmp_path: Path
) -> None:
    raw, packed = small(tmp_path), tmp_path / "packed.zvhd2"
    assert convert(raw, packed, order()).warnings == ()
    source = raw if target == "disk.zvhd2" else packed
    task = order()
    task = replace(task, options=replace(task.options, force_share=True))
    with open(source, "r+b"):
        done = convert(source, tmp_path / target, task)
    (warning,) = done.warnings
    assert "open for writing" in warning


def test_a_disk_that_was_not_written_whole_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "packed.zvhd2"
    convert(small(tmp_path), packed, order())
    real = os.ftruncate
    monkeypatch.setattr(os, "ftruncate", lambda file, size: real(file, size + 512))
    with pytest.raises(ReadError, match="does not have the disk's size"):
        convert(packed, tmp_path / "back.raw", order())
    assert left(tmp_path) == ["packed.zvhd2"]


def test_the_map_of_a_disk_that_is_unpacked_says_which_blocks_were_data(tmp_path: Path) -> None:
    raw = write_disk(tmp_path / "d.raw", 7 * BLOCK + 512, [(BLOCK, b"a"), (4 * BLOCK - 1, b"bc")])
    packed = tmp_path / "disk.raw.gz"
    packed.write_bytes(gzip.compress(raw.read_bytes()))
    done = convert(packed, tmp_path / "back.raw", order())
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes()
    marked = done.block_map.flags().tolist()
    assert len(marked) == 8
    assert [n for n in (1, 3, 4) if not marked[n]] == []
    assert marked[-1] is False
