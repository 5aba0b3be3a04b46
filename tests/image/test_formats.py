"""What a file is by its bytes, at the places where a wrong answer would cost a disk."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import ContentError
from imsprep.image import formats
from imsprep.image.formats import identify, virtual_size


def zip_end(comment: bytes) -> bytes:
    """Return the end of a ZIP's directory: 22 bytes (APPNOTE.TXT, 4.3.16), then its comment."""
    return b"PK\5\6" + bytes(16) + len(comment).to_bytes(2, "little") + comment


def names(tail: bytes, size: int = 1 << 20) -> list[str]:
    head = b"\xeb" + bytes(65535)
    return [match.format for match in identify(head, tail.rjust(65536, b"\1"), size)]


@pytest.mark.parametrize("comment", [b"", b"x", b"made by a tool " * 9])
def test_a_zip_directory_that_ends_with_the_file_is_one(comment: bytes) -> None:
    assert "zip" in names(zip_end(comment))


@pytest.mark.parametrize("behind", [b"\0", b"PK", bytes(512)])
@pytest.mark.parametrize("comment", [b"", b"x"])
def test_bytes_behind_the_comment_of_a_zip_make_it_none(comment: bytes, behind: bytes) -> None:
    assert "zip" not in names(zip_end(comment) + behind)


@pytest.mark.parametrize("cut", [1, 2, 18])
def test_the_end_of_a_zip_that_is_cut_is_none(cut: int) -> None:
    assert "zip" not in names(zip_end(b"abc")[:-cut])


# Where a signature stands and what it is: QEMU's docs/interop and block drivers, RFC 1950, and the
# formats' own specifications; written out here by hand.
PLACES = {
    "qcow": (0, b"QFI\xfb\0\0\0\1"), "qcow2": (0, b"QFI\xfb"), "qed": (0, b"QED\0"),
    "vhdx": (0, b"vhdxfile"), "vdi": (64, b"\x7f\x10\xda\xbe"), "zvhd2": (0, b"z2strm"),
    "zvhd": (0, b"stream\0\0"), "parallels": (0, b"WithoutFreeSpace"), "iso": (0x8001, b"CD001"),
    "bochs": (0, b"Bochs Virtual HD Image"), "cloop": (0, b"#!/bin/sh\n#V2.0 Format\n"),
    "android-sparse": (0, b"\x3a\xff\x26\xed\1\0"), "dmg": (-512, b"koly\0\0\0\4"),
}  # fmt: skip
# Others of the same formats, and what stands behind the first signature of one.
MORE = [
    ("parallels", 0, b"WithouFreSpacExt"), ("vdi", 0, b"<<< Oracle VM VirtualBox Disk Image"),
    ("vdi", 0, b"<<< QEMU VM Virtual Disk Image"), ("vhd-dynamic", 512, b"cxsparse"),
    ("zvhd2", -4096, b"z2strm\0\0"),
]  # fmt: skip
VMDKS = [(0, b"KDMV"), (0, b"COWD"), (0, b"# Disk DescriptorFile"), (512, b"# Disk DescriptorFile"),
         (0, b"\xbe\xba\xfe\xca\0\0\0\0")]  # fmt: skip


def at(place: int, magic: bytes, size: int = 1 << 17) -> tuple[bytes, bytes, int]:
    """Return head, tail and size of a file that has a magic at a place and else bytes of 1."""
    data = bytearray(b"\1" * size)
    place %= size
    data[place : place + len(magic)] = magic
    return bytes(data[: formats.HEAD_SIZE]), bytes(data[-formats.TAIL_SIZE :]), size


@pytest.mark.parametrize(
    ("name", "place", "magic"),
    [*((n, *p) for n, p in PLACES.items()), *(("vmdk", *p) for p in VMDKS), *MORE],
)
def test_a_signature_counts_at_its_place_and_nowhere_else(
    name: str, place: int, magic: bytes
) -> None:
    (found,) = (m for m in identify(*at(place, magic)) if m.format == name)
    assert (found.offset, found.length) == (place % (1 << 17), len(magic))
    for beside in (place - 1, place + 1):
        if place or beside > 0:
            assert name not in [m.format for m in identify(*at(beside, magic))]


@pytest.mark.parametrize(
    ("name", "offset", "order", "unit", "magic"),
    [
        ("zvhd2", 48, "little", 1, b""), ("zvhd", 48, "little", 1, b""),
        ("qcow", 24, "big", 1, b""), ("qcow2", 24, "big", 1, b""), ("qed", 48, "little", 1, b""),
        ("vdi", 368, "little", 1, b""), ("vmdk", 12, "little", 512, b"KDMV"),
    ],
)  # fmt: skip
def test_the_size_of_the_disk_stands_where_the_format_has_it(
    name: str, offset: int, order: Any, unit: int, magic: bytes
) -> None:
    head = bytearray(magic.ljust(512, b"\xaa"))
    head[offset : offset + 8] = (0x0102030405).to_bytes(8, order)
    assert virtual_size(name, bytes(head)) == 0x0102030405 * unit
    assert virtual_size(name, bytes(head[: offset + 7])) is None
    assert virtual_size("raw", bytes(head)) is None
    assert virtual_size("vmdk", b"COWD".ljust(512, b"\xaa")) is None


@pytest.mark.parametrize("level", range(10))
def test_a_zlib_stream_is_one_whole_or_cut_far_behind(level: int) -> None:
    """Two bytes prove little: what lies behind them has to unpack (RFC 1950)."""
    noise = random.Random(5).randbytes(40_000)
    for data in (b"", b"text " * 100, noise, bytes(3 << 20)):
        packed = zlib.compress(data, level)
        names = [m.format for m in identify(packed[:65536], packed[-65536:], len(packed))]
        assert names == ["zlib"]
    short = zlib.compress(noise[:3000], level)[:-20]
    assert identify(short, short, len(short)) == ()
    spoilt = bytearray(zlib.compress(noise, level))
    spoilt[0] ^= 0x0F  # no deflate
    assert identify(bytes(spoilt[:65536]), b"", len(spoilt)) == ()


