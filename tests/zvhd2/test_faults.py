"""Bad ZVHD2 files: whatever is in them, they are accepted or refused once, with a place."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import FormatError
from imsprep.units import GIB, MIB
from imsprep.zvhd2 import faults as zvhd2_faults
from imsprep.zvhd2 import records
from imsprep.zvhd2.examine import check_records, examine
from imsprep.zvhd2.faults import Fault, Kind
from imsprep.zvhd2.reader import Zvhd2Reader
from tests.support.zvhd2.files import Built, build, reading
from tests.support.zvhd2.goldens import golden

BLOCK = MIB
CONTENT = {1: b"one" * 2000, 4: b"four", 5: bytes(range(256)) * 100}
SIZE = 9 * BLOCK
PLAIN = build(CONTENT, SIZE, block_size=BLOCK)
ALL_BLOCKS = build(CONTENT, SIZE, block_size=BLOCK, all_blocks=True)
ZLIB = build(CONTENT, SIZE, block_size=BLOCK, method=records.ZLIB)
SHAPES = {"plain": PLAIN, "all blocks": ALL_BLOCKS, "zlib": ZLIB}
DISK = b"".join(CONTENT.get(n, b"").ljust(BLOCK, b"\0") for n in range(9))


def faults_of(data: bytes, *, deep: bool = True) -> list[Fault]:
    """Return all that is found, by every look there is; what is sound must read as a disk."""
    read = reading(data)
    found = examine(read, len(data))
    faults = list(found.faults)
    for fault in faults:
        assert 0 <= fault.offset <= len(data), fault
        assert fault.message
        assert str(fault.offset) in str(fault.as_error())
    if found.container is not None:
        wrong = check_records(found.container, read)
        faults += [wrong] if wrong is not None else []
        reader = Zvhd2Reader(found.container, read)
        for block in range(min(len(found.container.block_map), 20)):
            try:
                reader.read_block(block)
            except FormatError as error:
                if not faults or faults[-1].kind is not Kind.RECORD:
                    faults.append(Fault(Kind.PAYLOAD, str(error), error.offset or 0, 0))
    return faults


def one_fault(data: bytes, kind: Kind) -> Fault:
    """Return the only fault of a file, which is of this kind, and which the reader raises."""
    faults = faults_of(data)
    assert [fault.kind for fault in faults] == [kind], faults
    return faults[0]


# What may change in a footer without any harm to reading.
HARMLESS = {"features", "ff_version", "data_offset", "timestamp", "creator_app", "creator_version",
            "creator_os", "geometry", "type", "saved", "hidden", "align_64", "reserved"}  # fmt: skip
WIDTH = {"U8": 8, "U32": 32, "U64": 64}


def int_fields() -> list[str]:
    return [n for n in records.Footer._fields if isinstance(records.Footer._field_defaults[n], int)]


def bits_of(name: str) -> int:
    names = list(records.Footer._fields)
    after = names[names.index(name) + 1 :]
    return 8 * ((records.field_offset(after[0]) if after else 512) - records.field_offset(name))


@pytest.mark.parametrize("where", ["footer", "header", "both"])
@pytest.mark.parametrize("name", int_fields())
@pytest.mark.parametrize("shape", SHAPES)
def test_each_field_of_header_and_footer_with_a_value_that_is_off(
    shape: str, name: str, where: str
) -> None:
    """0, 1, all ones, one more, one less; the checksum is that of the new values."""
    built = SHAPES[shape]
    right = getattr(built.header if where == "header" else built.footer, name)
    top = 2 ** bits_of(name) - 1
    for value in {0, 1, top, top // 2 + 1, (right + 1) & top, (right - 1) & top} - {right}:
        if where == "footer":
            data = built.with_footer(**{name: value})
        elif where == "header":
            data = built.with_bytes(0, records.pack_footer(built.header._replace(**{name: value})))
        else:
            data = built.with_footer(header=True, **{name: value})
        faults = faults_of(data)
        kinds = {fault.kind for fault in faults}
        if name in HARMLESS or name == "checksum":  # pack computes the checksum itself
            assert not faults, (name, value)
        elif faults:
            # A codec that is not the records' own shows at the records.
            assert len(faults) == 1 or kinds == {Kind.PAYLOAD}, faults
        else:
            assert sound_without(name, where, value, built), (name, where, value)


def sound_without(name: str, where: str, value: int, built: Built) -> bool:
    """Return whether the file with this one other value is as good as before."""
    if where == "header":  # the counts of the tables, which only the final footer has
        return name in {"index_lba", "bitmap_lba", "index_size", "bitmap_size", "index_seg_size",
                        "bitmap_seg_size", "index_seg_num", "bitmap_seg_num", "non_zero_blk_num"}  # fmt: skip
    return where == "both" and name == "curr_size" and value % 512 == 0 and value >= SIZE


@pytest.mark.parametrize("name", ["offset", "block", "length"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_field_of_an_index_entry_with_a_value_that_is_off(name: str, number: int) -> None:
    right = int(PLAIN.entries[name][number])
    top = 2 ** (64 if name == "offset" else 32) - 1
    values = {0, 1, top, top - 4095, right + 1, right - 1, right + 4096, right - 4096, 2**31, 4096}
    for value in values - {right}:
        if not 0 <= value <= top:
            continue
        faults = faults_of(PLAIN.with_entry(number, **{name: value}))
        assert len(faults) == 1, (value, faults)
        where = PLAIN.footer.index_lba + 16 * number
        if faults[0].kind is Kind.ENTRY:
            assert faults[0].offset == where


def test_tables_may_lie_right_behind_the_header_and_not_inside_of_it() -> None:
    """A disk of zeros has nothing but tables; a writer may leave out the middle footer."""
    built = build({}, SIZE, block_size=BLOCK, middle=False)
    assert built.footer.bitmap_lba == records.FOOTER_LENGTH
    assert faults_of(built.data) == []
    inside = one_fault(built.with_footer(bitmap_lba=0), Kind.TABLES)
    assert (inside.expected, inside.found) == ("a multiple of 4096 from 4096 to 4096", "0")


@pytest.mark.parametrize("name", ["prefix", "size", "curr_blk", "postfix"])
def test_each_field_of_a_record_with_a_value_that_is_off(name: str) -> None:
    offset, length = int(PLAIN.entries["offset"][2]), int(PLAIN.entries["length"][2])
    at = {"prefix": 0, "size": 12, "curr_blk": 16, "postfix": length - 4}[name] + offset
    right = int.from_bytes(PLAIN.data[at : at + 4], "little")
    for value in {0, 1, 2**32 - 1, right + 1, right - 1} - {right}:
        faults = faults_of(PLAIN.with_bytes(at, value.to_bytes(4, "little")))
        assert len(faults) == 1, (value, faults)
        assert faults[0].kind in {Kind.RECORD, Kind.PAYLOAD}
        assert faults[0].offset == offset


@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_cut_at_every_structure_is_refused(shape: str) -> None:
    built = SHAPES[shape]
    for edge in built.structures[:-1]:
        for end in {max(0, edge - 1), edge, edge + 1}:
            assert len(faults_of(built.data[:end])) == 1, end


@pytest.mark.parametrize("more", [b"\0", bytes(4096), b"z2strm\0\0" + bytes(4088)])
def test_a_file_with_something_behind_its_end_is_refused(more: bytes) -> None:
    one_fault(PLAIN.data + more, Kind.FOOTER)


def test_bits_of_the_bitmap_that_lie_are_found() -> None:
    at = PLAIN.footer.bitmap_lba
    for byte, kept in ((0, 0b00110011), (0, 0b00100010), (0, 0), (1, 0b10), (4095, 0x80)):
        fault = one_fault(PLAIN.with_bytes(at + byte, bytes([kept])), Kind.BITMAP)
        assert fault.offset == at + byte


def test_entries_that_point_into_each_other_or_into_the_tables_are_refused() -> None:
    first, second, third = PLAIN.entries
    length = int(first["length"])
    one_fault(PLAIN.with_entry(1, offset=int(first["offset"])), Kind.OVERLAP)
    one_fault(PLAIN.with_entry(0, length=length + 4096), Kind.OVERLAP)
    one_fault(PLAIN.with_entry(1, block=int(first["block"])), Kind.TWICE)
    for place in (
        0,
        PLAIN.footer.index_lba,
        PLAIN.footer.bitmap_lba,
        len(PLAIN.data),
        2**63,
        2**64 - 4096,
    ):
        fault = one_fault(PLAIN.with_entry(2, offset=place), Kind.ENTRY)
        assert str(place) in str(fault.found)
    one_fault(PLAIN.with_entry(2, block=9), Kind.ENTRY)
    room = PLAIN.footer.index_lba - int(third["offset"])
    one_fault(PLAIN.with_entry(2, length=room + 4096), Kind.ENTRY)
    # A record may not reach over the middle footer unnoticed: its end is not where it says.
    one_fault(PLAIN.with_entry(2, length=room), Kind.RECORD)
    assert second["length"]


def test_tables_that_overlap_and_counts_without_room_are_refused() -> None:
    fault = one_fault(PLAIN.with_footer(bitmap_lba=PLAIN.footer.index_lba), Kind.TABLES)
    assert "overlap" in fault.message
    fault = one_fault(PLAIN.with_footer(non_zero_blk_num=9), Kind.TABLES)
    assert "room" in fault.message


def test_entries_of_an_index_of_all_blocks_stand_in_their_places() -> None:
    one_fault(ALL_BLOCKS.with_entry(4, block=5), Kind.ENTRY)
    one_fault(ALL_BLOCKS.with_entry(4, offset=0, block=0, length=0), Kind.ENTRY)
    one_fault(ALL_BLOCKS.with_entry(2, block=2), Kind.ENTRY)


def test_a_huge_number_of_blocks_in_a_small_file_is_refused_without_memory() -> None:
    data = bytearray(golden("all_zero"))
    assert len(data) == 16384
    footer = records.unpack_footer(data[-4096:])
    most = 4_000_000_000
    for fields in (
        {"max_blk_num": most},
        {"max_blk_num": most, "orig_size": most * 2 * MIB, "curr_size": most * 2 * MIB},
        {"non_zero_blk_num": most},
        {"max_blk_num": 2**32 - 1, "orig_size": (2**32 - 1) * 2 * MIB, "curr_size": 2**63 - 512,
         "non_zero_blk_num": 2**32 - 1, "bitmap_size": 2**32 - 4096, "index_size": 2**32 - 2**19},
    ):  # fmt: skip
        for consistent in (False, True):
            made = footer._replace(**fields)
            if consistent:
                made = records.final_footer(made, made.non_zero_blk_num, 4096)
                made = made._replace(
                    index_size=made.index_size % 2**32, bitmap_size=made.bitmap_size % 2**32,
                    bitmap_lba=made.bitmap_lba % 2**64,
                )  # fmt: skip
            data[-4096:-3584] = records.pack_footer(made)
            data[:512] = records.pack_footer(
                records.unpack_footer(data)._replace(
                    max_blk_num=made.max_blk_num, orig_size=made.orig_size, curr_size=made.curr_size
                )
            )
            tracemalloc.start()
            faults = faults_of(bytes(data))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert len(faults) == 1
            assert peak < MIB, fields


@pytest.mark.parametrize("all_blocks", [0, 1])
def test_a_huge_number_of_blocks_in_a_long_sparse_file_is_refused_too(all_blocks: int) -> None:
    """The file's length allows the tables, and costs its maker nothing."""
    blocks = zvhd2_faults.MAX_BLOCKS
    for count, fault in ((blocks, None), (blocks + 1, Kind.TABLES), (1 << 28, Kind.TABLES)):
        header = records.new_header(count * 2 * MIB)._replace(index_contains_zero_blk=all_blocks)
        footer = records.final_footer(header, 0, 8192)
        footer = footer._replace(index_size=footer.index_size % 2**32)
        end = footer.bitmap_lba + footer.bitmap_size

        def read(offset: int, length: int) -> bytes:
            if offset == 0:
                return records.pack_footer(header).ljust(length, b"\0")  # noqa: B023 - read at once
            if offset == end:  # noqa: B023 - read at once
                return records.pack_footer(footer).ljust(length, b"\0")  # noqa: B023 - read at once
            return bytes(length)

        tracemalloc.start()
        found = examine(read, end + 4096)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [f.kind for f in found.faults] == ([fault] if fault else [])
        assert peak < 256 * MIB


