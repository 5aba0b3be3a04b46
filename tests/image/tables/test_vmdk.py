"""The header of a VMDK, field by field, and what its tables and its stream must agree in."""

from __future__ import annotations

import struct

import pytest

from imsprep.image.tables import vmdk
from imsprep.image.tables.survey import SurveyError

# Virtual Disk Format 5.0 (VMware, 2011), "SparseExtentHeader"; sizes and places in sectors.
FIELDS = {
    "magic": b"KDMV", "version": 1, "flags": 3, "capacity": 4096, "grain": 128, "descriptor": 1,
    "descriptor_size": 20, "entries": 512, "spare": 21, "directory": 26, "overhead": 128,
    "unclean": 0, "line_ends": b"\n \r\n", "compression": 0,
}  # fmt: skip


FORM = "<4sIIQQQQIQQQB4sH"


def head(**changes: object) -> vmdk.Header:
    data = struct.pack(FORM, *(FIELDS | changes).values()).ljust(1 << 17, b"\0")
    return vmdk.header(lambda o, n: data[o : o + n], len(data))


def test_the_header_of_a_streamed_image_is_its_footer() -> None:
    """It stands in front of the mark of the end, 1024 bytes before the end of the file."""
    front = struct.pack(FORM, *(FIELDS | {"directory": 2**64 - 1}).values()).ljust(4096, b"\0")
    back = struct.pack(FORM, *(FIELDS | {"directory": 77}).values()).ljust(512, b"\0")
    data = front + back + bytes(512)
    assert vmdk.header(lambda o, n: data[o : o + n], len(data)).directory == 77
    for cut in (data[:-512], data[:-1024]):
        with pytest.raises(SurveyError, match="ends with a footer, and there is none"):
            vmdk.header(lambda o, n, cut=cut: cut[o : o + n], len(cut))


@pytest.mark.parametrize("change", [{"capacity": 4224}, {"grain": 64}])
def test_a_footer_of_another_disk_is_refused(change: dict[str, int]) -> None:
    front = struct.pack(FORM, *(FIELDS | {"directory": 2**64 - 1}).values()).ljust(4096, b"\0")
    back = struct.pack(FORM, *(FIELDS | {"directory": 77} | change).values()).ljust(1024, b"\0")
    data = front + back
    with pytest.raises(SurveyError, match=r"header and its footer differ \(at byte 4096\)"):
        vmdk.header(lambda o, n: data[o : o + n], len(data))


def test_a_header_is_read() -> None:
    found = head()
    assert (found.capacity, found.grain_size, found.entries) == (4096, 128, 512)
    for version in (1, 2, 3):
        head(version=version)
    for grain_size in (1, 2, 131072):
        assert head(grain=grain_size).grain_size == grain_size
    for entries in (1, 4096):
        assert head(entries=entries).entries == entries
    assert head(flags=0x10001, compression=1).packed
    assert not head(flags=0x20001).packed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"line_ends": b"\n \n\n"}, r"as text, .*\(at byte 73\)"),
        ({"version": 0}, "version 0"),
        ({"version": 4}, "version 4"),
        ({"capacity": 0}, "a disk of 0 sectors"),
        ({"capacity": 1 << 50}, r"a disk of 576460752303423488 bytes \(at byte 12\)"),
        ({"grain": 262144}, "grains of 262144"),
        ({"grain": 0}, r"grains of 0, .*\(at byte 12\)"),
        ({"grain": 127}, "grains of 127"),
        ({"entries": 0}, "tables of 0"),
        ({"entries": 4097}, "tables of 4097"),
        ({"compression": 1}, "compression of type 1"),
        ({"flags": 0x20003, "compression": 1}, r"compression of type 1 \(at byte 77\)"),
        ({"flags": 0x10003, "compression": 0}, "compression of type 0"),
        ({"flags": 0x10003, "compression": 2}, "compression of type 2"),
    ],
)
def test_a_header_that_no_program_writes_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SurveyError, match=words):
        head(**changes)


TEXT = b'# Disk DescriptorFile\nparentCID=%s\nRW %d SPARSE "disk.vmdk"\n'
# A disk of 32 grains of 64 KiB in two tables of 16, both twice; grains follow from sector 32 on.
TABLES = {"entries": 16, "capacity": 4096, "overhead": 31}
GRAIN = 128


