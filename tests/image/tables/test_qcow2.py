"""A qcow2's header and tables, field by field: what is refused, and which bytes each entry names."""

from __future__ import annotations

import struct

import pytest

from imsprep.image.tables import qcow2
from imsprep.image.tables.survey import LARGEST_DISK, Survey, SurveyError

CLUSTER = 512  # the least that there is
STORED = 1 << 63  # bit 63 of an entry: its cluster is used once
PACKED = 1 << 62
L1, L2, DATA = 512, 1024, 1536  # where each begins; of these images


def header_of(**changes: int) -> bytes:
    """A header, laid out as the format's document has it, of a disk of 64 clusters."""
    fields = {
        "version": 3, "backing": 0, "backing_length": 0, "bits": 9, "size": 64 * CLUSTER,
        "encryption": 0, "l1_size": 1, "l1_offset": L1, "refcounts": 0, "refcount_clusters": 0,
        "snapshots": 0, "snapshots_offset": 0, "features": 0, "compatible": 0, "autoclear": 0,
        "order": 4, "length": 104, "compression": 0,
    } | changes  # fmt: skip
    record = struct.pack(">4sIQIIQIIQQIIQQQQIIB", b"QFI\xfb", *fields.values())
    if fields["version"] == 2:
        record = record[:72].ljust(len(record), b"\xff")  # there is no more of it in this version
    return record.ljust(512, b"\0")


def image(
    *entries: int, l1: tuple[int, ...] = (STORED | L2,), clusters: int = 2, **changes: int
) -> bytes:
    """An image of clusters of 512 bytes: header, L1 table, one L2 table, data."""
    directory = struct.pack(f">{len(l1)}Q", *l1).ljust(512, b"\0")
    table = struct.pack(f">{len(entries)}Q", *entries).ljust(512, b"\0")
    return header_of(**changes) + directory + table + bytes(clusters * CLUSTER)


def survey(data: bytes) -> Survey:
    return qcow2.survey(lambda at, length: data[at : at + length], len(data))


def gaps(data: bytes) -> list[tuple[int, int]]:
    """What no table names; the header counts as a gap, as do clusters that are only read as zeros."""
    return survey(data).ledger.gaps(1)


HEAD = (0, 512)
REST = (L1 + 8, 504)  # behind an L1 table of one entry


def test_a_small_disk() -> None:
    data = image(STORED | DATA, STORED | DATA + CLUSTER)
    found = survey(data)
    assert (found.virtual_size, found.notes, found.has_check) == (64 * CLUSTER, (), True)
    assert gaps(data) == [HEAD, REST]
    assert gaps(image(STORED | DATA)) == [HEAD, REST, (DATA + CLUSTER, CLUSTER)]
    assert survey(image(snapshots=1)).notes == (
        "it has internal snapshots; the disk as it is now is taken, none of those",
    )
    empty = image(l1=(0,), clusters=0)
    assert gaps(empty) == [HEAD, (L1 + 8, 504 + 512)]
    one = image(STORED | DATA, size=1)
    assert gaps(one)[2:] == [(DATA + 1, 2 * CLUSTER - 1)]