BOMB = b"\x28\xb5\x2f\xfd\xe0" + (1 << 50).to_bytes(8, "little")  # a frame of a PiB, it says


def test_a_frame_that_claims_petabytes_is_refused_without_memory() -> None:
    built = build({0: b"x"}, BLOCK, block_size=BLOCK)
    data = built.with_bytes(4096 + 48, BOMB)
    tracemalloc.start()
    fault = one_fault(data, Kind.PAYLOAD)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "2^50" in fault.message or str(1 << 50) in fault.message
    assert peak < 3 * MIB


def test_a_big_endian_file_is_told() -> None:
    big = bytearray(PLAIN.data)
    at = 0
    for name in records.Footer._fields:
        width = bits_of(name) // 8
        if isinstance(records.Footer._field_defaults[name], int):
            for base in (0, len(big) - 4096):
                big[base + at : base + at + width] = big[base + at : base + at + width][::-1]
        at += width
    faults = faults_of(bytes(big))
    assert "big-endian" in faults[0].message
    assert {fault.kind for fault in faults} == {Kind.HEADER, Kind.FOOTER}


def test_a_zvhd_of_version_1_is_told() -> None:
    fault = one_fault(b"stream\0\0" + PLAIN.data[8:], Kind.VERSION)
    assert "version 1" in fault.message


