"""Damage: images of each format that qemu-img writes, cut short or with a metadata field changed.

What is damaged is chosen by a seed. The fields are those of the formats' documents, by offset.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imsprep.units import KIB, MIB

SIZE = 24 * MIB


class Field(NamedTuple):
    """A field of an image's metadata: its name, and where it lies in the file."""

    name: str
    offset: int
    length: int


Fields = Callable[[bytes], Iterator[Field]]


@dataclass(frozen=True)
class Kind:
    """A format, and how qemu-img makes it."""

    name: str
    suffix: str
    options: tuple[str, ...]
    fields: Fields
    # Fields of which no other part of the file tells that they are wrong.
    unknowable: dict[str, str] = field(default_factory=dict)


class Damage(NamedTuple):
    """A damaged image: what was done to it, and its bytes."""

    name: str
    data: bytes


def write_disk(path: Path) -> None:
    """Write the RAW disk: data here and there, zeros between."""
    data = np.random.default_rng(15)
    with open(path, "wb") as file:
        file.truncate(SIZE)
        for offset, length in (
            (0, 4096), (3 * MIB + 512, 700 * KIB), (7 * MIB, 3 * MIB), (12 * MIB, 64 * KIB),
            (16 * MIB, 5), (20 * MIB, 2 * MIB), (SIZE - 512, 512),
        ):  # fmt: skip
            file.seek(offset)
            file.write(data.bytes(length))
        file.seek(14 * MIB)
        file.write(b"the same again, " * (64 * KIB))