@pytest.mark.parametrize("version", [2, 3])
def test_each_version_has_its_header(version: int) -> None:
    """Version 2 ends behind 72 bytes: what lies there is no field."""
    data = image(STORED | DATA, STORED | DATA + CLUSTER, version=version)
    assert survey(data).virtual_size == 64 * CLUSTER
    zero = image(STORED | DATA | 1, STORED | DATA + CLUSTER, version=version)
    if version == 2:
        with pytest.raises(SurveyError, match="an entry of an L2 table that no program writes"):
            survey(zero)
    else:
        assert gaps(zero)[2:] == [(DATA, CLUSTER)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 1}, "version 1, and only 2 and 3 are known"),
        ({"version": 4}, "version 4"),
        ({"length": 96}, r"a header of 96 bytes \(at byte 100\)"),
        ({"length": 103}, "a header of 103 bytes"),
        ({"length": 105}, "a header of 105 bytes"),
        ({"length": 108}, "a header of 108 bytes"),
        ({"backing": 1}, "needs a backing file"),
        ({"encryption": 1}, "it is encrypted"),
        ({"encryption": 2}, "it is encrypted"),
        ({"features": 1}, "marked as dirty"),
        ({"features": 2}, "marked it as corrupt"),
        ({"features": 3}, "marked it as corrupt"),
        ({"features": 4}, "data lies in another file"),
        ({"features": 32}, r"not known here \(incompatible bit 5\)"),
        ({"features": 1 << 63}, r"incompatible bit 63\)"),
        ({"features": 8, "length": 112}, r"compression of type 0 \(at byte 104\)"),
        ({"features": 8}, "compression of type 0"),
        ({"features": 0, "length": 112, "compression": 1}, "compression of type 1"),
        ({"features": 8, "length": 112, "compression": 2}, "compression of type 2"),
        ({"size": 0}, r"a disk of 0 bytes \(at byte 24\)"),
        ({"size": LARGEST_DISK + 1, "l1_size": 1 << 31}, "a disk of"),
        ({"bits": 8}, r"clusters of 2\^8 bytes \(at byte 20\)"),
        ({"bits": 22}, r"clusters of 2\^22 bytes"),
        ({"l1_offset": L1 + 8}, r"lies at byte 520, between clusters \(at byte 40\)"),
        ({"l1_size": 0}, r"an L1 table of 0 entries for a disk that needs 1 \(at byte 36\)"),
        ({"size": 64 * CLUSTER + 1}, "of 1 entries for a disk that needs 2"),
        ({"l1_offset": 3 * 512, "clusters": 0}, "cut short"),
        ({"l1_size": 321}, "cut short"),
    ],
)
def test_a_header_that_cannot_be_right_or_stands_in_the_way_is_refused(
    changes: dict[str, int], words: str
) -> None:
    clusters = changes.get("clusters", 2)
    rest = {name: value for name, value in changes.items() if name != "clusters"}
    with pytest.raises(SurveyError, match=words):
        survey(image(clusters=clusters, **rest))


def test_a_header_at_its_limits_is_taken() -> None:
    # A compression type stands only in a header that reaches so far.
    assert survey(image(length=104, compression=9))
    assert survey(image(length=112, features=8, compression=1))
    assert survey(image(length=112))
    # An L1 table may have room for a larger disk; one cluster's worth of entries is read.
    assert survey(image(l1_size=64))
    assert survey(image(size=1))
    for bits in (9, 21):
        data = header_of(bits=bits, l1_offset=1 << bits, size=1).ljust(1 << bits, b"\0") + bytes(8)
        assert survey(data).ledger.gaps(9) == [(0, 1 << bits)]
    with pytest.raises(SurveyError, match="cut short"):
        survey(header_of()[:71])


@pytest.mark.parametrize("bit", [*range(9), *range(56, 63)])
def test_an_l1_entry_with_reserved_bits_is_refused(bit: int) -> None:
    data = image(l1=(0, STORED | L2 | 1 << bit), l1_size=2)
    with pytest.raises(SurveyError, match=r"bits that no version uses \(at byte 520\)"):
        survey(data)


def test_an_l1_table_names_each_table_once_and_between_no_clusters() -> None:
    with pytest.raises(
        SurveyError, match=r"two entries of its L1 table are the same \(at byte 512"
    ):
        survey(image(l1=(L2, L2), l1_size=2, size=65 * CLUSTER))
    with pytest.raises(SurveyError, match="cut short"):
        survey(image(l1=(1 << 55,)))
    with pytest.raises(SurveyError, match="cut short"):
        survey(image(l1=(STORED | DATA,), clusters=0))
    wide = header_of(bits=10, l1_offset=1024).ljust(1024, b"\0")
    wide += struct.pack(">Q", 1536).ljust(2048, b"\0")
    with pytest.raises(SurveyError, match=r"L1 table points between clusters \(at byte 1024\)"):
        survey(wide)
    assert gaps(image(l1=(L2,)))[2:] == [
        (DATA, 2 * CLUSTER)
    ]  # not counted as used: read all the same