def test_a_container_without_an_index_is_told() -> None:
    header = PLAIN.header._replace(zvhd2_version=0, creator_version=0x00010003)
    data = records.pack_footer(header).ljust(4096, b"\0") + PLAIN.data[4096 : PLAIN.middle]
    fault = one_fault(data, Kind.VERSION)
    assert "no index" in fault.message


@pytest.mark.parametrize("data", [b"", b"z2strm", bytes(4096), bytes(16384), b"\xff" * 20000])
def test_what_is_no_container_is_refused(data: bytes) -> None:
    assert 1 <= len(faults_of(data)) <= 2
    with pytest.raises(FormatError):
        examine(reading(data), len(data)).container_or_raise()


def test_a_damaged_header_does_not_hide_what_else_is_wrong() -> None:
    data = bytearray(PLAIN.with_entry(0, offset=1))
    data[50] ^= 1
    assert [fault.kind for fault in faults_of(bytes(data))] == [Kind.HEADER, Kind.ENTRY]


def test_the_stale_middle_footer_and_the_padding_are_of_no_account() -> None:
    data = bytearray(PLAIN.data)
    data[PLAIN.middle : PLAIN.middle + 4096] = b"\xff" * 4096
    data[512:4096] = b"\xff" * 3584
    data[-3584:] = b"\xff" * 3584
    assert faults_of(bytes(data)) == []


