"""A VHD's two sizes, and a differencing one."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imsprep.image.tables import vhd
from imsprep.image.tables.survey import SurveyError
from imsprep.units import MIB
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]
tools = need("qemu-img", "qemu-nbd")

SIZE = 64 * MIB


def footer(creator: bytes, cylinders: int) -> bytes:
    """A fixed VHD's footer as the specification lays it out; heads and sectors are 16 and 17."""
    record = bytearray(512)
    struct.pack_into(
        ">8sIIQI4sI4sQQHBBI", record, 0, b"conectix", 2, 0x10000, 2**64 - 1, 7, creator, 0x40003,
        b"Wi2k", SIZE, SIZE, cylinders, 16, 17, 2,
    )  # fmt: skip
    struct.pack_into(">I", record, 64, ~sum(record) & 0xFFFFFFFF)
    return bytes(record)


@tools
@pytest.mark.parametrize("creator", [b"vbox", b"vpc ", b"qemu", b"win ", b"wa\0\0", b"\0\0\0\0"])
def test_the_current_size_counts_whoever_wrote_it(
    creator: bytes, imsprep: Imsprep, tmp_path: Path
) -> None:
    disk = np.random.default_rng(5).bytes(MIB).ljust(SIZE - 512, b"\0") + b"end!" * 128
    image, target = tmp_path / "disk.vhd", tmp_path / "disk.raw"
    image.write_bytes(disk + footer(creator, 481))
    outcome = imsprep("convert", image, target)
    assert outcome.code == 0, outcome.err
    assert target.read_bytes() == disk
    assert f"{SIZE} bytes (current size) and {481 * 16 * 17 * 512}" in outcome.err


@tools
def test_of_one_size_nothing_is_said(imsprep: Imsprep, tmp_path: Path) -> None:
    image = tmp_path / "disk.vhd"
    words = ["-f", "vpc", "-o", "subformat=fixed,force_size=on", str(image), "8M"]
    subprocess.run(["qemu-img", "create", "-q", *words], check=True)
    outcome = imsprep("convert", image, tmp_path / "disk.raw")
    assert (outcome.code, outcome.err) == (0, "")


@tools
def test_a_differencing_disk_names_its_parent_and_no_way_to_a_disk_of_zeros(
    imsprep: Imsprep, tmp_path: Path
) -> None:
    image = tmp_path / "child.vhd"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vpc", str(image), "8M"], check=True)
    data = bytearray(image.read_bytes())
    for at in (0, len(data) - 512):
        struct.pack_into(">II", data, at + 60, 4, 0)
        struct.pack_into(">I", data, at + 64, ~sum(data[at : at + 512]) & 0xFFFFFFFF)
    name = "base disk.vhd".encode("utf-16-be")
    data[512 + 64 : 512 + 64 + len(name)] = name
    struct.pack_into(">I", data, 512 + 36, 0)
    struct.pack_into(">I", data, 512 + 36, ~sum(data[512:1536]) & 0xFFFFFFFF)
    image.write_bytes(data)
    outcome = imsprep("convert", image, tmp_path / "disk.raw")
    assert outcome.code == 1
    assert "base disk.vhd" in outcome.err
    assert "qemu-img" not in outcome.err
    (found,) = [f for f in imsprep("check", image, "--json").json["images"][0]["findings"]
                if f["rule"] == "IMS101"]  # fmt: skip
    assert "base disk.vhd" in found["message"]
    assert "imsprep convert" not in found["fix"]
    assert "qemu-img" not in found["fix"]


BLOCK = 64 * 1024
RECORD = 512 + BLOCK  # a bitmap of its sectors, and the block


def summed(record: bytes, at: int) -> bytes:
    """Return a record with its checksum at `at`: the complement of the sum of its other bytes."""
    bare = record[:at] + bytes(4) + record[at + 4 :]
    return bare[:at] + struct.pack(">I", ~sum(bare) & 0xFFFFFFFF) + bare[at + 4 :]


def footer_of(**changes: int) -> bytes:
    """A dynamic disk's footer, laid out as the specification has it; 1020 sectors by default."""
    fields = {"size": 1020 * 512, "cylinders": 15, "heads": 4, "sectors": 17, "kind": 3} | changes
    size, cylinders, heads, sectors, kind = fields.values()
    record = struct.pack(
        ">8sIIQI4sI4sQQHBBII16sB", b"conectix", 2, 0x10000, 512, 7, b"win ", 0x60001, b"Wi2k",
        size, size, cylinders, heads, sectors, kind, 0, b"0123456789abcdef", 0,
    )  # fmt: skip
    return summed(record.ljust(512, b"\0"), 64)


def header_of(entries: int = 8, block: int = BLOCK, table: int = 1536) -> bytes:
    record = struct.pack(">8sQQIII", b"cxsparse", 2**64 - 1, table, 0x10000, entries, block)
    return summed(record.ljust(1024, b"\0"), 36)


def dynamic(
    *blocks: int, front: bytes = b"", header: bytes = b"", end: bytes = b"", length: int = 2
) -> bytes:
    """A dynamic disk of 8 blocks whose table names these sectors, with room for `length` blocks."""
    table = struct.pack(">8I", *(*blocks, *[0xFFFFFFFF] * 8)[:8]).ljust(512, b"\0")
    body = (front or footer_of()) + (header or header_of()) + table + bytes(length * RECORD)
    return body + (end or footer_of())


