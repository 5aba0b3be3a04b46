"""A DMG's chunks cover its disk, and its checksums hold; else it is refused."""

from __future__ import annotations

import base64
import bz2
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imsprep.image.tables import dmg
from imsprep.image.tables.survey import SurveyError
from imsprep.units import MIB
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]
ZEROS, STORED, IGNORED, ZLIB, BZIP2, LZFSE = 0, 1, 2, 0x80000005, 0x80000006, 0x80000007
DISK = np.random.default_rng(5).bytes(64 * 1024) + bytes(MIB) + b"the end, " * 512 + bytes(3072)
CRC = struct.Struct(">II")


def image(
    kind: int = ZLIB, *, master: bool = True, fork: bool = False, more: int = 0, raw: bytes = DISK
) -> bytes:
    """Write a disk in two lists: one of data, one of zeros, data and what is ignored."""
    pack = {ZLIB: zlib.compress, BZIP2: bz2.compress, STORED: bytes, LZFSE: bytes}[kind]
    first, last = pack(raw[: 64 * 1024]), pack(raw[-3072 - 9 * 512 : -3072])
    data = first + last
    lists = [
        (0, 128, raw[: 64 * 1024], [(kind, 0, 128, 0, len(first))]),
        (128, 2048 + 9 + 6, bytes(MIB) + raw[-3072 - 9 * 512 : -3072], [
            (ZEROS, 0, 2048, 0, 0), (kind, 2048, 9, len(first), len(last)), (IGNORED, 2057, 6, 0, 0),
        ]),
    ]  # fmt: skip
    tables, sums = list[bytes](), b""
    for start, sectors, covered, chunks in lists:
        sums += zlib.crc32(covered).to_bytes(4, "big")
        table = b"mish" + struct.pack(">IQQQII", 1, start, sectors, 0, 520, 0) + bytes(24)
        table += CRC.pack(2, 32) + sums[-4:] + bytes(124) + struct.pack(">I", len(chunks) + 1)
        for chunk in [*chunks, (0xFFFFFFFF, sectors, 0, 0, 0)]:
            table += struct.pack(">IIQQQQ", chunk[0], 0, *chunk[1:])
        tables.append(table)
    entries = "".join(
        f"<dict><key>Data</key><data>{base64.b64encode(t).decode()}</data></dict>" for t in tables
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0"><dict><key>resource-fork</key>'
        f"<dict><key>blkx</key><array>{entries}</array></dict></dict></plist>\n"
    ).encode()
    end = bytearray(512)
    struct.pack_into(">4sIII", end, 0, b"koly", 4, 512, 1)
    struct.pack_into(">QQQQQII", end, 16, 0, 0, len(data), 0, 0, 1, 1)
    struct.pack_into(">QQ", end, 216, len(data), len(xml))
    struct.pack_into(">IQ", end, 488, 1, len(raw) // 512 + more)
    if fork:
        end[80:92] = CRC.pack(2, 32) + zlib.crc32(data).to_bytes(4, "big")
    if master:
        end[352:364] = CRC.pack(2, 32) + zlib.crc32(sums).to_bytes(4, "big")
    return data + xml + bytes(end)


def check(data: bytes) -> int:
    return dmg.survey(lambda at, length: data[at : at + length], len(data)).virtual_size


@pytest.mark.parametrize("kind", [ZLIB, BZIP2, STORED])
@pytest.mark.parametrize(("master", "fork"), [(True, False), (False, True), (False, False)])
def test_a_sound_one_is_taken(kind: int, master: bool, fork: bool) -> None:
    assert check(image(kind, master=master, fork=fork)) == len(DISK)


@pytest.mark.parametrize("at", [100, 40_000, 65_000, 65_600])
@pytest.mark.parametrize("kind", [ZLIB, BZIP2, STORED])
def test_a_changed_byte_of_the_data_is_noticed(kind: int, at: int) -> None:
    for data in (bytearray(image(kind)), bytearray(image(kind, master=False, fork=True))):
        data[at] ^= 16
        with pytest.raises(SurveyError, match="damaged"):
            check(bytes(data))


def test_what_its_lists_leave_out_is_noticed() -> None:
    with pytest.raises(SurveyError, match="hold 2191 sectors of a disk of 2192"):
        check(image(more=1))
    data = image(master=False)
    for old, new in (
        (b"blkx", b"blky"),
        (b"resource-fork", b"resource-fark"),
        (b"<data>", b"<date>"),
    ):
        with pytest.raises(SurveyError, match="its list of chunks"):
            check(data.replace(old, new))
    with pytest.raises(SurveyError, match="cut short"):
        check(data[500:])


def test_one_of_another_packing_says_what_it_needs() -> None:
    data = image(LZFSE, master=False)
    found = dmg.survey(lambda at, length: data[at : at + length], len(data))
    assert "dmg-lzfse" in found.hint


@need("qemu-img", "qemu-nbd")
def test_it_becomes_its_disk(imsprep: Imsprep, tmp_path: Path) -> None:
    (tmp_path / "disk.dmg").write_bytes(image())
    assert imsprep("convert", tmp_path / "disk.dmg", tmp_path / "out.raw").code == 0
    assert (tmp_path / "out.raw").read_bytes() == DISK
    (tmp_path / "disk.dmg").write_bytes(image(LZFSE, master=False))
    outcome = imsprep("convert", tmp_path / "disk.dmg", tmp_path / "no.raw")
    assert outcome.code == 1
    assert "hdiutil convert" in outcome.err
