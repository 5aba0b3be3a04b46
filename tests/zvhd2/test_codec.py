"""The codecs: a payload gives exactly one block, and never more memory than that."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
import zstandard

from imsprep.errors import FormatError
from imsprep.zvhd2.codec import (
    DEFAULT_LEVELS,
    LEVELS,
    MAX_WINDOW,
    MEMORY,
    Packer,
    Unpacker,
    unpacking_memory,
    unpacking_threads,
)
from imsprep.zvhd2.records import BLOCK_SIZES, ZLIB, ZSTD

MIB = 1 << 20
BLOCK = b"a block " * (MIB // 8)


def flushed(data: bytes) -> bytes:
    stream = zlib.compressobj(1)
    return stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize("method", [ZLIB, ZSTD])
def test_a_packed_block_comes_back(method: int) -> None:
    payload = Packer(method, 1)(BLOCK)
    assert Unpacker(method, MIB)(payload) == BLOCK


@pytest.mark.parametrize("method", [ZLIB, ZSTD])
def test_a_payload_that_differs_late_from_the_one_before_is_another_block(method: int) -> None:
    """One that is the same is not unpacked again."""
    block = bytearray(random.Random(1).randbytes(20_000).ljust(MIB, b"\0"))
    pack, unpack = Packer(method, 1), Unpacker(method, MIB)
    payloads = []
    for _ in range(2):
        payloads.append(pack(block))
        assert unpack(payloads[-1]) == block
        block[19_999] ^= 1
    assert len({len(payload) for payload in payloads}) == 1
    assert payloads[0][:10_000] == payloads[1][:10_000]
    assert unpack(payloads[1]) is unpack(bytes(payloads[1]))


@pytest.mark.parametrize("more", [1, 2, 4096, MIB])
def test_a_zlib_payload_that_is_longer_than_its_block_is_refused(more: int) -> None:
    with pytest.raises(FormatError, match="1048576 bytes, and its payload unpacks to more"):
        Unpacker(ZLIB, MIB)(flushed(BLOCK + bytes(more)))


@pytest.mark.parametrize("less", [1, 4096, MIB])
@pytest.mark.parametrize("method", [ZLIB, ZSTD])
def test_a_payload_that_is_shorter_than_its_block_is_refused(method: int, less: int) -> None:
    with pytest.raises(FormatError, match=f"unpacks to {MIB - less} bytes"):
        Unpacker(method, MIB)(Packer(method, 1)(BLOCK[less:]))


def test_bytes_behind_a_zlib_stream_are_refused_and_its_end_is_told() -> None:
    unpack = Unpacker(ZLIB, MIB)
    assert unpack(zlib.compress(BLOCK)) == BLOCK
    assert unpack.finished
    assert unpack(flushed(BLOCK)) == BLOCK
    assert not unpack.finished
    with pytest.raises(FormatError, match="1 bytes follow"):
        unpack(zlib.compress(BLOCK) + b"x")


def frame(window_log: int) -> bytes:
    """Return a frame of one block that keeps 2^window_log bytes and does not say how long it is."""
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log, write_content_size=0)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(BLOCK) + stream.flush()


def test_a_zstd_frame_may_keep_as_much_as_the_largest_block_and_no_more() -> None:
    largest = MAX_WINDOW.bit_length() - 1
    assert 1 << largest == MAX_WINDOW == 32 * MIB
    assert Unpacker(ZSTD, MIB)(frame(largest)) == BLOCK
    with pytest.raises(FormatError, match="zstd"):
        Unpacker(ZSTD, MIB)(frame(largest + 1))


@pytest.mark.parametrize("method", [ZLIB, ZSTD])
def test_the_same_payload_gives_the_same_object_and_another_one_its_own(method: int) -> None:
    unpack, pack = Unpacker(method, MIB), Packer(method, 1)
    zeros = pack(bytes(MIB))
    first = unpack(zeros)
    assert unpack(zeros) is first
    assert unpack(pack(BLOCK)) == BLOCK
    assert unpack(zeros) == bytes(MIB)


def test_the_end_of_a_stream_is_told_again_for_the_same_payload() -> None:
    unpack = Unpacker(ZLIB, MIB)
    for _ in range(2):
        unpack(zlib.compress(bytes(MIB)))
        assert unpack.finished
    for _ in range(2):
        unpack(flushed(bytes(MIB)))
        assert not unpack.finished


@pytest.mark.parametrize("finished", [True, False])
def test_the_end_of_a_stream_is_told_again_behind_one_that_is_not_kept(finished: bool) -> None:
    unpack = Unpacker(ZLIB, MIB)
    short = zlib.compress(bytes(MIB)) if finished else flushed(bytes(MIB))
    noise = random.Random(5).randbytes(MIB)  # whose payload is too long to be kept
    long = flushed(noise) if finished else zlib.compress(noise)
    for payload, ended in ((short, finished), (long, not finished), (short, finished)):
        unpack(payload)
        assert unpack.finished is ended


@pytest.mark.parametrize("behind", [b"\0", bytes(4096), b"x", b"\0\0x"])
@pytest.mark.parametrize("method", [ZLIB, ZSTD])
def test_nothing_may_follow_a_payload_not_even_zeros(method: int, behind: bytes) -> None:
    whole = zlib.compress(BLOCK) if method == ZLIB else Packer(ZSTD, 1)(BLOCK)
    assert Unpacker(method, MIB)(whole) == BLOCK
    with pytest.raises(FormatError):
        Unpacker(method, MIB)(whole + behind)


@pytest.mark.parametrize("size", BLOCK_SIZES)
@pytest.mark.parametrize("jobs", [1, 2, 16, 256])
def test_threads_that_unpack_keep_to_the_bound(size: int, jobs: int) -> None:
    threads = unpacking_threads(size, jobs)
    assert 1 <= threads <= jobs
    assert unpacking_memory(size, threads) <= MEMORY
    if threads < jobs:
        assert unpacking_memory(size, threads + 1) > MEMORY
    assert unpacking_threads(size, jobs, copies=1) <= threads
    assert unpacking_threads(size, 1, memory=1) == 1


@pytest.mark.parametrize("length", [1, MIB - 1, MIB + 1, 64 * MIB])
def test_what_a_zstd_frame_claims_is_compared_before_anything_is_made_of_it(length: int) -> None:
    """The library would take as much memory as the frame says."""
    payload = zstandard.ZstdCompressor(level=1).compress(bytes(length))
    with pytest.raises(FormatError, match=f"unpacks to {length} bytes, as the frame claims"):
        Unpacker(ZSTD, MIB)(payload)


def test_levels_are_those_of_the_libraries_and_the_defaults_the_published_drivers() -> None:
    assert DEFAULT_LEVELS == {ZSTD: 3, ZLIB: 1}  # docs/zvhd2.md, "Packing"
    assert (LEVELS[ZSTD][0], LEVELS[ZSTD][-1]) == (1, 19)
    assert (LEVELS[ZLIB][0], LEVELS[ZLIB][-1]) == (1, 9)


def test_the_memory_of_a_packer_is_that_of_its_codec() -> None:
    assert Packer.memory(ZLIB, 9, 32 * MIB) == 256 << 10
    assert Packer.memory(ZSTD, 1, 2 * MIB) < Packer.memory(ZSTD, 19, 2 * MIB)
    assert Packer.memory(ZSTD, 19, 2 * MIB) > MIB


def test_a_large_block_is_not_kept_for_the_next_payload() -> None:
    unpack, size = Unpacker(ZSTD, 8 * MIB), 8 * MIB
    zeros = Packer(ZSTD, 1)(bytes(size))
    first = unpack(zeros)
    assert unpack(zeros) == first
    assert unpack(zeros) is not first


@pytest.mark.parametrize("behind", [b"\0", b"x" * 100, bytes(4096)])
def test_bytes_behind_a_zstd_frame_are_refused(behind: bytes) -> None:
    payload = Packer(ZSTD, 1)(b"a" * MIB)
    with pytest.raises(FormatError, match="zstd"):
        Unpacker(ZSTD, MIB)(payload + behind)


def test_a_stream_that_has_not_ended_is_told_before_and_behind_one_that_has() -> None:
    unpack = Unpacker(ZLIB, MIB)
    assert unpack.finished is False
    unpack(zlib.compress(b"a" * MIB))
    assert unpack.finished is True
    unpack(Packer(ZLIB, 1)(b"b" * MIB))
    assert unpack.finished is False
    assert Unpacker(ZSTD, MIB).finished is False


@pytest.mark.slow
def test_a_zlib_payload_that_unpacks_to_much_more_is_refused_without_memory() -> None:
    payload = zlib.compress(bytes(200 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="its payload unpacks to more"):
            Unpacker(ZLIB, MIB)(payload)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
