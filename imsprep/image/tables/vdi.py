"""VDI: header and block map. The header counts the blocks that are stored, so a lost entry shows.

Source: block/vdi.c of QEMU, which describes VirtualBox's header; little-endian.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from imsprep.image.tables.survey import (
    Ledger,
    Read,
    Survey,
    SurveyError,
    check_size,
    damaged,
    needed,
    table,
)
from imsprep.units import SECTOR

_HEADER = struct.Struct("<64sIIIII256sIIIIIIIQIIII16s16s16s16s")
_MAGIC, _VERSION = 0xBEDA107F, 0x00010001
CLONE = "with its parents at hand: VBoxManage clonemedium disk {image} whole.vdi"
_ZERO = 0xFFFFFFFE  # an entry of the map: a block of zeros; one more is a block that is not there
_DYNAMIC, _STATIC = 1, 2
_KINDS = {3: "it is an undo disk of VirtualBox", 4: "it needs a parent, which holds the rest"}


class Header(NamedTuple):
    """The header, VirtualBox's names. Sizes in bytes."""

    text: bytes
    magic: int
    version: int
    header_size: int
    image_type: int
    flags: int
    description: bytes
    blocks_offset: int  # of the map
    data_offset: int
    cylinders: int
    heads: int
    sectors: int
    sector_size: int
    unused: int
    disk_size: int
    block_size: int
    block_extra: int
    blocks: int
    allocated: int
    uuid: bytes
    snapshot: bytes
    link: bytes
    parent: bytes


def survey(read: Read, size: int) -> Survey:
    """Read header and map of a VDI; raises FormatError if they cannot be right."""
    head = Header(*_HEADER.unpack(table(read, size, 0, _HEADER.size)))
    _check(head)
    ledger = Ledger(size)
    ledger.add(0, _HEADER.size, "the header")
    ledger.add(head.blocks_offset, head.blocks * 4, "the block map")
    map_ = np.frombuffer(table(read, size, head.blocks_offset, head.blocks * 4), "<u4")
    map_ = map_.astype(np.int64)
    stored = np.flatnonzero(map_ < _ZERO)
    places = map_[stored]
    if len(stored) != head.allocated:
        raise damaged(
            f"its header counts {head.allocated} blocks, its map names {len(stored)}",
            head.blocks_offset,
        )
    if len(np.unique(places)) != len(places) or np.any(places >= head.blocks):
        raise damaged("its map names a block twice, or one after the last", head.blocks_offset)
    wanted = needed(stored, head.block_size, head.disk_size)
    offsets = head.data_offset + places * head.block_size
    ledger.add_all(offsets, wanted, "a block")
    ledger.check_apart()
    return Survey(head.disk_size, ledger, least_gap=head.block_size, has_check=True)


def _check(head: Header) -> None:
    if head.magic != _MAGIC or head.version != _VERSION:
        raise damaged(f"signature {head.magic:#x}, version {head.version:#x}", 64)
    if head.image_type not in (_DYNAMIC, _STATIC):
        raise SurveyError(
            _KINDS.get(head.image_type, f"it is of type {head.image_type}, which is not known"),
            CLONE,
        )
    check_size(head.disk_size, 368)
    if any(head.link) or any(head.parent):
        raise SurveyError("it needs a parent, which holds the rest of its disk", CLONE)
    if head.sector_size != SECTOR or not head.block_size:
        raise damaged(f"sectors of {head.sector_size} bytes, blocks of {head.block_size}", 360)
    # VirtualBox's own sizes may leave the end of the last block unused, never a block.
    if head.blocks != -(-head.disk_size // head.block_size):
        raise damaged(
            f"{head.blocks} blocks of {head.block_size} bytes for a disk of {head.disk_size}", 368
        )
    if head.block_extra:
        raise SurveyError("its blocks have extra data in front, which QEMU does not read", CLONE)
    if head.blocks_offset % SECTOR or head.data_offset % SECTOR:
        raise damaged("its block map or its data lie between sectors", 340)