def survey(data: bytes) -> vhd.Survey:
    return vhd.survey(lambda at, length: data[at : at + length], len(data))


SECOND = 4 + RECORD // 512  # the sector behind the first block's record


def test_a_dynamic_disk_is_read_and_each_byte_of_its_file_has_one_use() -> None:
    data = dynamic(SECOND, 4)
    found = survey(data)
    assert (found.virtual_size, found.least_gap, found.notes) == (1020 * 512, RECORD, ())
    # Only what rounds the table up to a sector is left.
    assert found.ledger.gaps(1) == [(1536 + 32, 512 - 32)]
    full = footer_of(size=8 * BLOCK)
    assert survey(dynamic(4, front=full, end=full)).virtual_size == 8 * BLOCK
    lost = survey(dynamic(4))
    assert lost.ledger.gaps(RECORD) == [(SECOND * 512, RECORD)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (dynamic(front=footer_of(kind=5), end=footer_of(kind=5)), "of type 5, which is not known"),
        (dynamic(front=footer_of(kind=1), end=footer_of(kind=1)), "of type 1, which is not known"),
        (dynamic(end=footer_of()[:511] + b"x"), r"checksum of its footer .* 134144\)"),
        (dynamic(front=footer_of()[:511] + b"x"), r"copy of its footer at the start \(at byte 0\)"),
        (dynamic(front=footer_of()[:300] + b"x" + footer_of()[301:]), "copy of its footer"),
        (dynamic(front=bytes(8) + footer_of()[8:]), "copy of its footer"),
        (dynamic(front=footer_of(size=1021 * 512)), r"copy at its start differ \(at byte 134144\)"),
        (dynamic(front=footer_of(kind=2)), "copy at its start differ"),
        (dynamic(header=header_of()[:700] + b"x" + header_of()[701:]), "checksum of its header"),
        (dynamic(header=header_of()[:1023] + b"x"), "checksum of its header"),
        (dynamic(header=summed(b"cxsparsf" + header_of()[8:], 36)), "checksum of its header"),
        (dynamic(header=header_of(block=BLOCK + 512)), "8 blocks of 66048 bytes"),
        (dynamic(header=header_of(block=256)), "8 blocks of 256 bytes"),
        (dynamic(header=header_of(entries=7)), r"7 blocks of 65536 bytes for a disk of 522240 \(at byte 540\)"),
        (dynamic(4, 4), "a block and a block lie over each other"),
        (dynamic(3), "the table and a block lie over each other"),
        (dynamic(4, SECOND - 1), "a block and a block lie over each other"),
        (dynamic(4, SECOND + 1), "its tables point to byte 134656, and the file ends at byte 134144"),
        (dynamic(4, 1 << 31), "cut short"),
        (dynamic(header=header_of(table=1 << 40)), "cut short"),
        (dynamic(4)[:-512], "ends with its footer, and there is none"),
        (footer_of(kind=2, size=512), "a disk of 512 bytes, and 0 are in front"),
        (bytes(1024) + footer_of(kind=2, size=512), r"a disk of 512 bytes, and 1024 are in front of it \(at byte 1072\)"),
        (footer_of(kind=2, size=0), r"a disk of 0 bytes \(at byte 48\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(SurveyError, match=words):
        survey(data)


@pytest.mark.parametrize(("block", "bitmap"), [(512, 512), (2 * MIB, 512), (32 * MIB, 8192)])
def test_a_block_has_a_bit_for_each_sector_in_front_in_whole_sectors(
    block: int, bitmap: int
) -> None:
    """Of each block, also that of the table's last entry."""
    size, record = 128 * block, bitmap + block
    end = footer_of(size=size)
    table = struct.pack(">128I", 4 + record // 512, *[0xFFFFFFFF] * 126, 4)
    data = end + header_of(entries=128, block=block) + table
    length = 2048 + 2 * record

    def read(at: int, count: int) -> bytes:
        found = data[at : at + count] if at < length else end[at - length :][:count]
        return found.ljust(count, b"\0")

    found = vhd.survey(read, length + 512)
    assert (found.virtual_size, found.least_gap) == (size, record)
    assert found.ledger.gaps(1) == []


def test_a_footer_of_511_bytes_is_one() -> None:
    """As Virtual PC wrote it before 2004."""
    assert survey(dynamic(4)[:-1]).virtual_size == 1020 * 512


def test_the_largest_geometry_is_not_another_size() -> None:
    """A geometry has no room for a larger disk: its writers mean the current size."""
    size = 1024 * 512
    for cylinders, heads, sectors, notes in (
        (65535, 16, 255, 0), (65534, 16, 255, 1), (65535, 15, 255, 1), (65535, 16, 254, 1),
    ):  # fmt: skip
        end = footer_of(kind=2, size=size, cylinders=cylinders, heads=heads, sectors=sectors)
        found = survey(bytes(size) + end)
        assert (found.virtual_size, len(found.notes)) == (size, notes)
        assert found.ledger.gaps(1) == []
