"""What a scan found, in the formats of other tools.

    bmap      bmap 2.0, XML: the ranges of blocks that hold data, each with its SHA-256; bmaptool
              copies by it. Format: the comment in the files that bmaptool itself writes.
    qemu-map  JSON as `qemu-img map --output=json` prints it, by content: zeros that were written
              are zeros here

Bytes of the image come in as a function; nothing is opened here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

from imsprep.image.blockmap import BlockMap
from imsprep.units import MIB

BMAP, QEMU_MAP = "bmap", "qemu-map"
SUFFIXES = {BMAP: ".bmap", QEMU_MAP: ".map.json"}
BLOCK_SIZE = 4096  # bytes; what bmaptool uses, and the grain of today's file systems

STEP = 4 * MIB  # bytes of the image held at once
_NO_CHECKSUM = "0" * 64  # stands in the file while its own checksum is taken

Pread = Callable[[int, int], bytes]


def bmap(block_map: BlockMap, pread: Pread) -> bytes:
    """Return the bmap of an image; the data is read for the checksums of its ranges."""
    lines = [
        '<?xml version="1.0" ?>',
        '<bmap version="2.0">',
        f"    <ImageSize> {block_map.size} </ImageSize>",
        f"    <BlockSize> {block_map.block_size} </BlockSize>",
        f"    <BlocksCount> {len(block_map)} </BlocksCount>",
        f"    <MappedBlocksCount> {block_map.allocated} </MappedBlocksCount>",
        "    <ChecksumType> sha256 </ChecksumType>",
        f"    <BmapFileChecksum> {_NO_CHECKSUM} </BmapFileChecksum>",
        "    <BlockMap>",
        *_ranges(block_map, pread),
        "    </BlockMap>",
        "</bmap>\n",
    ]
    text = "\n".join(lines)
    own = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(_NO_CHECKSUM, own, 1).encode()


def _ranges(block_map: BlockMap, pread: Pread) -> Iterator[str]:
    """Yield a line for each run of blocks that hold data; both ends are included."""
    for extent in block_map.extents():
        if not extent.allocated:
            continue
        offset, length = block_map.byte_range(extent.start, extent.count)
        digest = hashlib.sha256()
        for position in range(offset, offset + length, STEP):
            digest.update(pread(position, min(STEP, offset + length - position)))
        last = extent.start + extent.count - 1
        named = f"{extent.start}-{last}" if extent.count > 1 else f"{last}"
        yield f'        <Range chksum="{digest.hexdigest()}"> {named} </Range>'


def qemu_map(block_map: BlockMap) -> bytes:
    """Return the extents of an image, an object a line, as qemu-img prints them."""
    lines = []
    for extent in block_map.extents():
        start, length = block_map.byte_range(extent.start, extent.count)
        data = extent.allocated
        value = {"start": start, "length": length, "depth": 0, "present": True}
        lines.append(json.dumps({**value, "zero": not data, "data": data, "offset": start}))
    return ("[" + ",\n".join(lines) + "]\n").encode()