def sparse(
    grains: dict[int, int], *, copy: dict[int, int] | None = None, sectors: int = 32 + 2 * GRAIN,
    text: bytes = TEXT % (b"ffffffff", 4096), changes: dict[int, bytes] | None = None,
    **fields: object,
) -> bytearray:  # fmt: skip
    """Return an image whose tables place these grains; `copy` is for the second tables."""
    data = bytearray(sectors * 512)
    front = struct.pack(FORM, *(FIELDS | TABLES | fields).values())
    pieces = {0: front, 512: text}
    for directory, places in ((26, grains), (21, grains if copy is None else copy)):
        pieces[directory * 512] = struct.pack("<II", directory + 1, directory + 2)
        numbers = struct.pack("<32I", *(places.get(grain, 0) for grain in range(32)))
        pieces |= {(directory + 1) * 512: numbers[:64], (directory + 2) * 512: numbers[64:]}
    for at, piece in (pieces | (changes or {})).items():
        data[at : at + len(piece)] = piece
    return data


def survey(data: bytes) -> vmdk.Survey:
    return vmdk.survey(lambda at, length: bytes(data[at : at + length]), len(data))


def large_gaps(found: vmdk.Survey) -> list[tuple[int, int]]:
    return found.ledger.gaps(GRAIN * 512)


def test_each_grain_has_its_bytes_of_the_file() -> None:
    found = survey(sparse({0: 160, 17: 32}))
    assert (found.virtual_size, found.least_gap, found.notes) == (4096 * 512, None, ())
    assert large_gaps(found) == []
    # The descriptor, and what rounds a directory or a table up to a sector.
    used = {0: 512, 21: 8, 22: 64, 23: 64, 26: 8, 27: 64, 28: 64, 32: 2 * GRAIN * 512}
    stops = [at * 512 + length for at, length in used.items()]
    starts = [at * 512 for at in used]
    assert found.ledger.gaps(1) == [
        (stop, start - stop) for stop, start in zip(stops, starts[1:], strict=False)
    ]
    assert large_gaps(survey(sparse({17: 160}))) == [(29 * 512 - 512 + 64, 132 * 512 - 64)]
    once = survey(sparse({0: 160}, flags=1, copy={5: 32}))
    assert (once.least_gap, len(large_gaps(once))) == (GRAIN * 512, 1)
    assert len(survey(sparse({}, unclean=1)).notes) == 1


def test_an_entry_of_1_is_a_grain_of_zeros_if_the_header_says_so() -> None:
    assert len(large_gaps(survey(sparse({0: 160, 3: 1}, flags=7)))) == 1
    with pytest.raises(SurveyError, match="lie over each other"):
        survey(sparse({0: 160, 3: 1}))


