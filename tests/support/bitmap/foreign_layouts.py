"""More bitmap files as some other tool might write them: of block maps, in plain loops.

`FITTING` are of a kind that the learner knows. `OTHERS` are of none, or do something special for
some disks: they may be learned where they are plain, and must then be refused where they are not.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
import zlib
from collections.abc import Callable

from imsprep.image.blockmap import BlockMap
from imsprep.units import KIB, MIB, SECTOR
from tests.support.bitmap.vendors import extents_of, pack

B = 2 * MIB
Tool = Callable[[BlockMap], bytes]


def bits(of: BlockMap) -> list[int]:
    return [int(flag) for flag in of.flags()]


def body(of: BlockMap) -> bytes:
    return pack(bits(of))


def runs(of: BlockMap, state: int = 1) -> list[tuple[int, int]]:
    return extents_of(bytes(bits(of)), state)


def whole_blocks(of: BlockMap) -> int:
    return of.size // B


def pairs(values: list[tuple[int, int]], form: str = "<II") -> bytes:
    return b"".join(struct.pack(form, *pair) for pair in values)


def in_words(width: int) -> Tool:
    """The highest bit of a little-endian word stands for its first block."""

    def made(of: BlockMap) -> bytes:
        data = pack(bits(of), msb=True)
        data += bytes(-len(data) % width)
        return b"".join(data[n : n + width][::-1] for n in range(0, len(data), width))

    made.__name__ = f"in_words_of_{width}"
    return made


def length_in_front(of: BlockMap) -> bytes:
    return struct.pack(">I", len(body(of))) + body(of)


def list_of_flags(of: BlockMap) -> bytes:
    return json.dumps({"block": B, "map": bits(of)}).encode()


def table_of_bytes(of: BlockMap) -> bytes:
    return b"offset,length\r\n" + b"".join(b"%d,%d\r\n" % (s * B, n * B) for s, n in runs(of))


def extents_in_sectors(of: BlockMap) -> bytes:
    return pairs([(s * B // SECTOR, n * B // SECTOR) for s, n in runs(of)], "<QQ")


def last_bytes(of: BlockMap) -> bytes:
    return pairs([(s * B, (s + n) * B - 1) for s, n in runs(of)], ">QQ")


def ends_of_blocks(of: BlockMap) -> bytes:
    return pairs([(s, s + n) for s, n in runs(of)], ">II")


def magic_behind(of: BlockMap) -> bytes:
    return body(of) + b"HWBITMAP"


def all_counts(of: BlockMap) -> bytes:
    head = struct.pack(">8sIQII", b"mapfile\n", 2, of.size, len(of), of.allocated)
    return head + body(of) + struct.pack("<I", zlib.crc32(head + body(of)))


FITTING: list[Tool] = [
    in_words(2), in_words(4), in_words(8), length_in_front, list_of_flags, table_of_bytes,
    extents_in_sectors, last_bytes, ends_of_blocks, magic_behind, all_counts,
]  # fmt: skip


def roaring(of: BlockMap) -> bytes:
    by_key: dict[int, list[int]] = {}
    for block in (n for n, bit in enumerate(bits(of)) if bit):
        by_key.setdefault(block >> 16, []).append(block & 0xFFFF)
    head = struct.pack("<II", 12346, len(by_key))
    head += b"".join(struct.pack("<HH", key, len(low) - 1) for key, low in by_key.items())
    return head + b"".join(
        struct.pack(f"<{len(low)}H", *low) if len(low) <= 4096 else pack_set(low)
        for low in by_key.values()
    )


def pack_set(numbers: list[int]) -> bytes:
    flags = bytearray(1 << 16)
    for number in numbers:
        flags[number] = 1
    return pack(flags)


def run_length_bytes(of: BlockMap) -> bytes:
    found = sorted([(s, n, 1) for s, n in runs(of)] + [(s, n, 0) for s, n in runs(of, 0)])
    return bytes(bit << 7 | min(127, n - at) for _, n, bit in found for at in range(0, n, 127))


def pack_bits_of_a_fax(of: BlockMap) -> bytes:
    data, out, at = body(of), bytearray(), 0
    while at < len(data):
        end = at
        while end < min(len(data), at + 128) and data[end] == data[at]:
            end += 1
        out += bytes([257 - (end - at) if end - at > 1 else 0, data[at]])
        at = end
    return bytes(out)


def nibbles_swapped(of: BlockMap) -> bytes:
    return bytes(byte >> 4 | (byte & 15) << 4 for byte in body(of))


def counts_of_segments(of: BlockMap) -> bytes:
    flags = bits(of)
    parts = [flags[n : n + 4096] for n in range(0, len(flags), 4096)]
    head = struct.pack(f"<I{len(parts)}I", len(parts), *map(sum, parts))
    return head + b"".join(map(pack, map(bytearray, parts)))


def sum_behind_each_segment(of: BlockMap) -> bytes:
    data = body(of)
    parts = [data[n : n + 512] for n in range(0, len(data), 512)]
    return b"".join(part + struct.pack("<I", zlib.crc32(part)) for part in parts)


def two_levels(of: BlockMap) -> bytes:
    data = body(of)
    parts = [data[n : n + 64] for n in range(0, len(data), 64)]
    return pack(bytearray(any(part) for part in parts)) + b"".join(p for p in parts if any(p))


def base64_text(of: BlockMap) -> bytes:
    return base64.b64encode(body(of))


def hexadecimal_text(of: BlockMap) -> bytes:
    return body(of).hex().encode() + b"\n"


def hexadecimal_lines(of: BlockMap) -> bytes:
    data = body(of)
    return b"".join(
        b"%08x: %s\n" % (n, data[n : n + 16].hex().encode()) for n in range(0, len(data), 16)
    )


def map_as_of_qemu(of: BlockMap) -> bytes:
    found = [(s, n, True) for s, n in runs(of)] + [(s, n, False) for s, n in runs(of, 0)]
    return json.dumps(
        [{"start": s * B, "length": min(n * B, of.size - s * B), "data": data, "zero": not data}
         for s, n, data in sorted(found)]
    ).encode()  # fmt: skip


def table_in_kib(of: BlockMap) -> bytes:
    return b"".join(b"%d,%d\n" % (s * B // KIB, n * B // KIB) for s, n in runs(of))


def map_as_of_ddrescue(of: BlockMap) -> bytes:
    found = [(s, n, b"+") for s, n in runs(of)] + [(s, n, b"?") for s, n in runs(of, 0)]
    lines = (b"0x%08X  0x%08X  %s\n" % (s * B, n * B, sign) for s, n, sign in sorted(found))
    return b"# Mapfile\n0x00000000     +               1\n" + b"".join(lines)


def packed(of: BlockMap) -> bytes:
    return gzip.compress(body(of), mtime=0)


def packed_if_large(of: BlockMap) -> bytes:
    return body(of) if len(body(of)) < 4096 else packed(of)


def masked(of: BlockMap) -> bytes:
    return bytes(byte ^ 0xA5 for byte in body(of))


def masked_by_a_word(of: BlockMap) -> bytes:
    return bytes(byte ^ b"secret"[n % 6] for n, byte in enumerate(body(of)))


def piece_of_64_gib(of: BlockMap) -> bytes:
    flags = bytearray(bits(of))
    return b"".join(
        struct.pack("<Q", n * B) + pack(flags[n : n + 32768]) for n in range(0, len(flags), 32768)
    )


def sorted_by_length(of: BlockMap) -> bytes:
    return pairs(sorted(runs(of), key=lambda run: (run[1], run[0])))


def starts_then_lengths(of: BlockMap) -> bytes:
    found = runs(of)
    columns = [s for s, _ in found] + [n for _, n in found]
    return struct.pack(f"<I{len(columns)}I", len(found), *columns)


def distances(of: BlockMap) -> bytes:
    ends = [0, *(s + n for s, n in runs(of))]
    return pairs([(s - end, n) for end, (s, n) in zip(ends, runs(of), strict=False)])


def three_bytes_each(of: BlockMap) -> bytes:
    return b"".join(n.to_bytes(3, "little") for n, bit in enumerate(bits(of)) if bit)


def two_bits_each(of: BlockMap) -> bytes:
    return pack(bytearray(bit for bit in bits(of) for _ in range(2)))


def from_the_end(of: BlockMap) -> bytes:
    return pack(bytearray(bits(of)[::-1]))


def spare_bits_in_front(of: BlockMap) -> bytes:
    return bytes([-len(of) % 8]) + body(of)


# What differs only for some disks.


def without_a_short_block_and_empty_end(of: BlockMap) -> bytes:
    return pack(bytearray(bits(of)[: whole_blocks(of)])).rstrip(b"\0")


def ranges_without_a_short_block(of: BlockMap) -> bytes:
    return pairs(extents_of(bytes(bits(of)[: whole_blocks(of)]), 1))


def one_block_more_than_whole_ones(of: BlockMap) -> bytes:
    return struct.pack("<I", whole_blocks(of) + 1) + body(of)


def a_bit_more_than_whole_ones(of: BlockMap) -> bytes:
    return pack(bytearray([*bits(of), 0][: whole_blocks(of) + 1]))


def flag_of_the_first_block(of: BlockMap) -> bytes:
    return bytes([bits(of)[0]]) + body(of)


def flag_of_the_last_block(of: BlockMap) -> bytes:
    return body(of) + bytes([bits(of)[-1]])


def flag_of_a_full_disk(of: BlockMap) -> bytes:
    return bytes([2 * of.allocated > len(of)]) + body(of)


def polarity_of_the_majority(of: BlockMap) -> bytes:
    most = 2 * of.allocated > len(of)
    return pack(bytearray(bit ^ most for bit in bits(of)))


def shorter_list(of: BlockMap) -> bytes:
    data, holes = runs(of), runs(of, 0)
    return b"D" + pairs(data) if len(data) <= len(holes) else b"H" + pairs(holes)


def list_or_bits(of: BlockMap) -> bytes:
    listed = pairs(runs(of))
    return b"L" + listed if len(listed) < len(body(of)) else b"B" + body(of)


def ranges_of_at_most(most: int) -> Tool:
    def made(of: BlockMap) -> bytes:
        return pairs([(s + at, min(most, n - at)) for s, n in runs(of) for at in range(0, n, most)])

    made.__name__ = f"ranges_of_at_most_{most}"
    return made


def split_at_segments(of: BlockMap) -> bytes:
    found = []
    for start, count in runs(of):
        end = start + count
        while start < end:
            stop = min(end, (start // 32768 + 1) * 32768)
            found.append((start, stop - start))
            start = stop
    return pairs(found)


def gaps_of_a_block_joined(of: BlockMap) -> bytes:
    joined: list[tuple[int, int]] = []
    for start, count in runs(of):
        if joined and start - sum(joined[-1]) == 1:
            first = joined.pop()[0]
            start, count = first, start + count - first
        joined.append((start, count))
    return pairs(joined)


def new_table_every(entries: int) -> Tool:
    def made(of: BlockMap) -> bytes:
        found = runs(of)
        tables = [found[n : n + entries] for n in range(0, len(found), entries)]
        return b"NEXT\0\0\0\0".join(map(pairs, tables))

    made.__name__ = f"new_table_every_{entries}"
    return made


def lengths_up_to_65535(of: BlockMap) -> bytes:
    return b"".join(struct.pack("<IH", s, min(n, 65535)) for s, n in runs(of))


def lengths_up_to_255(of: BlockMap) -> bytes:
    return b"".join(struct.pack("<IH", s, min(n, 255)) for s, n in runs(of))


OTHERS: list[Tool] = [
    roaring, run_length_bytes, pack_bits_of_a_fax, nibbles_swapped, counts_of_segments,
    sum_behind_each_segment, two_levels, base64_text, hexadecimal_text, hexadecimal_lines,
    map_as_of_qemu, table_in_kib, map_as_of_ddrescue, packed, packed_if_large, masked,
    masked_by_a_word, piece_of_64_gib, sorted_by_length, starts_then_lengths, distances,
    three_bytes_each, two_bits_each, from_the_end, spare_bits_in_front,
    without_a_short_block_and_empty_end, ranges_without_a_short_block,
    one_block_more_than_whole_ones, a_bit_more_than_whole_ones, flag_of_the_first_block,
    flag_of_the_last_block, flag_of_a_full_disk, polarity_of_the_majority, shorter_list,
    list_or_bits, ranges_of_at_most(64), ranges_of_at_most(256), ranges_of_at_most(4096),
    split_at_segments, gaps_of_a_block_joined, new_table_every(512), new_table_every(4096),
    lengths_up_to_65535, lengths_up_to_255,
]  # fmt: skip
