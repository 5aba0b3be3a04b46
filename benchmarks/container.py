"""`imsprep check` of ZVHD2 files: many blocks looked at fast, and all of them unpacked.

The peers are this file's own: `tables` reads index and bitmap once, `unpack` unpacks the frames
with the zstd library on all cores and checks nothing; both are written without imsprep.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zstandard

from benchmarks.harness import Bench, Case, Goal, warm
from benchmarks.inputs import GIB, MIB
from benchmarks.measure import Command, command

BLOCK = 2 * MIB
MANY = 100_000  # blocks
ENTRY = np.dtype([("offset", "<u8"), ("block", "<u4"), ("length", "<u4")])


def cases(bench: Bench) -> Iterator[Case]:
    """Check a container of 100,000 small blocks, and unpack one of a server's files."""
    many = bench.folder / "many.zvhd2"
    if not many.exists():
        _make(many, MANY * BLOCK, ((n, b"block") for n in range(MANY)))
    yield Case(
        f"check of {MANY} blocks", _ours(many), _peer("tables", many), "reading its tables",
        (Goal("seconds", "<=", 2), Goal("memory_mib", "<=", 150)),
        before=lambda: warm(many), quick=True,
    )  # fmt: skip
    size = bench.size(4 * GIB, 256 * MIB)
    image = bench.inputs.ext4(size + GIB, size)
    full = bench.folder / f"{image.stem}.zvhd2"
    if not full.exists():
        _make(full, image.stat().st_size, _blocks(image))
    yield Case(
        f"check --deep of {size // MIB} MiB of files", _ours(full, "--deep"), _peer("unpack", full),
        "zstd on all cores", (Goal("ratio", ">=", 0.85), Goal("memory_mib", "<=", 150)),
        before=lambda: warm(full), quick=True,
    )  # fmt: skip


def _ours(path: Path, *options: str) -> Command:
    check = (sys.executable, "-m", "imsprep", "check", path, "--quiet", "--type", "DataImage")
    return command(*check, *options)


def _peer(what: str, path: Path) -> Command:
    return command(sys.executable, "-m", "benchmarks.container", what, path)


def _blocks(image: Path) -> Iterator[tuple[int, bytes]]:
    with open(image, "rb") as file:
        for number in range(-(-image.stat().st_size // BLOCK)):
            data = file.read(BLOCK)
            if any(data):
                yield number, data


def _make(path: Path, size: int, blocks: Iterator[tuple[int, bytes]]) -> None:
    """Write a container, block after block."""
    from imsprep.image.blockmap import BlockMap
    from imsprep.zvhd2 import records
    from imsprep.zvhd2.codec import Packer

    header, rows, at = records.new_header(size), [], records.FOOTER_LENGTH
    pack = Packer(records.ZSTD, 3)
    last: tuple[bytes, bytes] = (b"", b"")
    flags = np.zeros(header.max_blk_num, dtype=np.bool_)
    with open(path.with_suffix(".part"), "wb") as file:
        file.write(records.pack_footer(header).ljust(at, b"\0"))
        for number, data in blocks:
            if data != last[0]:
                last = data, pack(data.ljust(BLOCK, b"\0"))
            record = records.pack_record(number, last[1])
            file.write(record)
            rows.append((at, number, len(record)))
            flags[number] = True
            at += len(record)
        footer = records.final_footer(header, len(rows), at)
        file.write(records.pack_index(np.array(rows, records.INDEX_ENTRY)))
        file.write(records.pack_bitmap(BlockMap.from_flags(header.orig_size, BLOCK, flags)))
        file.write(records.pack_footer(footer).ljust(records.FOOTER_LENGTH, b"\0"))
    path.with_suffix(".part").rename(path)


def read_tables(path: Path) -> tuple[int, np.ndarray]:
    """Open a container and read index and bitmap, trusting all of it."""
    file = os.open(path, os.O_RDONLY)
    footer = os.pread(file, 512, os.fstat(file).st_size - 4096)
    index, bitmap, index_size, bitmap_size = struct.unpack_from("<QQII", footer, 96)
    stored = struct.unpack_from("<I", footer, 136)[0]
    os.pread(file, bitmap_size, bitmap)
    return file, np.frombuffer(os.pread(file, index_size, index), ENTRY, stored)


def unpack_all(path: Path) -> None:
    """Unpack every frame on all cores; what comes out is thrown away."""
    file, entries = read_tables(path)

    def some(batch: list[tuple[int, int, int]]) -> None:
        library = zstandard.ZstdDecompressor()
        for offset, _, length in batch:
            record = os.pread(file, length, offset)
            size = int.from_bytes(record[12:16], "little")
            library.decompress(memoryview(record)[48 : 48 + size])

    rows = entries.tolist()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(some, [rows[at : at + 32] for at in range(0, len(rows), 32)]))


if __name__ == "__main__":
    {"tables": read_tables, "unpack": unpack_all}[sys.argv[1]](Path(sys.argv[2]))