def make(kind: Kind, raw: Path, image: Path) -> None:
    """Make the image of a disk."""
    argv = ["qemu-img", "convert", "-f", "raw", *kind.options, str(raw), str(image)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def cuts(data: bytes, count: int, seed: int) -> Iterator[Damage]:
    """Yield the image cut short, at places all over it."""
    chosen = random.Random(seed)
    for _ in range(count - 2):
        at = chosen.randrange(1, len(data))
        yield Damage(f"cut at byte {at} of {len(data)}", data[:at])
    yield Damage("without the last byte", data[:-1])
    yield Damage("without the last 64 KiB", data[: -64 * KIB])


def changes(kind: Kind, data: bytes, count: int, seed: int) -> Iterator[tuple[Field, Damage]]:
    """Yield the image with one field zeroed, filled, or one bit of it flipped."""
    chosen = random.Random(seed)
    fields = list(kind.fields(data))
    header = [f for f in fields if "entry" not in f.name]
    entries = [f for f in fields if "entry" in f.name]
    order = chosen.sample(header, len(header))[: count // 2]
    rest = count - len(order)
    order += [chosen.choice(entries) for _ in range(rest)] if entries else header[:rest]
    for number, place in enumerate(order):
        old = data[place.offset : place.offset + place.length]
        new = bytearray(old)
        if number % 3 == 0 and any(old):
            new[:], how = bytes(len(old)), "zeroed"
        elif number % 3 == 1 and old != b"\xff" * len(old):
            new[:], how = b"\xff" * len(old), "filled"
        else:
            bit = chosen.randrange(8 * len(old))
            new[bit // 8] ^= 1 << bit % 8
            how = f"bit {bit} flipped"
        changed = data[: place.offset] + bytes(new) + data[place.offset + place.length :]
        yield place, Damage(f"{place.name}, {how}", changed)


def _entries(name: str, data: bytes, offset: int, count: int, kind: str) -> Iterator[Field]:
    """Yield the entries of a table that say something."""
    width = int(kind[-1])
    for number in range(count):
        at = offset + number * width
        if data[at : at + width] not in (bytes(width), b"\xff" * width):
            yield Field(f"{name} entry", at, width)


def _be(data: bytes, at: int, length: int = 8) -> int:
    return int.from_bytes(data[at : at + length], "big")


def _le(data: bytes, at: int, length: int = 8) -> int:
    return int.from_bytes(data[at : at + length], "little")


def _qcow2(data: bytes) -> Iterator[Field]:
    names = (
        "version:4", "backing file offset:8", "backing file size:4", "cluster bits:4", "size:8",
        "encryption:4", "L1 size:4", "L1 offset:8", "refcount table offset:8",
        "refcount table clusters:4", "snapshots:4", "snapshots offset:8", "incompatible features:8",
        "compatible features:8", "autoclear features:8", "refcount order:4", "header length:4",
        "compression type:1",
    )  # fmt: skip
    at = 4
    for name in names[: 12 if _be(data, 4, 4) == 2 else None]:
        label, length = name.split(":")
        yield Field(label, at, int(length))
        at += int(length)
    cluster = 1 << _be(data, 20, 4)
    l1 = _be(data, 40)
    yield from _entries("L1", data, l1, _be(data, 36, 4), "u8")
    for number in range(_be(data, 36, 4)):
        l2 = _be(data, l1 + 8 * number) & 0x00FFFFFFFFFFFE00
        if l2:
            for place in _entries("L2", data, l2, cluster // 8, "u8"):
                bitmap = _be(data, 72) & 16 and (place.offset - l2) % 16
                yield place._replace(name="L2 entry's bitmap") if bitmap else place
    table = _be(data, 48)
    yield from _entries("refcount table", data, table, 8, "u8")
    yield from _entries("refcount block", data, _be(data, table), cluster // 8, "u8")


def _qcow(data: bytes) -> Iterator[Field]:
    yield from (
        Field("version", 4, 4), Field("backing file offset", 8, 8), Field("size", 24, 8),
        Field("cluster bits", 32, 1), Field("L2 bits", 33, 1), Field("encryption", 36, 4),
        Field("L1 offset", 40, 8),
    )  # fmt: skip
    l1 = _be(data, 40)
    yield from _entries("L1", data, l1, 1, "u8")
    yield from _entries("L2", data, _be(data, l1), 1 << data[33], "u8")


def _vmdk(data: bytes) -> Iterator[Field]:
    at = 4
    for name in ("version:4", "flags:4", "capacity:8", "grain size:8", "descriptor offset:8",
                 "descriptor size:8", "entries of a table:4", "redundant directory:8",
                 "directory:8", "overhead:8", "unclean:1", "line ends:4", "compression:2"):  # fmt: skip
        label, length = name.split(":")
        yield Field(label, at, int(length))
        at += int(length)
    text = data[512 : 512 + 20 * 512]
    for word in (b"createType", b"RW ", b"CID=", b"parentCID"):
        yield Field(
            f"descriptor, {word.decode().strip('= ')}", 512 + text.index(word), len(word) + 4
        )
    for name, offset in (("directory", 56), ("redundant directory", 48)):
        directory = _le(data, offset) * 512
        yield from _entries(name, data, directory, 1, "u4")
        yield from _entries(f"{name}'s table", data, _le(data, directory, 4) * 512, 512, "u4")


def _vhd(data: bytes) -> Iterator[Field]:
    for start in {0, len(data) - 512} if data.startswith(b"conectix") else {len(data) - 512}:
        at = start + 8
        for name in ("features:4", "version:4", "data offset:8", "time:4", "creator:4",
                     "creator version:4", "creator's system:4", "original size:8",
                     "current size:8", "cylinders:2", "heads and sectors:2", "type:4",
                     "checksum:4", "id:16"):  # fmt: skip
            label, length = name.split(":")
            yield Field(label, at, int(length))
            at += int(length)
    if data.startswith(b"conectix"):
        header = _be(data, 16)
        for label, offset, length in (
            ("header's cookie", 0, 8), ("table offset", 16, 8), ("entries of the table", 28, 4),
            ("block size", 32, 4), ("header's checksum", 36, 4),
        ):  # fmt: skip
            yield Field(label, header + offset, length)
        yield from _entries("allocation table", data, _be(data, header + 16), 12, "u4")


def _vhdx(data: bytes) -> Iterator[Field]:
    for start in (64 * KIB, 128 * KIB):
        for label, offset, length in (
            ("signature", 0, 4), ("checksum", 4, 4), ("sequence", 8, 8), ("log's id", 48, 16),
            ("log version", 64, 2), ("version", 66, 2), ("log length", 68, 4), ("log offset", 72, 8),
        ):  # fmt: skip
            yield Field(f"header's {label}", start + offset, length)
    for start in (192 * KIB, 256 * KIB):
        for label, offset, length in (
            ("signature", 0, 4), ("checksum", 4, 4), ("count", 8, 4), ("id", 16, 16),
            ("offset", 32, 8), ("length", 40, 4),
        ):  # fmt: skip
            yield Field(f"region table's {label}", start + offset, length)
    regions = {data[p : p + 4]: _le(data, p + 16) for p in (192 * KIB + 16, 192 * KIB + 48)}
    bat, metadata = regions[b"\x66\x77\xc2\x2d"], regions[b"\x06\xa2\x7c\x8b"]
    yield Field("metadata's signature", metadata, 8)
    yield Field("metadata's count", metadata + 10, 2)
    for number in range(5):
        at = metadata + 32 + 32 * number
        yield Field("metadata item's id", at, 16)
        yield Field("metadata item's offset", at + 16, 4)
        name = {0xCAA16737: "block size and flags", 0x2FA54224: "disk size",
                0x8141BF1D: "sector size"}.get(_le(data, at, 4))  # fmt: skip
        if name:
            yield Field(name, metadata + _le(data, at + 16, 4), _le(data, at + 20, 4))
    yield from _entries("allocation table", data, bat, 8, "u8")


def _vdi(data: bytes) -> Iterator[Field]:
    yield from (
        Field("signature", 64, 4), Field("version", 68, 4), Field("type", 76, 4),
        Field("map offset", 340, 4), Field("data offset", 344, 4), Field("sector size", 360, 4),
        Field("disk size", 368, 8), Field("block size", 376, 4), Field("extra bytes", 380, 4),
        Field("blocks", 384, 4), Field("blocks that are stored", 388, 4), Field("id", 392, 16),
        Field("link", 424, 16), Field("parent", 440, 16),
    )  # fmt: skip
    yield from _entries("block map", data, _le(data, 340, 4), SIZE // MIB, "u4")


def _qed(data: bytes) -> Iterator[Field]:
    at = 4
    for name in ("cluster size:4", "table size:4", "header size:4", "features:8",
                 "compatible features:8", "autoclear features:8", "L1 offset:8", "size:8",
                 "backing file's name:8"):  # fmt: skip
        label, length = name.split(":")
        yield Field(label, at, int(length))
        at += int(length)
    l1 = _le(data, 40)
    yield from _entries("L1", data, l1, 1, "u8")
    yield from _entries("L2", data, _le(data, l1), SIZE // _le(data, 4, 4), "u8")


def _parallels(data: bytes) -> Iterator[Field]:
    yield from (
        Field("version", 16, 4), Field("heads", 20, 4), Field("cylinders", 24, 4),
        Field("block size", 28, 4), Field("blocks", 32, 4), Field("sectors", 36, 8),
        Field("in use", 44, 4), Field("data offset", 48, 4), Field("flags", 52, 4),
        Field("extension", 56, 8),
    )  # fmt: skip
    yield from _entries("allocation table", data, 64, _le(data, 32, 4), "u4")


def _options(*words: str) -> tuple[str, ...]:
    return words


_QCOW2 = {
    "size": "how large the disk is within the reach of its L1 table stands nowhere else",
    "L2 entry": "the flag “reads as zeros” of a cluster that is stored",
}
_VHDX = {
    "allocation table entry": "the state of a block: stored, or given back by the guest (TRIM)",
    "disk size": "how large the disk is within the reach of its table",
}
KINDS = {
    kind.name: kind
    for kind in (
        Kind("qcow2", "qcow2", _options("-O", "qcow2"), _qcow2, _QCOW2),
        Kind("qcow2, version 2", "qcow2", _options("-O", "qcow2", "-o", "compat=0.10"), _qcow2,
             {"size": _QCOW2["size"]}),
        Kind("qcow2, zlib", "qcow2", _options("-O", "qcow2", "-c"), _qcow2, _QCOW2),
        Kind("qcow2, zstd", "qcow2", _options("-O", "qcow2", "-c", "-o", "compression_type=zstd"),
             _qcow2, _QCOW2),
        Kind("qcow2, extended L2", "qcow2",
             _options("-O", "qcow2", "-o", "extended_l2=on,cluster_size=128k"), _qcow2,
             {"size": _QCOW2["size"], "L2 entry's bitmap": "which subclusters of a cluster are stored"}),
        Kind("qcow2, metadata preallocated", "qcow2",
             _options("-O", "qcow2", "-o", "preallocation=metadata"), _qcow2, _QCOW2),
        Kind("qcow", "qcow", _options("-O", "qcow"), _qcow, {"size": _QCOW2["size"]}),
        Kind("VMDK, monolithicSparse", "vmdk", _options("-O", "vmdk"), _vmdk),
        Kind("VMDK, streamOptimized", "vmdk",
             _options("-O", "vmdk", "-o", "subformat=streamOptimized"), _vmdk),
        Kind("VHD, fixed", "vhd", _options("-O", "vpc", "-o", "subformat=fixed,force_size=on"), _vhd),
        Kind("VHD, dynamic", "vhd", _options("-O", "vpc", "-o", "force_size=on"), _vhd),
        Kind("VHDX, dynamic", "vhdx", _options("-O", "vhdx", "-o", "block_size=1M"), _vhdx, _VHDX),
        Kind("VHDX, fixed", "vhdx", _options("-O", "vhdx", "-o", "subformat=fixed"), _vhdx, _VHDX),
        Kind("VDI", "vdi", _options("-O", "vdi"), _vdi),
        Kind("VDI, static", "vdi", _options("-O", "vdi", "-o", "static=on"), _vdi),
        Kind("QED", "qed", _options("-O", "qed"), _qed),
        Kind("Parallels", "hds", _options("-O", "parallels"), _parallels),
    )
}  # fmt: skip
