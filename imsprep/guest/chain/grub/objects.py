"""What is built into a GRUB program: its prefix, its configuration, and its modules.

grub-mkimage appends them as *objects* behind a header `mimg`, in a program of EFI as in the core
image of a BIOS. A module is an ELF file; its name is the section `.modname`. What the module of
ext2/3/4 can read is in its code: the mask by which it refuses a file system with a feature that it
does not know. Distributions add such features to older versions, so the mask decides and not the
version. Sources: GRUB's include/grub/kernel.h and grub-core/fs/ext2.c, 1.99 to 2.12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

_MAGIC = 0x676D696D
_INFO32, _INFO64 = struct.Struct("<III"), struct.Struct("<I4xQQ")  # magic, offset, size
_OBJECT = struct.Struct("<II")  # type, size with this header
_ELF, _MEMDISK, _CONFIG, _PREFIX = 0, 1, 2, 3

# Bits of s_feature_incompat that every GRUB reads, and those that only some do.
_ALL_READ = 0x0002 | 0x0040 | 0x0200 | 0x0004  # filetype, extents, flex_bg, needs_recovery
_SOME_READ = {0x0010: "meta_bg", 0x0080: "64bit", 0x0100: "mmp", 0x0400: "ea_inode",
              0x2000: "metadata_csum_seed", 0x4000: "large_dir", 0x8000: "inline_data",
              0x10000: "encrypt", 0x20000: "casefold"}  # fmt: skip


@dataclass(frozen=True)
class Objects:
    """What grub-mkimage built in; `modules` are ELF files by name."""

    prefix: str | None = None
    config: str | None = None
    modules: Mapping[str, bytes] = field(default_factory=dict)
    memdisk: bool = False  # it brings a file system of its own
    kernel: bytes = b""  # GRUB itself, in front of them


def read_objects(data: bytes, *, bits: int) -> Objects | None:
    """Read the objects behind a header at the start of `data`; None if there is no header."""
    info = _INFO64 if bits == 64 else _INFO32
    if len(data) < info.size:
        return None
    magic, first, size = info.unpack_from(data)
    if magic != _MAGIC or not info.size <= first <= size:
        return None
    texts: dict[int, str] = {}
    modules: dict[str, bytes] = {}
    memdisk = False
    for kind, content in _objects(data[first : min(size, len(data))]):
        memdisk = memdisk or kind == _MEMDISK
        if kind in (_CONFIG, _PREFIX):
            texts[kind] = content.split(b"\0")[0].decode("utf-8", "replace")
        elif kind == _ELF and (name := _module_name(content)) is not None:
            modules[name] = content
    return Objects(texts.get(_PREFIX), texts.get(_CONFIG), modules, memdisk)


def _objects(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _OBJECT.size <= len(data):
        kind, size = _OBJECT.unpack_from(data, at)
        if size < _OBJECT.size:
            return
        yield kind, data[at + _OBJECT.size : at + size]
        at += size


def find_objects(data: bytes) -> Objects | None:
    """Find the objects at the end of a kernel of 32 bits; their size has to reach the end."""
    mark = struct.pack("<I", _MAGIC)
    at = data.find(mark)
    while at >= 0:
        size = _INFO32.unpack_from(data, at)[2] if at + _INFO32.size <= len(data) else 0
        if at + size == len(data):
            found = read_objects(data[at:], bits=32)
            return replace(found, kernel=data[:at]) if found is not None else None
        at = data.find(mark, at + 1)
    return None


# Where an ELF header has the place, size, number and names of its sections; and how a section has
# its name, offset and size. By EI_CLASS, which is 1 for 32 bits and 2 for 64.
_ELF_HEADS = {1: (struct.Struct("<32xI10xHHH"), struct.Struct("<I12xII")),
              2: (struct.Struct("<40xQ10xHHH"), struct.Struct("<I20xQQ"))}  # fmt: skip


def _module_name(elf: bytes) -> str | None:
    """Return the text of the section `.modname`, or None."""
    layout = _ELF_HEADS.get(elf[4] if elf[:4] == b"\x7fELF" and len(elf) > 64 else 0)
    if layout is None:
        return None
    head, section = layout
    start, size, count, names = head.unpack_from(elf)
    places = [start + number * size for number in range(count)]
    if not places or names >= count or size < section.size or places[-1] + size > len(elf):
        return None
    _, texts, _ = section.unpack_from(elf, places[names])
    for place in places:
        name, offset, length = section.unpack_from(elf, place)
        if elf[texts + name :].startswith(b".modname\0"):
            return elf[offset : offset + length].split(b"\0")[0].decode("ascii", "replace")
    return None


def ext_features(module: bytes) -> tuple[str, ...] | None:
    """Return which features of ext2/3/4 GRUB's module `ext2` reads of those that not all read.

    They are those that the mask in its code leaves out; None where no mask, or more than one, is
    found.
    """
    known = set()
    some = sum(_SOME_READ)
    for at in range(len(module) - 3):
        if module[at + 3] == 0xFF:  # no feature is that high
            reads = ~struct.unpack_from("<I", module, at)[0] & 0xFFFFFFFF
            if reads & _ALL_READ == _ALL_READ and not reads & ~(_ALL_READ | some):
                known.add(reads)
    if len(known) != 1:
        return None
    (reads,) = known
    return tuple(name for bit, name in _SOME_READ.items() if reads & bit)
