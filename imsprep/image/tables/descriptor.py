"""The descriptor of a VMDK: a text that says of which files the disk consists.

Source: Virtual Disk Format 5.0 of VMware, "The Disk Descriptor File".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from imsprep.image.tables.survey import SurveyError

MAGIC = b"# Disk DescriptorFile"
NO_PARENT = "ffffffff"
_EXTENT = re.compile(
    r'^(RW|RDONLY|NOACCESS)\s+(\d{1,18})\s+([A-Z]+)(?:\s+"([^"]*)")?(?:\s+(\d{1,18}))?\s*$'
)
_SETTING = re.compile(r'^\s*([A-Za-z]+)\s*=\s*"?([^"]*?)"?\s*$')
KINDS = ("FLAT", "SPARSE", "ZERO", "VMFS")


class Extent(NamedTuple):
    """One file, or piece of a file, of a disk."""

    access: str
    sectors: int
    kind: str
    name: str
    offset: int  # in its file, in sectors


class Descriptor(NamedTuple):
    """What a descriptor says."""

    create_type: str
    parent: bool  # whether another disk is below this one
    extents: tuple[Extent, ...]


def parse(text: bytes) -> Descriptor:
    """Read a descriptor; raises FormatError for one that cannot be right."""
    if not text.lstrip().startswith(MAGIC):
        raise SurveyError(f"it is damaged: its descriptor does not begin with {MAGIC.decode()!r}")
    create, parent, extents = "", NO_PARENT, list[Extent]()
    for line in text.split(b"\0", 1)[0].decode("utf-8", "replace").splitlines():
        line = line.strip()
        if (found := _EXTENT.match(line)) is not None:
            access, sectors, kind, name, offset = found.groups()
            extents.append(Extent(access, int(sectors), kind, name or "", int(offset or 0)))
        elif line.startswith(("RW", "RDONLY", "NOACCESS")):
            raise SurveyError(f"it is damaged: its descriptor has the line {line[:80]!r}")
        elif (setting := _SETTING.match(line)) is not None:
            key, value = setting[1].lower(), setting[2]
            create = value if key == "createtype" else create
            parent = value if key == "parentcid" else parent
    if not extents:
        raise SurveyError("it is damaged: its descriptor names no extent of the disk")
    return Descriptor(create, parent.lower() != NO_PARENT, tuple(extents))
