"""Make ZVHD2 files of every legal and illegal shape, byte by byte, for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from imsprep.image.blockmap import BlockMap
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import Packer

ENTRY = records.INDEX_ENTRY


@dataclass(frozen=True)
class Built:
    """A file, and where its structures lie."""

    data: bytes
    header: records.Footer
    footer: records.Footer
    entries: np.ndarray  # in the order of the index, used ones only
    middle: int  # offset of the middle footer

    def with_footer(self, *, header: bool = False, **fields: object) -> bytes:
        """Return the file with fields of its final footer (and header) replaced, sums renewed."""
        data = bytearray(self.data)
        data[-4096:-3584] = records.pack_footer(self.footer._replace(**fields))
        if header:
            data[:512] = records.pack_footer(self.header._replace(**fields))
        return bytes(data)

    def with_bytes(self, offset: int, new: bytes) -> bytes:
        """Return the file with some bytes overwritten."""
        return self.data[:offset] + new + self.data[offset + len(new) :]

    def with_entry(self, number: int, **fields: int) -> bytes:
        """Return the file with fields of an index entry replaced."""
        at = self.footer.index_lba + number * ENTRY.itemsize
        entry = np.frombuffer(self.data, ENTRY, 1, at).copy()
        for name, value in fields.items():
            entry[name] = value
        return self.with_bytes(at, entry.tobytes())

    @property
    def structures(self) -> list[int]:
        """The offsets at which something begins or ends."""
        edges = {0, 512, 4096, self.middle, self.footer.index_lba, self.footer.bitmap_lba}
        for entry in self.entries:
            start, end = int(entry["offset"]), int(entry["offset"] + entry["length"])
            edges |= {start, start + 48, end - 4, end}
        return sorted(edges | {len(self.data) - 4096, len(self.data) - 3584, len(self.data)})


def build(
    blocks: Mapping[int, bytes],
    size: int,
    *,
    block_size: int = records.BLOCK_SIZE,
    method: int = records.ZSTD,
    all_blocks: bool = False,
    order: Iterable[int] | None = None,
    index_in_written_order: bool = True,
    middle: bool = True,
) -> Built:
    """Return a container of `blocks` (cut or filled with zeros to block_size), written in `order`."""
    header = records.new_header(
        size, block_size=block_size, method=method, timestamp=1, uuid=b"u" * 16
    )
    header = header._replace(index_contains_zero_blk=int(all_blocks))
    pack = Packer(method, 1)
    pieces, at = [records.pack_footer(header).ljust(4096, b"\0")], 4096
    rows = []
    for block in blocks if order is None else order:
        record = records.pack_record(block, pack(blocks[block].ljust(block_size, b"\0")))
        rows.append((at, block, len(record)))
        pieces.append(record)
        at += len(record)
    middle_at = at
    if middle:
        stale = bytearray(records.pack_footer(header))
        stale[136:140] = len(rows).to_bytes(4, "little")
        pieces.append(bytes(stale).ljust(4096, b"\0"))
        at += 4096
    if not index_in_written_order:
        rows.sort(key=lambda row: row[1])
    entries = np.array(rows, ENTRY)
    index = entries
    if all_blocks:
        index = np.zeros(header.max_blk_num, ENTRY)
        index[entries["block"]] = entries
    flags = np.zeros(header.max_blk_num, dtype=np.bool_)
    flags[entries["block"]] = True
    footer = records.final_footer(header, len(rows), at)
    pieces += [
        records.pack_index(index),
        records.pack_bitmap(BlockMap.from_flags(header.orig_size, block_size, flags)),
        records.pack_footer(footer).ljust(4096, b"\0"),
    ]
    return Built(b"".join(pieces), header, footer, entries, middle_at)


def of_disk(disk: bytes, **options: object) -> bytes:
    """Return the container of a whole disk, zero blocks left out."""
    size = records.BLOCK_SIZE
    pieces = {at // size: disk[at : at + size] for at in range(0, len(disk), size)}
    return build({n: p for n, p in pieces.items() if any(p)}, len(disk), **options).data


def reading(data: bytes) -> Callable[[int, int], bytes]:
    """Return how to read a file in memory, which fails if it is asked for what is outside."""

    def read(offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= len(data), (offset, length)
        return data[offset : offset + length]

    return read