def test_the_second_table_is_of_the_clusters_behind_the_first() -> None:
    """The disk ends in it: what is behind the end is refused, and its last cluster is short."""
    size = 65 * CLUSTER + 7
    for number, fine in ((1, True), (2, False)):
        entries = [0] * number + [STORED | DATA + CLUSTER]
        second = struct.pack(f">{len(entries)}Q", *entries).ljust(512, b"\0")
        head = image(l1=(STORED | L2, STORED | DATA), l1_size=2, size=size, clusters=0)
        data = head + second + bytes(CLUSTER)
        if fine:
            assert gaps(data)[2:] == [(DATA + CLUSTER + 7, CLUSTER - 7)]
            assert gaps(data[: 7 - CLUSTER])[2:] == []
            with pytest.raises(SurveyError, match="cut short"):
                survey(data[: 6 - CLUSTER])
        else:
            with pytest.raises(SurveyError, match=r"beyond the end of the disk \(at byte 1536\)"):
                survey(data)


@pytest.mark.parametrize("bit", [*range(1, 9), *range(56, 62)])
def test_an_l2_entry_with_reserved_bits_is_refused(bit: int) -> None:
    with pytest.raises(SurveyError, match=r"no program writes \(at byte 1024\)"):
        survey(image(0, STORED | DATA | 1 << bit))


def test_an_l2_entry_names_a_cluster_within_the_file() -> None:
    wide = header_of(bits=10, l1_offset=1024, size=1024).ljust(1024, b"\0")
    wide += struct.pack(">Q", 2048).ljust(1024, b"\0")
    for offset, words in ((3072, ""), (3584, "no program writes"), (4096, "cut short")):
        data = wide + struct.pack(">Q", STORED | offset).ljust(1024, b"\0") + bytes(1024)
        if words:
            with pytest.raises(SurveyError, match=words):
                survey(data)
        else:
            assert survey(data).ledger.gaps(1)[2:] == []
    with pytest.raises(SurveyError, match="cut short"):
        survey(image(STORED | 1 << 55))


def test_a_cluster_that_reads_as_zeros_is_not_needed() -> None:
    """Whether it is stored or not."""
    data = image(STORED | DATA | 1, 1, STORED | DATA + CLUSTER)
    assert gaps(data)[2:] == [(DATA, CLUSTER)]
    with pytest.raises(SurveyError, match="cut short"):
        survey(image(STORED | 1 << 40 | 1))


def packed(sectors: int, offset: int, bits: int) -> int:
    """An entry of a compressed cluster: so many sectors more than the one in which it begins."""
    return PACKED | sectors << (62 - (bits - 8)) | offset


@pytest.mark.parametrize(("bits", "sectors"), [(9, 1), (16, 100), (16, 127), (21, 4095)])
def test_a_compressed_cluster_ends_with_its_last_sector(bits: int, sectors: int) -> None:
    """Some writers end the file with its last byte."""
    cluster = 1 << bits
    head = header_of(bits=bits, l1_offset=cluster, size=cluster).ljust(cluster, b"\0")
    head += struct.pack(">Q", 2 * cluster).ljust(cluster, b"\0")
    begin = 3 * cluster + 77
    head += struct.pack(">Q", packed(sectors, begin, bits)).ljust(cluster, b"\0")
    length = (sectors + 1) * 512
    whole = head + bytes(length + 3)
    assert survey(whole).ledger.gaps(1)[2:] == [(3 * cluster, 77), (len(whole) - 3, 3)]
    assert survey(whole[:-3]).ledger.gaps(1)[2:] == [(3 * cluster, 77)]
    assert survey(whole[: -3 - 511]).ledger.gaps(1)[2:] == [(3 * cluster, 77)]
    with pytest.raises(SurveyError, match="cut short"):
        survey(whole[: -3 - 512])


