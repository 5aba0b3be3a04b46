"""LVM2 from bytes: the volume groups of a disk, and where each logical volume's bytes lie.

A *physical volume* (a partition or the bare disk) begins with a label and a header that names its
metadata area: a ring of texts of which the header tells the last. That text describes the whole
group: a logical volume is a row of *segments*, each a run of *extents* on one physical volume.
Only such linear segments are followed; another kind (thin, cache, raid, stripes) and one whose
physical volume is not on this disk are the reason why a logical volume cannot be read.

Sources: LVM2's layout.h and label.h, lvmtext's format as `vgcfgbackup` writes it. Written here
because libvslvm 20260901 refuses a volume that was ever extended, and any group of two partitions.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from imsprep.errors import FormatError
from imsprep.units import MIB, SECTOR

Read = Callable[[int, int], bytes]  # offset, length -> bytes of a physical volume

_LABEL = struct.Struct("<8sQII8s")  # "LABELONE", sector, checksum, offset of the header, type
_LABEL_SECTORS = 4  # the label is in one of the first
_PV_HEADER = struct.Struct("<32sQ")  # identifier, size in bytes; then the two lists of areas
_AREA = struct.Struct("<QQ")  # offset and size in bytes; zeros end a list
_MDA_HEADER = struct.Struct("<I16sIQQ")  # checksum, magic, version, start, size
_MDA_MAGIC = b" LVM2 x[5A%r0N*>"
_MDA_HEADER_SIZE = 512
_TEXT = struct.Struct("<QQII")  # offset in the area, size, checksum, flags
_IGNORED = 1  # flag: the area is not in use
_CRC_START = 0xF597A6CF

_AREA_LIMIT = 16  # entries of a list of areas
_TEXT_LIMIT = 4 * MIB  # of one group's metadata; 1 MiB is LVM's own default for the whole ring
_TOKENS = re.compile(r'\s+|#[^\n]*|"(?:[^"\\]|\\.)*"|[\[\]{}=,]|[^\s\[\]{}=,"#]+')
_DEPTH_LIMIT = 8
_SIZE_LIMIT = 1 << 60  # bytes of a logical volume


class Physical(NamedTuple):
    """A physical volume: its identifier, and the newest text of its group if it keeps one."""

    identifier: str
    group: Mapping[str, object] | None


class LvmRun(NamedTuple):
    """A run of bytes of a logical volume: where it lies on which physical volume."""

    identifier: str
    offset: int  # bytes from the start of the physical volume
    length: int  # bytes


class Logical(NamedTuple):
    """A logical volume; `unread` says why its bytes are not known."""

    group: str
    name: str
    runs: tuple[LvmRun, ...]
    unread: str | None = None
    missing: str | None = None  # the physical volume that it needs and that is not on this disk
    identifier: str | None = None  # of the group and its own, as /dev/disk/by-id has them


def read_physical(read: Read) -> Physical:
    """Read the label, the header and the group's text; FormatError says what is broken."""
    sector, header = next(
        (
            (number, data)
            for number in range(_LABEL_SECTORS)
            if (data := read(number * SECTOR, SECTOR)).startswith(b"LABELONE")
        ),
        (0, b""),
    )
    if len(header) < SECTOR:
        raise FormatError("there is no LVM label")
    _, _, checksum, start, kind = _LABEL.unpack_from(header)
    if kind != b"LVM2 001" or not _LABEL.size <= start <= SECTOR - _PV_HEADER.size:
        raise FormatError("the LVM label is of another kind")
    if checksum != _crc(header[20:]):
        raise FormatError(f"the LVM label in sector {sector} does not fit its checksum")
    raw, _ = _PV_HEADER.unpack_from(header, start)
    _, position = _areas(header, start + _PV_HEADER.size)
    areas, _ = _areas(header, position)
    groups = [group for offset, size in areas for group in _group(read, offset, size)]
    newest = max(groups, key=_sequence, default=None)
    return Physical(raw.decode("latin-1"), newest)


def _areas(header: bytes, position: int) -> tuple[list[tuple[int, int]], int]:
    """Read a list of areas; return it and the position behind it."""
    found: list[tuple[int, int]] = []
    while position + _AREA.size <= len(header) and len(found) < _AREA_LIMIT:
        offset, size = _AREA.unpack_from(header, position)
        position += _AREA.size
        if not offset:
            break
        found.append((offset, size))
    return found, position


def _group(read: Read, offset: int, size: int) -> Iterator[dict[str, object]]:
    """Yield the group that one metadata area describes, if it is in use."""
    header = read(offset, _MDA_HEADER_SIZE)
    if len(header) < _MDA_HEADER_SIZE:
        raise FormatError("the metadata area of LVM lies outside of the volume")
    checksum, magic, version, start, length = _MDA_HEADER.unpack_from(header)
    if magic != _MDA_MAGIC or version != 1 or checksum != _crc(header[4:]):
        raise FormatError("the metadata area of LVM has no valid header")
    at, count, text_checksum, flags = _TEXT.unpack_from(header, _MDA_HEADER.size)
    if not at or flags & _IGNORED:
        return
    if count > min(_TEXT_LIMIT, length) or not _MDA_HEADER_SIZE <= at < length or start != offset:
        raise FormatError("the metadata of LVM lies outside of its area")
    text = read(start + at, min(count, length - at))
    text += read(start + _MDA_HEADER_SIZE, count - len(text)) if len(text) < count else b""
    if _crc(text) != text_checksum:
        raise FormatError("the metadata of LVM does not fit its checksum")
    values = parse(text.rstrip(b"\0").decode("utf-8", "surrogateescape"))
    for name, group in values.items():
        if isinstance(group, dict) and "physical_volumes" in group:
            yield {**group, "name": name}


