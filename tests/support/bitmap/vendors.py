"""Bitmap files as some other tool might write them, in lines that share nothing with imsprep.

Each function reads the image itself, byte by byte where it is no hole, and builds the file with
`struct` and plain loops. The learner does not know them; the tests ask it to find them out.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
_SEEN: dict[tuple[Path, int], bytearray] = {}


def blocks_of(image: Path, block_size: int) -> bytearray:
    """Return 1 for each block with a non-zero byte, 0 for the others, a byte for each."""
    key = (image, block_size)
    if key not in _SEEN:
        with image.open("rb") as file:
            size = file.seek(0, 2)
            found = bytearray((size + block_size - 1) // block_size)
            position = 0
            while position < size:
                try:
                    position = os.lseek(file.fileno(), position, os.SEEK_DATA)
                except OSError:
                    break
                piece = os.pread(file.fileno(), min(512, 512 - position % 512), position)
                if any(piece):
                    found[position // block_size] = 1
                position += len(piece) or 1
        _SEEN[key] = found
    return _SEEN[key]


def extents_of(bits: bytes | bytearray, state: int) -> list[tuple[int, int]]:
    """Return first block and number of blocks of each run in one state."""
    runs: list[tuple[int, int]] = []
    bits = bytes(bits)
    start = bits.find(state)
    while start >= 0:
        end = bits.find(1 - state, start)
        end = len(bits) if end < 0 else end
        runs.append((start, end - start))
        start = bits.find(state, end)
    return runs


# Eight blocks, a byte for each, and the byte that they become; the lowest bit is the first block.
_EIGHTS = {bytes(value >> i & 1 for i in range(8)): value for value in range(256)}


def pack(bits: list[int] | bytearray, msb: bool = False, spare: int = 0) -> bytes:
    """Put eight blocks into each byte."""
    whole = bytes(bits) + bytes([spare]) * (-len(bits) % 8)
    step = -1 if msb else 1
    return bytes(_EIGHTS[whole[n : n + 8][::step]] for n in range(0, len(whole), 8))


def size_of(image: Path) -> int:
    return image.stat().st_size


def plain_2m(image: Path) -> bytes:
    return pack(blocks_of(image, 2 * MIB))


def msb_inverted_4k(image: Path) -> bytes:
    return pack([1 - b for b in blocks_of(image, 4 * KIB)], msb=True, spare=1)


def little_header_8m(image: Path) -> bytes:
    bits = blocks_of(image, 8 * MIB)
    return b"MFBM" + struct.pack("<IQII", 1, size_of(image), 8 * MIB, len(bits)) + pack(bits)


def big_header_64k(image: Path) -> bytes:
    bits = blocks_of(image, 64 * KIB)
    return struct.pack(">QII16x", size_of(image), len(bits), sum(bits)) + pack(bits, msb=True)


def byte_per_block_1m(image: Path) -> bytes:
    body = bytes(blocks_of(image, MIB))
    return body + struct.pack("<I", zlib.crc32(body))


def digit_per_block_4m(image: Path) -> bytes:
    return "".join("01"[b] for b in blocks_of(image, 4 * MIB)).encode() + b"\n"


def text_extents_in_sectors(image: Path) -> bytes:
    runs = extents_of(blocks_of(image, 128 * KIB), 1)
    lines = [f"# disk {size_of(image)} bytes, {len(runs)} extents\n"]
    return "".join(lines + [f"{s * 256} {n * 256}\n" for s, n in runs]).encode()


def binary_extents_in_bytes(image: Path) -> bytes:
    runs = extents_of(blocks_of(image, 64 * KIB), 1)
    out = struct.pack("<4sI", b"XTNT", len(runs))
    return out + b"".join(struct.pack("<QQ", s * 64 * KIB, n * 64 * KIB) for s, n in runs)


def block_numbers_with_an_end(image: Path) -> bytes:
    numbers = [n for n, bit in enumerate(blocks_of(image, 2 * MIB)) if bit]
    return b"".join(struct.pack(">I", n) for n in numbers) + b"\xff" * 4


def hex_block_numbers(image: Path) -> bytes:
    numbers = [n for n, bit in enumerate(blocks_of(image, 512 * KIB)) if bit]
    return b"blocks=" + b",".join(b"0x%08x" % n for n in numbers)


def padded_to_512(image: Path) -> bytes:
    body = struct.pack("<4sQ", b"PAD1", size_of(image)) + pack(blocks_of(image, MIB))
    return body + bytes(-len(body) % 512)


def java_bit_set(image: Path) -> bytes:
    """As BitSet.toByteArray: the end without set bits is left out."""
    return pack(blocks_of(image, 2 * MIB)).rstrip(b"\0")


def java_longs(image: Path) -> bytes:
    """As BitSet.toLongArray through a DataOutputStream, with the number of longs before it."""
    body = pack(blocks_of(image, MIB))
    body += bytes(-len(body) % 8)
    longs = list(struct.unpack(f"<{len(body) // 8}Q", body))
    while longs and not longs[-1]:
        longs.pop()
    return struct.pack(f">I{len(longs)}Q", len(longs), *longs)


def holes_first_and_last(image: Path) -> bytes:
    runs = extents_of(blocks_of(image, 128 * KIB), 0)
    return b"HOLE" + b"".join(struct.pack("<II", s, s + n - 1) for s, n in runs)


def words_and_trailer(image: Path) -> bytes:
    bits = blocks_of(image, 256 * KIB)
    body = pack(bits, msb=True)
    body += bytes(-len(body) % 4)
    swapped = b"".join(body[n : n + 4][::-1] for n in range(0, len(body), 4))
    return swapped + struct.pack("<QI", size_of(image), sum(swapped) & 0xFFFFFFFF)


def json_like(image: Path) -> bytes:
    runs = extents_of(blocks_of(image, 4 * KIB), 1)
    inner = ", ".join(f"[{s * 4096}, {(s + n) * 4096}]" for s, n in runs)
    return f'{{"size": {size_of(image)}, "block": 4096, "data": [{inner}]}}\n'.encode()


def footer_with_sum(image: Path) -> bytes:
    """A header of 512 bytes with the one's complement of the whole file's sum, as a VHD has."""
    bits = blocks_of(image, 2 * MIB)
    body = pack(bits)
    head = bytearray(
        struct.pack(">8sIQQ", b"z2bitmap", 0x00010002, size_of(image), len(bits)).ljust(512, b"\0")
    )
    head[100:104] = struct.pack(">I", ~(sum(head) + sum(body)) & 0xFFFFFFFF)
    return bytes(head) + body


def shorts_per_block_16m(image: Path) -> bytes:
    return b"".join(struct.pack("<H", 0xAA if b else 0x55) for b in blocks_of(image, 16 * MIB))


def lines_per_block_32m(image: Path) -> bytes:
    return "\n".join("data" if b else "hole" for b in blocks_of(image, 32 * MIB)).encode()


FITTING: list[Callable[[Path], bytes]] = [
    plain_2m, msb_inverted_4k, little_header_8m, big_header_64k, byte_per_block_1m,
    digit_per_block_4m, text_extents_in_sectors, binary_extents_in_bytes,
    block_numbers_with_an_end, hex_block_numbers, padded_to_512, java_bit_set, java_longs,
    holes_first_and_last, words_and_trailer, json_like, footer_with_sum, shorts_per_block_16m,
    lines_per_block_32m,
]  # fmt: skip


def packed(image: Path) -> bytes:
    return zlib.compress(pack(blocks_of(image, 2 * MIB)))


def three_mib(image: Path) -> bytes:
    return pack(blocks_of(image, 3 * MIB))


def numbered_lines(image: Path) -> bytes:
    return "".join(f"{n}:{b}\n" for n, b in enumerate(blocks_of(image, 2 * MIB))).encode()


def nearly(image: Path) -> bytes:
    """The plain bitmap with one wrong bit in the middle."""
    body = bytearray(pack(blocks_of(image, 2 * MIB)))
    body[len(body) // 2] ^= 4
    return bytes(body)


def run_lengths(image: Path) -> bytes:
    bits = blocks_of(image, 2 * MIB)
    runs = [n for _, n in sorted(extents_of(bits, 1) + extents_of(bits, 0))]
    return b"".join(struct.pack("<I", n) for n in runs)


def nothing(image: Path) -> bytes:
    return b""


STRANGE = [packed, three_mib, numbered_lines, nearly, run_lengths, nothing]


# What looks like one layout on a probe, and is another one for the next image.

PLAIN = plain_2m


def crc32c(data: bytes) -> int:
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def crc32c_behind(image: Path) -> bytes:
    return PLAIN(image) + struct.pack("<I", crc32c(PLAIN(image)))


def fletcher_before(image: Path) -> bytes:
    low = high = 0
    for byte in PLAIN(image):
        low = (low + byte) % 65535
        high = (high + low) % 65535
    return struct.pack("<HH", low, high) + PLAIN(image)


def sha256_behind(image: Path) -> bytes:
    return PLAIN(image) + hashlib.sha256(PLAIN(image)).digest()


def xor_byte(image: Path) -> bytes:
    total = 0
    for byte in PLAIN(image):
        total ^= byte
    return b"XR" + bytes([total]) + PLAIN(image)


def name_before(image: Path) -> bytes:
    return image.name.encode().ljust(32, b"\0") + PLAIN(image)


def folder_before(image: Path) -> bytes:
    return str(image.parent).encode() + b"\0" + PLAIN(image)


def time_before(image: Path) -> bytes:
    return struct.pack("<I", int(image.stat().st_mtime)) + PLAIN(image)


def hour_before(image: Path) -> bytes:
    return struct.pack(">Q", int(image.stat().st_mtime) // 3600 * 3600_000) + PLAIN(image)


def day_before(image: Path) -> bytes:
    return time.strftime("made %Y-%m-%d\n", time.gmtime(image.stat().st_mtime)).encode() + PLAIN(
        image
    )


def size_in_gib(image: Path) -> bytes:
    return struct.pack("<I", -(-size_of(image) // GIB)) + PLAIN(image)


def size_in_mib_text(image: Path) -> bytes:
    return b"%d MiB\n" % (size_of(image) // MIB) + PLAIN(image)


def log_of_size(image: Path) -> bytes:
    return bytes([size_of(image).bit_length()]) + PLAIN(image)


def first_and_last_block(image: Path) -> bytes:
    numbers = [n for n, bit in enumerate(blocks_of(image, 2 * MIB)) if bit] or [0]
    return struct.pack("<II", numbers[0], numbers[-1]) + PLAIN(image)


def longest_run(image: Path) -> bytes:
    runs = extents_of(blocks_of(image, 2 * MIB), 1)
    return struct.pack("<I", max([n for _, n in runs], default=0)) + PLAIN(image)


def share_in_percent(image: Path) -> bytes:
    bits = blocks_of(image, 2 * MIB)
    return bytes([sum(bits) * 100 // len(bits)]) + PLAIN(image)


SEGMENT = 32768


def segments_with_heads(image: Path) -> bytes:
    bits = blocks_of(image, 2 * MIB)
    pieces = [pack(bits[n : n + SEGMENT]) for n in range(0, len(bits), SEGMENT)]
    return b"".join(struct.pack("<4sI", b"SEG1", len(piece)) + piece for piece in pieces)


def segments_each_padded(image: Path) -> bytes:
    bits = blocks_of(image, 2 * MIB)
    pieces = [pack(bits[n : n + SEGMENT]) for n in range(0, len(bits), SEGMENT)]
    return b"".join(piece.ljust(4096 + 16, b"\0") for piece in pieces)


def number_of_segments(image: Path) -> bytes:
    bits = blocks_of(image, 2 * MIB)
    return struct.pack("<I", -(-len(bits) // SEGMENT)) + pack(bits)


def empty_segments_left_out(image: Path) -> bytes:
    bits = blocks_of(image, 2 * MIB)
    pieces = [bits[n : n + SEGMENT] for n in range(0, len(bits), SEGMENT)]
    return b"".join(pack(piece) for piece in pieces if any(piece))


def first_segment_only(image: Path) -> bytes:
    return pack(blocks_of(image, 2 * MIB)[:SEGMENT])


def as_zvhd2(image: Path) -> bytes:
    return (body := PLAIN(image)) + bytes(-len(body) % 4096)


def at_least_512(image: Path) -> bytes:
    return PLAIN(image).ljust(512, b"\0")


def at_least_4096(image: Path) -> bytes:
    return PLAIN(image).ljust(4096, b"\0")


def block_size_by_disk(image: Path) -> bytes:
    size = MIB
    while size_of(image) // size > 20_000:
        size *= 2
    return pack(blocks_of(image, size))


def numbers_as_wide_as_needed(image: Path) -> bytes:
    bits = blocks_of(image, 2 * MIB)
    form = ">H" if len(bits) < 1 << 16 else ">I"
    return b"".join(struct.pack(form, n) for n, bit in enumerate(bits) if bit)


def _ranges(image: Path) -> list[tuple[int, int]]:
    return extents_of(blocks_of(image, 2 * MIB), 1)


def ranges_or_none(image: Path) -> bytes:
    return b"".join(b"%d+%d\n" % run for run in _ranges(image)) or b"none\n"


def ranges_or_all(image: Path) -> bytes:
    runs = _ranges(image)
    if runs == [(0, len(blocks_of(image, 2 * MIB)))]:
        return b"*"
    return b"".join(struct.pack("<II", *run) for run in runs)


def ranges_or_one(image: Path) -> bytes:
    runs = _ranges(image)
    if [n for _, n in runs] == [1]:
        return struct.pack("<Q", runs[0][0])
    return b"".join(struct.pack("<II", *run) for run in runs)


def ranges_with_an_end(image: Path) -> bytes:
    runs = [*_ranges(image), (0, 0)]
    return b"".join(struct.pack("<QQ", *run) for run in runs)


def ranges_of_64_at_most(image: Path) -> bytes:
    return b"".join(
        struct.pack("<II", start + at, min(64, n - at))
        for start, n in _ranges(image)
        for at in range(0, n, 64)
    )


def short_ranges_without_length(image: Path) -> bytes:
    return b",".join(b"%d" % s if n == 1 else b"%d-%d" % (s, s + n - 1) for s, n in _ranges(image))


def zeros_are_nothing(image: Path) -> bytes:
    return PLAIN(image) if any(PLAIN(image)) else b""


def first_block_always(image: Path) -> bytes:
    return pack([1, *blocks_of(image, 2 * MIB)[1:]])


def last_block_always(image: Path) -> bytes:
    return pack([*blocks_of(image, 2 * MIB)[:-1], 1])


CHANGING = [
    crc32c_behind, fletcher_before, sha256_behind, xor_byte, name_before, folder_before,
    time_before, hour_before, day_before, size_in_gib, size_in_mib_text, log_of_size,
    first_and_last_block, longest_run, share_in_percent, segments_with_heads,
    segments_each_padded, number_of_segments, empty_segments_left_out, first_segment_only,
    as_zvhd2, at_least_512, at_least_4096, block_size_by_disk, numbers_as_wide_as_needed,
    ranges_or_none, ranges_or_all, ranges_or_one, ranges_with_an_end, ranges_of_64_at_most,
    short_ranges_without_length, zeros_are_nothing, first_block_always, last_block_always,
]  # fmt: skip