@pytest.mark.parametrize("capacity", [4096 - 64, 4096 - 127])
def test_only_the_last_grain_may_be_short(capacity: int) -> None:
    """The file may end where the disk does."""
    options = {"capacity": capacity, "text": TEXT % (b"ffffffff", capacity)}
    end = 32 + GRAIN + capacity % GRAIN
    assert survey(sparse({0: 32, 31: 160}, sectors=end, **options)).virtual_size == capacity * 512
    with pytest.raises(SurveyError, match="cut short"):
        survey(sparse({0: 32, 31: 160}, sectors=end - 1, **options))
    with pytest.raises(SurveyError, match="cut short"):
        survey(sparse({31: 32, 0: 160}, sectors=end, **options))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (sparse({0: 32}, copy={0: 160}), r"second copy differ \(at byte 10752\)"),
        (sparse({0: 32}, copy={}), "second copy differ"),
        (sparse({0: 32, 20: 32}), "a grain and a grain lie over each other"),
        (sparse({0: 32, 20: 159}), "a grain and a grain lie over each other"),
        (sparse({0: 28}), "a grain table and a grain lie over each other"),
        (sparse({0: 160, 3: 2}, flags=7), "lie over each other"),
        (sparse({0: 161}), "cut short"),
        (sparse({0: 1 << 31}), "cut short"),
        (sparse({0: 32, 31: 160}, capacity=31 * GRAIN, text=TEXT % (b"ffffffff", 31 * GRAIN)),
         r"beyond the end of the disk \(at byte 0\)"),
        (sparse({0: 32}, changes={26 * 512: struct.pack("<II", 27, 27)}),
         r"entries of its grain directory are the same \(at byte 13312\)"),
        (sparse({0: 32}, changes={26 * 512: struct.pack("<II", 27, 1 << 20)}), "cut short"),
        (sparse({0: 32}, text=TEXT % (b"ffffffff", 4095)),
         r"4096 sectors, its descriptor of 4095 \(at byte 12\)"),
        (sparse({0: 32}, text=TEXT % (b"1234abcd", 4096)), "it needs its parent"),
        (sparse({0: 32}, text=b""), "only a piece of a disk"),
        (sparse({0: 32}, descriptor=0), "only a piece of a disk"),
        (sparse({0: 32}, magic=b"COWD"), "piece of a disk of ESX"),
        (sparse({0: 32}, magic=b"# Di"), "only describes a disk"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_right_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(SurveyError, match=words):
        survey(data)


def grain(sector: int, length: int) -> bytes:
    """A grain of a stream: the disk's sector, how many bytes follow, and the bytes."""
    piece = struct.pack("<QI", sector, length) + b"x" * length
    return piece.ljust(-(-len(piece) // 512) * 512, b"\0")


def marker(kind: int, sectors: int = 0) -> bytes:
    return struct.pack("<QII", sectors, 0, kind).ljust(512 + sectors * 512, b"\xff")


def streamed(grains: dict[int, int], *pieces: bytes, **options: object) -> bytearray:
    """Return an image whose stream, from sector 31 on, has these pieces."""
    stream = b"".join(pieces)
    return sparse(grains, changes={31 * 512: stream}, sectors=31 + -(-len(stream) // 512),
                  flags=0x30001, compression=1, **options)  # fmt: skip


# In sectors: 31 and 32, a table of 3 from 33 to 36, 37 to 39, the end.
PIECES = [grain(0, 513), marker(1, 3), grain(20 * GRAIN, 1300), marker(2, 1), marker(3), marker(0)]
NAMED = {0: 31, 20: 37}


def test_a_stream_whose_grains_are_those_of_its_tables_is_taken() -> None:
    found = survey(streamed(NAMED, *PIECES))
    assert (found.virtual_size, found.least_gap) == (4096 * 512, None)
    assert survey(streamed(NAMED, *PIECES[:-1])).virtual_size == 4096 * 512  # no mark of the end
    survey(streamed({0: 31}, grain(0, 500)))  # its last byte is the file's
    # What follows the end is none of the stream's.
    survey(streamed(NAMED, *PIECES, grain(128, 9)))


def test_a_table_within_a_grain_of_the_stream_is_refused() -> None:
    """It reads as an empty one: the directory would have lost the grains of the true table."""
    data = streamed({0: 31}, grain(0, 1100), marker(0))
    assert survey(data).virtual_size == 4096 * 512
    data[26 * 512 : 26 * 512 + 8] = struct.pack("<II", 27, 32)
    data[32 * 512 : 32 * 512 + 64] = bytes(64)
    with pytest.raises(SurveyError, match="a compressed grain and a grain table lie over"):
        survey(data)


@pytest.mark.parametrize(
    ("grains", "pieces", "words"),
    [
        ({0: 31}, PIECES, r"do not agree \(at byte 18944\)"),
        (NAMED, [PIECES[0], marker(0)], r"do not agree \(at byte 18944\)"),
        ({0: 31, 21: 37}, PIECES, r"do not agree \(at byte 18944\)"),
        ({0: 31, 20: 36}, PIECES, r"do not agree \(at byte 18432\)"),
        ({0: 31}, [PIECES[0], marker(0, 1)], r"nor a marker of its stream \(at byte 16896\)"),
        ({0: 31}, [PIECES[0], marker(4)], r"nor a marker of its stream \(at byte 16896\)"),
        ({0: 31}, [struct.pack("<QI", 0, 501).ljust(512, b"x")],
         r"ends beyond the end of the file \(at byte 15872\)"),
    ],
)  # fmt: skip
def test_a_stream_that_its_tables_do_not_fit_is_refused(
    grains: dict[int, int], pieces: list[bytes], words: str
) -> None:
    with pytest.raises(SurveyError, match=words):
        survey(streamed(grains, *pieces))