def _sequence(group: Mapping[str, object]) -> int:
    number = group.get("seqno")
    return number if isinstance(number, int) else -1


def _crc(data: bytes) -> int:
    """Return LVM's checksum: CRC-32 with another start and without the inversion at the end."""
    return zlib.crc32(data, _CRC_START ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def parse(text: str) -> dict[str, object]:
    """Read LVM's text: `name { ... }`, `key = value`, `key = [ ... ]`; FormatError otherwise."""
    top: dict[str, object] = {}
    open_sections = [top]
    tokens = (found[0] for found in _TOKENS.finditer(text) if not found[0][0].isspace())
    tokens = (token for token in tokens if not token.startswith("#"))
    for name in tokens:
        if name == "}":
            open_sections.pop()
            if not open_sections:
                break
            continue
        mark = next(tokens, "")
        if mark == "{" and len(open_sections) < _DEPTH_LIMIT:
            section: dict[str, object] = {}
            open_sections[-1][name] = section
            open_sections.append(section)
        elif mark == "=":
            open_sections[-1][name] = _value(tokens)
        else:
            raise FormatError("the metadata of LVM cannot be read")
    if len(open_sections) != 1:
        raise FormatError("the metadata of LVM ends in the middle")
    return top


def _value(tokens: Iterator[str]) -> object:
    first = next(tokens, "")
    if first != "[":
        return _plain(first)
    values: list[object] = []
    for token in tokens:
        if token == "]":
            return values
        if token != ",":
            values.append(_plain(token))
    raise FormatError("the metadata of LVM ends in the middle")


def _plain(token: str) -> str | int:
    if token.startswith('"'):
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    return int(token) if re.fullmatch(r"-?\d{1,18}", token) else token


def logical_volumes(physical: list[Physical]) -> Iterator[Logical]:
    """Yield the logical volumes of all groups, in the order of their texts."""
    newest: dict[str, Mapping[str, object]] = {}
    for volume in physical:
        if volume.group is not None:
            key = str(volume.group.get("id"))
            newest[key] = max(newest.get(key, volume.group), volume.group, key=_sequence)
    here = {volume.identifier for volume in physical}
    for group in newest.values():
        name = str(group.get("name"))
        for logical, values in _sections(group.get("logical_volumes")):
            if "VISIBLE" in _list(values.get("status")):
                both = _identifier(group, values)
                try:
                    runs = tuple(_runs(group, values, here))
                    yield Logical(name, logical, runs, identifier=both)
                except FormatError as error:
                    gone = _missing(group, values, here)
                    yield Logical(name, logical, (), str(error), gone, both)


def _identifier(group: Mapping[str, object], logical: Mapping[str, object]) -> str | None:
    """Return what follows `dm-uuid-LVM-` in the names of udev: both identifiers without dashes."""
    both = "".join(str(values.get("id", "")) for values in (group, logical)).replace("-", "")
    return both if len(both) == 64 else None


def _missing(
    group: Mapping[str, object], logical: Mapping[str, object], here: set[str]
) -> str | None:
    """Return the first physical volume of a logical one that is not on this disk."""
    places = dict(_sections(group.get("physical_volumes")))
    for _, segment in _sections(logical):
        for name in _list(segment.get("stripes"))[::2]:
            identifier = str(places.get(str(name), {}).get("id"))
            if identifier.replace("-", "") not in here:
                return identifier
    return None


def _runs(
    group: Mapping[str, object], logical: Mapping[str, object], here: set[str]
) -> Iterator[LvmRun]:
    """Yield the runs of one logical volume; FormatError says why they are not known."""
    extent = _number(group, "extent_size") * SECTOR
    places = dict(_sections(group.get("physical_volumes")))
    segments = [values for _, values in _sections(logical) if "type" in values]
    expected = 0
    for values in sorted(segments, key=lambda values: _number(values, "start_extent")):
        count = _number(values, "extent_count")
        if _number(values, "start_extent") != expected:
            raise FormatError("the segments of LVM do not follow one another")
        expected += count
        name, first = _place(values)
        place = places.get(name, {})
        identifier = str(place.get("id"))
        if identifier.replace("-", "") not in here:
            raise FormatError(f"it lies on physical volume {identifier}, which is not in the image")
        start = _number(place, "pe_start") * SECTOR + first * extent
        yield LvmRun(identifier.replace("-", ""), start, count * extent)
    if not 0 < expected * extent < _SIZE_LIMIT:
        raise FormatError(f"LVM says that it has {expected * extent} bytes")


def _place(segment: Mapping[str, object]) -> tuple[str, int]:
    """Return the physical volume and the first extent of a linear segment."""
    stripes = _list(segment.get("stripes"))
    if segment["type"] != "striped" or len(stripes) != 2:
        kind = f"{segment['type']}"[:40] if segment["type"] != "striped" else "striped over several"
        raise FormatError(f"it is of the LVM type {kind}, which is not supported")
    name, first = stripes
    if not isinstance(first, int) or first < 0:
        raise FormatError("a segment of LVM has no place")
    return str(name), first


def _sections(value: object) -> Iterator[tuple[str, Mapping[str, object]]]:
    for name, inner in (value if isinstance(value, Mapping) else {}).items():
        if isinstance(inner, Mapping):
            yield name, inner


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _number(values: Mapping[str, object], name: str) -> int:
    number = values.get(name)
    if not isinstance(number, int) or number < 0:
        raise FormatError(f"LVM's {name} is not a number")
    return number
