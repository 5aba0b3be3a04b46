"""A VHDX: an entry that was changed or lost is noticed, and space that was given back is none."""

from __future__ import annotations

import functools
import os
import struct
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from imsprep.image.crc32c import crc32c
from imsprep.image.tables import vhdx
from imsprep.image.tables.survey import SurveyError
from imsprep.units import GIB, KIB, MIB
from tests.support.running import need

tools = need("qemu-img")
BLOCK = 64 * MIB


def made(folder: Path, size: int, data_at: tuple[int, ...] = ()) -> bytearray:
    """Return an image of a disk of `size` bytes in blocks of 64 MiB, its end stored."""
    raw, image = folder / "disk.raw", folder / "disk.vhdx"
    with open(raw, "wb") as file:
        file.truncate(size)
        for at in data_at or (size - 512,):
            os.pwrite(file.fileno(), b"the end", at)
    options = ["-o", f"block_size={BLOCK}"]
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vhdx", *options, raw, image], check=True
    )
    return bytearray(image.read_bytes())


def check(data: bytes) -> vhdx.Survey:
    return vhdx.survey(lambda at, length: bytes(data[at : at + length]), len(data))


@tools
@pytest.mark.parametrize("size", [20 * MIB, BLOCK, BLOCK + 20 * MIB])
def test_the_last_block_may_be_whole_or_end_with_the_disk(size: int, tmp_path: Path) -> None:
    data = made(tmp_path, size)
    assert check(data).virtual_size == size
    if size % BLOCK:
        assert check(data[: len(data) - BLOCK + size % BLOCK]).virtual_size == size