@given(st.data())
def test_flipped_bytes_anywhere_never_give_another_disk(data: st.DataObject) -> None:
    """A byte that matters is noticed; where nothing is noticed, the disk is the same."""
    built = SHAPES[data.draw(st.sampled_from(sorted(SHAPES)))]
    # Most of a file is index: half of the flips go elsewhere.
    size = len(built.data)
    places = st.one_of(
        st.integers(0, size - 1), st.integers(4096, built.middle), st.integers(size - 4096, size - 3900),
        st.integers(built.footer.index_lba, built.footer.index_lba + 160),
    )  # fmt: skip
    broken = bytearray(built.data)
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(places)] ^= data.draw(st.integers(1, 255))
    faults = faults_of(bytes(broken))
    if not faults:
        found = examine(reading(bytes(broken)), size)
        disk = Zvhd2Reader(found.container_or_raise(), reading(bytes(broken))).read(SIZE)
        # zstd frames of the driver carry no checksum: a flip inside a payload may pass unseen.
        inside = any(
            b != g
            for b, g in zip(
                broken[4096 : built.middle], built.data[4096 : built.middle], strict=True
            )
        )
        assert disk == DISK or inside


@given(st.binary(max_size=600), st.integers(0, 3))
def test_garbage_is_refused(garbage: bytes, keep: int) -> None:
    head = PLAIN.data[: (0, 8, 512, 4096)[keep]]
    data = head + garbage
    assert faults_of(data)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), min_size=3, max_size=3))  # fmt: skip
