"""The initramfs reader: every compression, any cut, bombs and garbage."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import FormatError
from imsprep.guest.linux import initramfs
from imsprep.guest.linux.initramfs import Allowance, members
from tests.support.guest.trees import cpio

FILES = {
    "init": b"#!/bin/sh\n",
    "usr/lib/modules/6.1/virtio_blk.ko": bytes(range(256)) * 300,
    "etc/udev/rules.d/70-persistent-net.rules": b"RULE\n",
}
EARLY = {"kernel/x86/microcode/AuthenticAMD.bin": b"microcode" * 100}


def lz4_legacy(data: bytes) -> bytes:
    """The frame of `lz4 -l`, as the kernel reads it."""
    block = pytest.importorskip("lz4.block")
    packed = block.compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(packed)) + packed


def lzop(data: bytes) -> bytes:
    """What lzop writes, by its own program."""
    if shutil.which("lzop") is None:
        pytest.skip("not installed: lzop")
    pytest.importorskip("lzallright")
    return subprocess.run(["lzop", "-c"], input=data, capture_output=True, check=True).stdout


def lzop_by_hand(
    data: bytes, *, version: int = 0x1040, flags: int = 0x303, size: int = 4096
) -> bytes:
    """The same with any flags; the checksums are zeros, which are passed over."""
    compressor = pytest.importorskip("lzallright").LZOCompressor()
    new = version >= 0x0940
    head = struct.pack(">HH", version, 0x20A0) + (b"\x09\x40\x01\x05" if new else b"\x01")
    head += struct.pack(">I", flags) + bytes(4 if flags & 0x800 else 0) + bytes(12 if new else 8)
    head += b"\x04name" + bytes(4) + (b"\0\0\0\x03abc" + bytes(4) if flags & 0x40 else b"")
    sums = [4 * sum(bool(flags & bit) for bit in bits) for bits in ((1, 0x100), (2, 0x200))]
    body = b""
    for at in range(0, len(data), size):
        part = data[at : at + size]
        packed = compressor.compress(part)
        packed = packed if len(packed) < len(part) else part
        body += struct.pack(">II", len(part), len(packed))
        body += bytes(sums[0] + (sums[1] if packed is not part else 0)) + packed
    return b"\x89LZO\0\r\n\x1a\n" + head + body + bytes(4)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, lzma.FORMAT_XZ, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd in two frames": lambda data: b"".join(
        zstandard.ZstdCompressor().compress(part) for part in (data[:5000], data[5000:])
    ),
    "lz4": lz4_legacy,
    "lzop": lzop,
    "lzo with all checksums": lzop_by_hand,
    "lzo with a filter, an extra field and small blocks": lambda data: lzop_by_hand(
        data, flags=0x840, size=100
    ),
    "lzo of an old version": lambda data: lzop_by_hand(data, version=0x0900, flags=1),
}


def read(
    data: bytes, step: int = 1 << 16, *, allowance: Allowance | None = None
) -> dict[str, bytes | None]:
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    return {
        m.name: m.data
        for m in members(pieces, lambda name: name.endswith(".rules"), allowance or Allowance())
    }


EXPECTED = {**dict.fromkeys(FILES), "etc/udev/rules.d/70-persistent-net.rules": b"RULE\n"}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("step", [1, 7, 512, 1 << 20])
def test_every_compression_gives_the_same_files(packer: str, step: int) -> None:
    assert read(PACKERS[packer](cpio(FILES)), step) == EXPECTED


@pytest.mark.parametrize("packer", PACKERS)
def test_microcode_comes_first_and_padding_between(packer: str) -> None:
    data = cpio(EARLY) + bytes(512) + PACKERS[packer](cpio(FILES)) + bytes(1024)
    assert read(data) == {**dict.fromkeys(EARLY), **EXPECTED}


def test_archives_of_different_compressions_may_follow_one_another() -> None:
    data = gzip.compress(cpio(EARLY)) + bytes(100) + PACKERS["zstd"](cpio(FILES))
    assert read(data) == {**dict.fromkeys(EARLY), **EXPECTED}


@pytest.mark.parametrize("packer", PACKERS)
def test_an_end_in_the_middle_is_an_error(packer: str) -> None:
    data = PACKERS[packer](cpio(FILES))
    with pytest.raises(FormatError):
        read(data[: len(data) // 2])


@pytest.mark.parametrize("packer", ["gzip", "xz", "bzip2", "zstd", "lz4"])
def test_a_bomb_ends_at_the_limit(packer: str) -> None:
    data = PACKERS[packer](cpio({"zeros": bytes(7 << 20)}))
    assert len(data) < 100_000
    with pytest.raises(FormatError, match="unpacks to more"):
        read(data, allowance=Allowance(bytes_left=1 << 20))


def test_the_limit_holds_for_all_archives_together() -> None:
    data = gzip.compress(cpio({"zeros": bytes(600_000)}))
    assert read(data, allowance=Allowance(bytes_left=1 << 20)) == {"zeros": None}
    with pytest.raises(FormatError, match="unpacks to more"):
        read(data * 2, allowance=Allowance(bytes_left=1 << 20))


def test_too_many_files_or_streams_are_an_error() -> None:
    with pytest.raises(FormatError, match="more files than"):
        read(cpio({str(n): b"" for n in range(11)}), allowance=Allowance(files_left=10))
    for packer in (gzip.compress, PACKERS["lz4"]):
        with pytest.raises(FormatError, match="more files than"):
            read(packer(cpio({"a": b""})) * 11, allowance=Allowance(streams_left=10))


def test_a_long_name_is_an_error() -> None:
    with pytest.raises(FormatError, match="a name of"):
        read(cpio({"n" * 5000: b""}))


def test_a_large_file_is_not_kept() -> None:
    data = cpio({"etc/large.rules": bytes(initramfs.KEPT_LIMIT + 1)})
    assert read(data) == {"etc/large.rules": None}


@given(st.binary(max_size=300), st.sampled_from(sorted(PACKERS)), st.integers(0, 400))
def test_garbage_is_a_format_error_or_nothing(garbage: bytes, packer: str, at: int) -> None:
    data = PACKERS[packer](cpio(FILES))
    for text in (garbage, data[:at] + garbage + data[at + len(garbage) :]):
        with suppress(FormatError):
            read(text)


def test_pieces_are_asked_for_as_they_are_needed() -> None:
    taken = []

    def pieces() -> Iterator[bytes]:
        data = cpio({f"file{number}": bytes(1000) for number in range(1000)})
        for at in range(0, len(data), 4096):
            taken.append(at)
            yield data[at : at + 4096]

    next(iter(members(pieces(), lambda name: False, Allowance())))
    assert len(taken) < 3


@pytest.mark.parametrize("change", [8, 42, 46, 60, -3])
def test_a_broken_file_of_lzop_is_a_format_error(change: int) -> None:
    packed = bytearray(lzop_by_hand(cpio(FILES), flags=1))
    packed[change] ^= 0xFF
    with pytest.raises(FormatError):
        read(bytes(packed))