@tools
@pytest.mark.parametrize("size", [20 * MIB, BLOCK + 20 * MIB])
def test_an_entry_that_leads_elsewhere_is_refused(size: int, tmp_path: Path) -> None:
    data = made(tmp_path, size)
    table = 2 * MIB + 8 * ((size - 1) // BLOCK)
    data[table + 3] ^= 1  # 16 MiB further
    with pytest.raises(SurveyError, match="no block can be"):
        check(data)


def lost(data: bytearray, state: int) -> vhdx.Survey:
    """Empty the entry of the first block of an image, and look at the gap that it leaves."""
    table = 2 * MIB
    data[table : table + 8] = state.to_bytes(8, "little")
    return check(data)


@tools
def test_an_entry_that_was_zeroed_leaves_a_gap_that_nothing_explains(tmp_path: Path) -> None:
    data = made(tmp_path, 3 * BLOCK, data_at=(512, 3 * BLOCK - 512))
    found = lost(data, 0)
    assert sum(length for _, length in found.ledger.gaps(BLOCK)) > found.freed
    found = lost(data, 2)  # as Windows has it of a block that the guest gave back
    assert sum(length for _, length in found.ledger.gaps(BLOCK)) <= found.freed


@pytest.mark.slow
@tools
def test_space_that_an_entry_names_is_no_gap(tmp_path: Path) -> None:
    data = made(tmp_path, 3 * BLOCK, data_at=(512, 3 * BLOCK - 512))
    place = int.from_bytes(data[2 * MIB : 2 * MIB + 8], "little") & ~7
    assert not lost(data, place | 3).ledger.gaps(BLOCK)


# What follows is laid out as [MS-VHDX] has it: headers at 64 and 128 KiB, region tables at 192 and
# 256 KiB, an empty log at 1 MiB, metadata at 2 MiB, the allocation table at 3 MiB, blocks from 4.
LOG = b"the log's guid.."
ITEMS = {
    "parameters": "caa16737-fa36-4d43-b3b6-33f0aa44e76b",
    "size": "2fa54224-cd1b-4876-b211-5dbed83bf4b8",
    "sector": "8141bf1d-a96f-4709-ba47-f233a8faab5f",
}
TABLE, METADATA = "2dc27766-f623-4200-9d64-115e9bfd4a08", "8b7ca206-4790-4b9a-b8fe-575f050f886e"


SUM = functools.cache(crc32c)


def guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


def summed(record: bytes) -> bytes:
    """Return a record with its checksum in bytes 4 to 8; those count as zeros in it."""
    return record[:4] + struct.pack("<I", SUM(record[:4] + bytes(4) + record[8:])) + record[8:]


def header(sequence: int, log: bytes = b"", version: int = 1, log_version: int = 0) -> bytes:
    record = struct.pack("<4sIQ16s16s16sHHIQ", b"head", 0, sequence, b"", b"", log, log_version,
                         version, MIB, MIB)  # fmt: skip
    return summed(record.ljust(4 * KIB, b"\0"))


def regions(*more: bytes, table_length: int = MIB) -> bytes:
    entries = [
        guid(TABLE) + struct.pack("<QII", 3 * MIB, table_length, 1),
        guid(METADATA) + struct.pack("<QII", 2 * MIB, MIB, 1),
        *more,
    ]
    record = b"regi" + bytes(4) + struct.pack("<II", len(entries), 0) + b"".join(entries)
    return summed(record.ljust(64 * KIB, b"\0"))


HEADERS, REGIONS = header(7), regions()


def image(entries: list[int], *, size: int = 8 * MIB, block: int = MIB, sector: int = 512,
          flags: int = 0, changes: dict[int, bytes] | None = None) -> bytearray:  # fmt: skip
    """Return the first 4 MiB of an image with these entries in its allocation table."""
    data = bytearray(4 * MIB)
    items = [struct.pack("<II", block, flags), struct.pack("<Q", size), struct.pack("<I", sector)]
    metadata = b"metadata" + struct.pack("<HH", 0, len(items)) + bytes(20)
    for number, (name, item) in enumerate(zip(ITEMS, items, strict=True)):
        at = 64 * KIB + 8 * number
        metadata += guid(ITEMS[name]) + struct.pack("<IIII", at, len(item), 4, 0)
        data[2 * MIB + at : 2 * MIB + at + len(item)] = item
    table = struct.pack(f"<{len(entries)}Q", *entries)
    pieces = {
        0: b"vhdxfile", 64 * KIB: HEADERS, 128 * KIB: HEADERS, 192 * KIB: REGIONS,
        256 * KIB: REGIONS, 2 * MIB: metadata, 3 * MIB: table,
    } | (changes or {})  # fmt: skip
    for at, piece in pieces.items():
        data[at : at + len(piece)] = piece
    return data


def survey(data: bytes, length: int) -> vhdx.Survey:
    """Look at a file of `length` bytes that begins with `data`; the rest of it are zeros."""
    return vhdx.survey(lambda at, n: bytes(data[at : at + n]).ljust(n, b"\0")[:n], length)


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each checksum is worked out once: the same records are in nearly every image."""
    monkeypatch.setattr(vhdx, "crc32c", SUM)


def stored(place_mib: int) -> int:
    return place_mib * MIB | 6


EIGHT = [stored(4), 0, stored(6), 2, stored(5), 0, 0, 0]


def test_each_stored_block_has_its_bytes_of_the_file() -> None:
    found = survey(image(EIGHT), 7 * MIB)
    assert (found.virtual_size, found.least_gap, found.freed) == (8 * MIB, MIB, 0)
    assert found.notes == ()
    assert found.ledger.gaps(1) == []
    assert survey(image([*EIGHT[:4], *[0] * 4]), 7 * MIB).ledger.gaps(1) == [(5 * MIB, MIB)]


@pytest.mark.parametrize("state", [1, 2, 3])
def test_blocks_that_were_given_back_explain_a_gap(state: int) -> None:
    """By the place that their entry still has, or by their number."""
    entries = [stored(4), 6 * MIB | state, *[state] * 6]
    found = survey(image(entries), 7 * MIB)
    assert found.ledger.gaps(1) == [(5 * MIB, MIB)]
    assert found.freed == 6 * MIB
    edge = survey(image([stored(4), MIB | state, *[2] * 6]), 6 * MIB)  # over the log: harmless
    assert edge.freed == 6 * MIB
    behind = survey(image([stored(4), 6 * MIB | state, *[2] * 6]), 6 * MIB)  # no longer there
    assert behind.freed == 7 * MIB
    mixed = survey(image([stored(4), state, *[0] * 6]), 7 * MIB)
    assert mixed.freed == (0 if state == 2 else MIB)


@pytest.mark.parametrize("entry", [4 * MIB | 4, 4 * MIB | 5, 4 * MIB | 7, 4 * MIB | 6 | 1 << 3,
                                   4 * MIB | 6 | 1 << 19, 6, 8, 1 << 19])  # fmt: skip
def test_an_entry_that_no_program_writes_is_refused(entry: int) -> None:
    with pytest.raises(SurveyError, match=rf"no program writes \(at byte {3 * MIB + 16}\)"):
        survey(image([stored(5), 0, entry, *[0] * 5]), 6 * MIB)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([stored(4), stored(4)], "a block and a block lie over each other"),
        ([stored(3)], "a region and a block lie over each other"),
        ([stored(1)], "the log and a block lie over each other"),
        ([stored(7)], "cut short"),
        ([stored(1 << 40)], "cut short"),
    ],
)
def test_blocks_that_lie_where_none_can_be_are_refused(entries: list[int], words: str) -> None:
    with pytest.raises(SurveyError, match=words):
        survey(image((entries + [0] * 8)[:8]), 7 * MIB)


@pytest.mark.parametrize("size", [3 * MIB - 512, 2 * MIB + 512, 5 * MIB // 2, 3 * MIB])
def test_only_the_last_block_of_the_disk_may_be_short(size: int) -> None:
    last = image([0, 0, stored(4)], size=size)
    rest = size - 2 * MIB
    assert survey(last, 5 * MIB).ledger.gaps(1) == []
    assert survey(last, 4 * MIB + rest).ledger.gaps(1) == []
    with pytest.raises(SurveyError, match="cut short"):
        survey(last, 4 * MIB + rest - 512)
    with pytest.raises(SurveyError, match="cut short"):
        survey(image([0, stored(4), 0], size=size), 5 * MIB - 512)


@pytest.mark.parametrize(("end", "fits"), [(20, False), (20.5, True), (21, True), (22, False)])
def test_a_short_last_block_ends_with_the_disk_or_the_mebibyte_behind_it(
    end: float, fits: bool
) -> None:
    data = image([0, stored(4)], size=BLOCK + 41 * MIB // 2, block=BLOCK)
    length = 4 * MIB + int(end * MIB)
    if fits:
        assert survey(data, length).ledger.gaps(1) == [] or end == 21
    else:
        with pytest.raises(SurveyError, match="cut short" if end == 20 else "no block can be"):
            survey(data, length)


@pytest.mark.parametrize(("sector", "chunk"), [(512, 64), (4096, 512)])
def test_a_bitmap_stands_behind_each_chunk_of_blocks(sector: int, chunk: int) -> None:
    """Chunks of 2^23 sectors; a bitmap's entry is none of a block, whatever it says."""
    blocks = 2 * chunk + 2
    entries = [0] * (blocks + 2)
    size = blocks * BLOCK - 20 * MIB
    for place, at in ((chunk - 1, 4), (chunk + 1, 68), (blocks + 1, 132)):
        entries[place] = stored(at)
    entries[chunk], entries[2 * chunk + 1] = stored(4), 7 | 1 << 19
    data = image(entries, size=size, block=BLOCK, sector=sector)
    assert survey(data, 196 * MIB).ledger.gaps(1) == []
    assert survey(data, 176 * MIB).ledger.gaps(1) == []  # the last block ends with the disk
    with pytest.raises(SurveyError, match="cut short"):
        survey(data, 175 * MIB)


def test_the_later_header_counts_and_one_that_is_damaged_does_not() -> None:
    bad = header(9)[:-1] + b"x"
    closed, open_ = header(8), header(9, log=LOG)
    log = {MIB: b"loge".ljust(32, b"\0") + LOG}
    second = 128 * KIB
    assert survey(image(EIGHT, changes={second: closed, **log}), 7 * MIB).notes == ()
    for place, other in ((64 * KIB, second), (second, 64 * KIB)):
        with pytest.raises(SurveyError, match="its log must be replayed"):
            survey(image(EIGHT, changes={place: open_, other: closed, **log}), 7 * MIB)
        found = survey(image(EIGHT, changes={place: bad, **log}), 7 * MIB)
        assert found.notes == ("one of its two headers is damaged; the other one was taken",)
    # The guid says that there may be a log, and in the log is an older one's entry, or none.
    for entry in (b"", b"loge".ljust(32, b"\0") + LOG[::-1], b"logo".ljust(32, b"\0") + LOG):
        survey(image(EIGHT, changes={second: open_, MIB: entry}), 7 * MIB)
    for at in (MIB + 4 * KIB, 2 * MIB - 4 * KIB):
        with pytest.raises(SurveyError, match="its log must be replayed"):
            survey(image(EIGHT, changes={second: open_, at: log[MIB]}), 7 * MIB)
    with pytest.raises(SurveyError, match=r"neither header holds \(at byte 65536\)"):
        survey(image(EIGHT, changes={64 * KIB: bad, second: bad}), 7 * MIB)


@pytest.mark.parametrize("wrong", [header(9, version=2), header(9, log_version=1)])
def test_another_version_is_refused(wrong: bytes) -> None:
    with pytest.raises(SurveyError, match="is not known here"):
        survey(image(EIGHT, changes={64 * KIB: wrong}), 7 * MIB)


UNKNOWN = guid("01234567-89ab-cdef-0123-456789abcdef")


def test_a_region_that_is_not_known_is_refused_if_it_is_required() -> None:
    for required in (0, 1):
        entry = UNKNOWN + struct.pack("<QII", 5 * MIB, MIB, required)
        table = regions(entry)
        data = image(EIGHT, changes={192 * KIB: table, 256 * KIB: table})
        if required:
            with pytest.raises(SurveyError, match="01234567-89ab-cdef-0123-456789abcdef"):
                survey(data, 7 * MIB)
        else:
            survey(data, 7 * MIB)


def test_one_good_region_table_is_enough() -> None:
    bad = REGIONS[:-1] + b"x"
    for place in (192 * KIB, 256 * KIB):
        found = survey(image(EIGHT, changes={place: bad}), 7 * MIB)
        assert found.notes == ("one of its two region tables is damaged; the other one was taken",)
    with pytest.raises(SurveyError, match=r"neither region table holds \(at byte 196608\)"):
        survey(image(EIGHT, changes={192 * KIB: bad, 256 * KIB: bad}), 7 * MIB)
    fits, short = regions(table_length=64), regions(table_length=63)
    survey(image(EIGHT, changes={192 * KIB: fits, 256 * KIB: fits}), 7 * MIB)
    with pytest.raises(SurveyError, match="has 63 bytes, and needs 64"):
        survey(image(EIGHT, changes={192 * KIB: short, 256 * KIB: short}), 7 * MIB)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "a disk of 0 bytes"),
        ({"size": 8 * MIB - 1}, "a disk of 8388607 bytes"),
        ({"size": 8 * MIB - 512, "sector": 4096}, "a disk of 8388096 bytes"),
        ({"size": 65536 * GIB + 512}, "a disk of 70368744178176 bytes"),
        ({"block": MIB // 2}, "blocks of 524288 bytes"),
        ({"block": 3 * MIB}, "blocks of 3145728 bytes"),
        ({"block": 512 * MIB}, "blocks of 536870912 bytes"),
        ({"sector": 1024}, "sectors of 1024"),
        ({"flags": 2}, "needs its parent"),
        ({"changes": {2 * MIB + 7: b"o"}}, "a metadata table of 3 entries"),
        ({"changes": {2 * MIB + 10: bytes(2)}}, "a metadata table of 0 entries"),
        ({"changes": {2 * MIB + 10: b"\x02\0"}}, "lacks the size"),
        ({"changes": {2 * MIB + 8: b"\0\0\x00\x08"}}, "a metadata table of 2048 entries"),
        ({"changes": {2 * MIB + 48: struct.pack("<I", 64 * KIB - 8)}}, "outside its region"),
        ({"changes": {2 * MIB + 48: struct.pack("<I", MIB - 7)}}, "outside its region"),
        ({"changes": {2 * MIB + 52: struct.pack("<I", 7)}}, "lacks the size"),
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_right_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SurveyError, match=words):
        survey(image(EIGHT, **options), 7 * MIB)


def test_metadata_may_have_items_that_are_not_known_up_to_the_end_of_its_table() -> None:
    full = {2 * MIB + 10: struct.pack("<H", 2047)}
    assert survey(image(EIGHT, flags=1, changes=full), 7 * MIB).virtual_size == 8 * MIB


@pytest.mark.parametrize("missing", [TABLE, METADATA])
def test_without_one_of_its_regions_it_is_refused(missing: str) -> None:
    table = bytearray(REGIONS)
    at = table.index(guid(missing))
    table[at : at + 16] = UNKNOWN
    table[at + 28] = 0  # not required
    record = summed(bytes(table))
    with pytest.raises(SurveyError, match="no allocation table or no metadata"):
        survey(image(EIGHT, changes={192 * KIB: record, 256 * KIB: record}), 7 * MIB)


def test_the_largest_disk_is_read() -> None:
    table = regions(table_length=4 * MIB)
    data = image([], size=64 << 40, block=256 * MIB, changes={192 * KIB: table, 256 * KIB: table})
    assert survey(data, 7 * MIB).virtual_size == 64 << 40


@pytest.mark.parametrize(("blocks", "entries"), [(64, 64), (65, 66), (128, 129), (129, 131)])
def test_a_table_has_no_bitmap_behind_its_last_block(blocks: int, entries: int) -> None:
    for short in (0, 1):
        table = regions(table_length=entries * 8 - short)
        both = {192 * KIB: table, 256 * KIB: table}
        data = image([], size=blocks * BLOCK, block=BLOCK, changes=both)
        if short:
            with pytest.raises(SurveyError, match=f"and needs {entries * 8}"):
                survey(data, 7 * MIB)
        else:
            assert survey(data, 7 * MIB).virtual_size == blocks * BLOCK