@pytest.mark.parametrize("first", range(256))
def test_two_bytes_are_no_zlib_stream(first: int) -> None:
    for second in range(256):
        head = bytes((first, second)) + b"\xff" * 6
        assert "zlib" not in [m.format for m in identify(head, head, 8)]


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (b"BZh91AY&SY", True), (b"BZh11AY&SY", True), (b"BZh9\x17rE8P\x90", True),
        (b"BZh01AY&SY", False), (b"BZh91AY&SZ", False), (b"BZi91AY&SY", False), (b"BZh", False),
    ],
)  # fmt: skip
def test_a_bzip2_stream_is_known_by_its_level_and_its_first_block(
    head: bytes, is_one: bool
) -> None:
    head = head.ljust(600, b"\1") if len(head) > 3 else head
    assert ("bzip2" in [m.format for m in identify(head, head, len(head))]) == is_one


@pytest.mark.parametrize(
    ("kind", "named"), [(2, "vhd-fixed"), (3, "vhd-dynamic"), (4, "vhd-dynamic")]
)
@pytest.mark.parametrize("length", [511, 512])
def test_the_footer_of_a_vhd_ends_the_file(length: int, kind: int, named: str) -> None:
    footer = (b"conectix" + bytes(52) + kind.to_bytes(4, "big")).ljust(length, b"\0")
    data = b"\1" * 70_000 + footer
    found = identify(data[:65536], data[-65536:], len(data))
    assert [(m.format, m.offset, m.length) for m in found] == [(named, 70_000, 8)]
    cut = data[: 511 - length - 1]  # a footer of 511 bytes is one of Virtual PC before 2004
    assert identify(cut[:65536], cut[-65536:], len(cut)) == ()


@pytest.mark.parametrize("kind", range(16))
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_header_of_an_old_cpio_names_a_file_of_a_type_that_there_is(
    kind: int, order: str
) -> None:
    """Types of <sys/stat.h>: FIFO, devices, folder, file, link, socket."""

    def archive(name: bytes = b"etc/fstab\0", links: int = 1, length: int | None = None) -> bytes:
        length = len(name) if length is None else length
        fields = (0o070707, 1, 2, kind << 12 | 0o644, 0, 0, links, 0, 0, 0, length, 0, 0)
        return struct.pack(f"{order}13H", *fields) + name

    def found(head: bytes) -> bool:
        matches = identify(head.ljust(4096, b"\1"), b"", 4096)
        return ("cpio", 0, 2) in [(m.format, m.offset, m.length) for m in matches]

    assert found(archive()) is (kind in (1, 2, 4, 6, 8, 10, 12))
    assert found(archive(name=b"My Disk.img\0")) is found(archive())
    assert not found(archive(links=0))
    assert not found(archive(name=b"\0"))
    assert not found(archive(name=b"a\0b\0"))
    assert not found(archive(name=b"a\nb\0"))
    assert not found(archive(length=9))
    assert not found(archive()[:1] + b"\0" + archive()[2:])


def test_the_names_that_cannot_be_of_raw() -> None:
    formats_of = {
        "a.qcow2": "qcow2", "a.QCOW": "qcow", "a.qed": "qed", "a.vmdk": "vmdk", "a.vhd": "vhd-fixed",
        "a.vhdx": "vhdx", "a.vdi": "vdi", "a.dmg": "dmg", "a.hds": "parallels", "a.zvhd2": "zvhd2",
        "a.raw": "raw", "a.img": "raw", "a": "raw", "qcow2": "raw",
    }  # fmt: skip
    assert {name: formats.named(Path(name)) for name in formats_of} == formats_of


def test_too_few_bytes_are_nothing() -> None:
    for head in (b"", b"x", b"\x78", b"\x78\x9c"):
        assert identify(head, head, len(head)) == ()


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (b"\x5d\0\0\x80\0" + b"\xff" * 8, True), (b"\x5d\0\0\0\4" + b"\xff" * 8, True),
        (b"\x5d\0\0\x80\0" + b"\xff" * 7, False), (b"\x5d\0\1\x80\0" + b"\xff" * 8, False),
        (b"\x5d\0\0\x80\0" + b"\xff" * 7 + b"\xfe", False),
    ],
)  # fmt: skip
def test_an_lzma_stream_is_known_by_its_properties_and_the_size_that_it_does_not_say(
    head: bytes, is_one: bool
) -> None:
    head = head.ljust(600, b"\1")
    assert [m.format for m in identify(head, head, 600)] == (["lzma"] if is_one else [])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("disk.qcow2", "the name of a qcow2, but not its content"),
        ("DISK.VMDK", "the name of a vmdk, but not"), ("d.vhd", "the name of a vhd, but not"),
        ("disk-s001.vmdk", "of one piece of a split disk"), ("disk-f0012.vmdk", "of one piece"),
        ("disk.vmem", "the name of the memory of a virtual machine"),
        ("disk.nvram", "the settings of a virtual machine"),
    ],
)  # fmt: skip
def test_a_name_that_its_content_denies_is_no_name_of_a_disk(name: str, words: str) -> None:
    with pytest.raises(ContentError, match=words):
        formats.check_name(Path(name))


@pytest.mark.parametrize("name", ["disk.raw", "disk", "disk-flat.vmdk", "disk-s001.raw", "vmdk"])
def test_a_name_that_says_no_format_is_taken_for_raw(name: str) -> None:
    formats.check_name(Path(name))