def test_a_compressed_cluster_beyond_the_end_of_the_disk_is_refused() -> None:
    assert survey(image(packed(0, DATA, 9), size=CLUSTER))
    with pytest.raises(SurveyError, match="beyond the end of the disk"):
        survey(image(0, packed(0, DATA, 9), size=CLUSTER))


EXTENDED = 1 << 14, 14  # bytes of a cluster; 32 subclusters of 512 bytes


def extended(*words: int, size: int = 1 << 14, clusters: int = 1) -> bytes:
    """An image with subclusters: each entry is two words, the cluster and its bitmap."""
    cluster, bits = EXTENDED
    head = header_of(bits=bits, l1_offset=cluster, size=size, features=16).ljust(cluster, b"\0")
    head += struct.pack(">Q", STORED | 2 * cluster).ljust(cluster, b"\0")
    head += struct.pack(f">{len(words)}Q", *words).ljust(cluster, b"\0")
    return head + bytes(clusters * cluster)


PLACE = STORED | 3 << 14


@pytest.mark.parametrize("last", [0, 1, 17, 31])
def test_a_cluster_with_subclusters_is_needed_to_the_last_one_that_is_stored(last: int) -> None:
    cluster, _ = EXTENDED
    data = extended(PLACE, 1 << last | 1)
    end = 3 * cluster + (last + 1) * 512
    assert survey(data).ledger.gaps(1)[2:] == [(end, len(data) - end)] * (last < 31)
    assert survey(data[:end])
    with pytest.raises(SurveyError, match="cut short"):
        survey(data[: end - 1])


def test_subclusters_of_the_last_cluster_end_with_the_disk() -> None:
    cluster, _ = EXTENDED
    data = extended(PLACE, 0xFFFF_FFFF, size=1000)
    assert survey(data).ledger.gaps(1)[2:] == [(3 * cluster + 1000, cluster - 1000)]
    assert survey(
        extended(PLACE, 0xFFFF_FFFF, 0, 0, PLACE + cluster, 1, size=3 * cluster, clusters=2)
    )
    with pytest.raises(SurveyError, match="beyond the end of the disk"):
        survey(extended(0, 0, 0, 0, PLACE, 1, size=2 * cluster))


def test_an_l2_table_with_subclusters_reaches_half_as_far() -> None:
    cluster, _ = EXTENDED
    entries = cluster // 16
    assert survey(extended(PLACE, 1, size=entries * cluster))
    with pytest.raises(SurveyError, match="an L1 table of 1 entries for a disk that needs 2"):
        survey(extended(PLACE, 1, size=entries * cluster + 1))


@pytest.mark.parametrize(
    ("entry", "bitmap", "fine"),
    [
        (PLACE, 1 | 1 << 33, True),
        (PLACE, 1 | 1 << 32, False),  # stored, and zeros
        (PLACE, 1 << 31 | 1 << 63, False),
        (0, 1 << 32, True),
        (0, 1, False),  # stored nowhere
        (0, 1 << 31, False),
        (PLACE | 1, 1, False),  # the flag of a whole cluster
    ],
)
def test_a_subcluster_is_stored_or_zero(entry: int, bitmap: int, fine: bool) -> None:
    data = extended(entry, bitmap)
    if fine:
        assert survey(data)
    else:
        with pytest.raises(
            SurveyError, match=r"both stored and zero.* \(at byte 32768\)|no program writes"
        ):
            survey(data)


def test_a_compressed_cluster_among_subclusters() -> None:
    """Its bitmap is not used."""
    cluster, bits = EXTENDED
    data = extended(packed(1, 3 * cluster, bits), 0)
    assert survey(data).ledger.gaps(1)[2:] == [(3 * cluster + 1024, cluster - 1024)]