def test_any_index_at_all_is_handled(rows: list[tuple[int, int, int]]) -> None:
    raw = np.array(rows, records.INDEX_ENTRY).tobytes()
    assert faults_of(PLAIN.with_bytes(PLAIN.footer.index_lba, raw))


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 10), st.integers(0, 3)), min_size=3, max_size=3))  # fmt: skip
def test_any_index_of_nearly_right_numbers_gives_the_right_blocks_or_none(
    rows: list[tuple[int, int, int]],
) -> None:
    raw = np.array([(p * 4096, b, n * 4096) for p, b, n in rows], records.INDEX_ENTRY).tobytes()
    data = PLAIN.with_bytes(PLAIN.footer.index_lba, raw)
    if not faults_of(data):
        found = examine(reading(data), len(data)).container_or_raise()
        assert Zvhd2Reader(found, reading(data)).read(SIZE) == DISK


@given(st.dictionaries(st.sampled_from(int_fields()), st.integers(0, 2**64 - 1), max_size=4), st.booleans())  # fmt: skip
def test_any_footer_at_all_is_handled(fields: dict[str, int], both: bool) -> None:
    fields = {name: value % 2 ** bits_of(name) for name, value in fields.items()}
    faults_of(PLAIN.with_footer(header=both, **fields))


def test_a_disk_larger_than_its_image_is_zeros_behind_it() -> None:
    data = PLAIN.with_footer(header=True, curr_size=5 * GIB)
    found = examine(reading(data), len(data)).container_or_raise()
    reader = Zvhd2Reader(found, reading(data))
    assert reader.size == 5 * GIB
    assert reader.pread(SIZE - 10, 20) == bytes(20)
    assert not any(reader.pread(5 * GIB - 10, 20))


@pytest.mark.parametrize("by", [512, 1, 4095])
def test_a_record_that_does_not_begin_at_a_multiple_of_4096_is_a_fault(by: int) -> None:
    built = build({0: b"a", 3: b"b"}, 8 << 20)
    data = built.with_entry(1, offset=int(built.entries["offset"][1]) + by)
    with pytest.raises(FormatError, match="4096"):
        examine(reading(data), len(data)).container_or_raise()


def test_a_record_without_a_payload_is_a_fault() -> None:
    built = build({0: b"a", 3: b"b"}, 8 << 20)
    at = int(built.entries["offset"][1])
    data = built.with_bytes(at + 12, bytes(4))
    container = examine(reading(data), len(data)).container_or_raise()
    fault = check_records(container, reading(data))
    assert fault is not None
    assert (fault.kind, fault.offset) == (Kind.RECORD, at)
    with pytest.raises(FormatError, match="a payload that fills the record"):
        Zvhd2Reader(container, reading(data)).read_block(3)


def test_a_disk_may_be_as_large_as_it_is_shown_and_is_never_without_sectors() -> None:
    """`curr_size` is `orig_size` where that is a whole number of GiB already."""
    whole = build({0: b"a"}, GIB, block_size=32 * MIB)
    assert whole.footer.orig_size == whole.footer.curr_size
    assert faults_of(whole.data) == []
    none = PLAIN.footer._replace(orig_size=0, max_blk_num=0, non_zero_blk_num=0)
    fault = zvhd2_faults.field_fault(none, 4096)
    assert fault is not None
    assert "orig_size" in fault.message


def test_a_file_has_room_for_as_many_records_as_it_has_pages_and_no_more() -> None:
    pages = (PLAIN.footer.data_end - 4096) // 4096
    size = len(PLAIN.data)
    for count, fine in ((pages, True), (pages + 1, False)):
        footer = PLAIN.footer._replace(non_zero_blk_num=count, max_blk_num=pages + 9)
        wanted = records.final_footer(footer, count, footer.index_lba)
        fault = zvhd2_faults.tables_fault(
            wanted._replace(index_lba=footer.index_lba, bitmap_lba=wanted.bitmap_lba), size
        )
        assert (fault is None) == fine, (count, fault)


@pytest.mark.parametrize("left", [0, 1, 4095])
def test_a_payload_may_fill_its_record_to_the_last_byte(left: int) -> None:
    entries = np.zeros(1, records.INDEX_ENTRY)
    entries["length"] = 8192
    heads = np.zeros(1, records.RECORD_HEAD)
    heads["prefix"], heads["size"] = records.PREFIX, 8192 - 48 - 4 - left
    ends = np.array([records.POSTFIX])
    assert zvhd2_faults.records_fault(entries, heads, ends) is None
    for size in (8192 - 48 - 3, 8192 - 48 - 4 - 4096):
        heads["size"] = size
        fault = zvhd2_faults.records_fault(entries, heads, ends)
        assert fault is not None
        assert fault.kind is Kind.RECORD


def test_a_fault_names_the_bytes_that_it_is_about() -> None:
    old = zvhd2_faults.header_fault(b"stream\0\0".ljust(4096, b"\0"))
    assert old is not None
    assert (old.offset, old.length, old.found) == (0, 8, "stream")


def test_each_stage_of_a_look_is_one_of_its_own() -> None:
    stages = list(zvhd2_faults.Stage.__members__.values())
    assert [int(stage) for stage in stages] == list(range(7))
    assert len({stage.name for stage in stages}) == 7


def test_a_sound_container_is_described_by_its_footer() -> None:
    found = examine(reading(PLAIN.data), len(PLAIN.data))
    told = found.as_dict()
    assert (told["original_size"], told["virtual_size"]) == (SIZE, GIB)
    assert (told["blocks"], told["records"], told["block_size"]) == (9, 3, BLOCK)
    assert (told["compression"], told["uuid"]) == ("zstd", "75" * 16)
    assert not found.shows_two_disks
    cut = examine(reading(PLAIN.data[:-4096]), len(PLAIN.data) - 4096)
    assert cut.as_dict() == {}
    order = [5, 4, 1]
    shuffled = build(CONTENT, SIZE, block_size=BLOCK, order=order)
    assert examine(reading(shuffled.data), len(shuffled.data)).shows_two_disks
    every = build(CONTENT, SIZE, block_size=BLOCK, order=order, all_blocks=True)
    assert not examine(reading(every.data), len(every.data)).shows_two_disks


def test_a_disk_is_smaller_than_any_offset_could_tell() -> None:
    """Field by field: the last value that may be, and the first that may not."""
    block_size = 32 * MIB
    for size, fine in ((2**63 - 512, True), (2**63, False)):
        blocks = -(-size // block_size)
        footer = PLAIN.footer._replace(
            block_size=block_size, orig_size=size, curr_size=size, max_blk_num=blocks
        )
        fault = zvhd2_faults.field_fault(footer, 4096)
        assert (fault is None) is fine
        grown = PLAIN.footer._replace(curr_size=size)
        fault = zvhd2_faults.field_fault(grown, 4096)
        assert (fault is None) is fine
    assert fault == Fault(
        Kind.FIELD, "curr_size has an impossible value", 4096 + 48, 4,
        f"a multiple of 512 from orig_size, {SIZE}", str(2**63),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "fine"),
    [
        ("length", 0, False), ("length", 4097, False), ("length", 8192, True),
        ("length", 1 << 31, False), ("offset", 0, False), ("offset", 4097, False),
        ("offset", 2**64 - 4096, False), ("block", 8, True), ("block", 9, False),
    ],
)  # fmt: skip
def test_each_test_of_an_entry_by_itself(name: str, value: int, fine: bool) -> None:
    entries = PLAIN.entries.copy()
    entries[name][1] = value
    fault = zvhd2_faults.entry_fault(
        PLAIN.footer._replace(index_lba=1 << 20, bitmap_lba=1 << 21), entries
    )
    assert (fault is None) is fine
    if fault is not None:
        assert "index entry 1 does not point to a block record" in fault.message
        assert (fault.offset, fault.length) == ((1 << 20) + 16, 16)


def test_faults_in_full() -> None:
    """The first of several is named, and where it lies."""
    entries = np.zeros(4, records.INDEX_ENTRY)
    entries["block"], entries["offset"], entries["length"] = (
        [2, 2, 3, 3],
        [4096, 8192, 12288, 16384],
        4096,
    )
    assert zvhd2_faults.twice_fault(entries) == Fault(
        Kind.TWICE, "block 2 is stored twice, and 1 more block", 8192, 4096,
        "each block once", "records at bytes 4096 and 8192",
    )  # fmt: skip
    footer = PLAIN.footer
    assert zvhd2_faults.bitmap_fault(footer, bytes([0b10011, 1]), PLAIN.entries) == Fault(
        Kind.BITMAP, "block 0 is marked in the bitmap and not stored, and 2 more blocks",
        footer.bitmap_lba, 1, "3 marked blocks, those of the index", "4",
    )  # fmt: skip
    heads = np.zeros(2, records.RECORD_HEAD)
    heads["prefix"], heads["size"], heads["block"] = b"hwstream xx", 10, [2, 2]
    ends = np.array([records.POSTFIX, records.POSTFIX])
    assert zvhd2_faults.records_fault(entries[:2], heads, ends) == Fault(
        Kind.RECORD, "the record of block 2 is damaged, and 1 more record", 4096, 4096,
        "the prefix `hwstream bg`", "'hwstream xx'",
    )  # fmt: skip
    assert zvhd2_faults.header_fault(b"some others".ljust(4096, b"\0")) == Fault(
        Kind.HEADER, "there is no header", 0, 8, "the cookie z2strm", "'some o'"
    )
    short = zvhd2_faults.header_fault(b"z2strm\0\0")
    assert short == Fault(
        Kind.HEADER, "the file is too short for a header", 0, 8, "4096 bytes", "8"
    )
    assert zvhd2_faults.footer_fault(b"z2str!".ljust(4096, b"\0"), 8192) == Fault(
        Kind.FOOTER,
        "the file does not end with a footer: it was cut short, is still being written, or has"
        " something after its end",
        8192, 4096, "the cookie z2strm", "'z2str!'",
    )  # fmt: skip


def test_a_record_is_no_longer_than_any_block_can_be_packed() -> None:
    """Or reading one block would take as much memory as its entry says."""
    noise = np.random.default_rng(5).bytes(4 * BLOCK)
    built = build({n: noise[n * BLOCK :][:BLOCK] for n in range(4)}, 4 * BLOCK, block_size=BLOCK)
    longest = records.max_record_length(BLOCK)
    one_fault(built.with_entry(0, length=longest), Kind.OVERLAP)
    fault = one_fault(built.with_entry(0, length=longest + 4096), Kind.ENTRY)
    assert f"length {longest + 4096}" in str(fault.found)
