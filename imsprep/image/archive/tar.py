"""An OVA: a tar whose members are read in place, where it is as strict as an OVA has to be.

Members are regular files of plain names, each once, and none over another. A link, a folder, a name
that leads elsewhere, a sparse member, or anything behind the end that is not zeros is refused.
Source: DMTF DSP0243, chapter "Distribution as a single file".
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import NamedTuple

from imsprep.errors import FormatError, ReadError, show_path
from imsprep.image.file import RawImage
from imsprep.image.readonly_file import ReadOnlyFile
from imsprep.units import SECTOR

_MOST_MEMBERS = 1000


class Member(NamedTuple):
    """A file in the archive; bytes from the start of the archive."""

    name: str
    offset: int
    size: int


class MemberImage:
    """One file of an archive, as an image that is read where it lies."""

    def __init__(self, archive: RawImage, member: Member) -> None:
        self.archive, self.member = archive, member
        # For messages; nothing is opened by it.
        alone = member.offset == 0 and member.size == archive.size
        self.path = archive.path if alone else Path(f"{archive.path}:{member.name}")
        self.size = member.size

    def pread(self, offset: int, length: int) -> bytes:
        """Return what lies at `offset` of the member, and not behind its end."""
        length = min(length, self.size - offset)
        return self.archive.pread(self.member.offset + offset, length) if length > 0 else b""

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the archive is not as it was."""
        self.archive.check_unchanged()

    def as_node(self) -> dict[str, object]:
        """Return the member as a node of QEMU's block layer: a part of the archive's file."""
        return {
            "driver": "raw",
            "offset": self.member.offset,
            "size": -(-self.size // SECTOR) * SECTOR,  # tar fills the last sector with zeros
            "read-only": True,
            "file": self.archive.as_node(),
        }


class _Archive(ReadOnlyFile):
    """An open image as the file that tarfile reads."""

    def __init__(self, image: RawImage) -> None:
        self._image = image

    @property
    def size(self) -> int:
        return self._image.size

    def read_range(self, offset: int, view: memoryview) -> int:
        self._image.pread_into(offset, view)
        return len(view)


def members(image: RawImage) -> list[Member]:
    """Return the members in order; FormatError for an archive that is not as it has to be."""
    name = show_path(image.path)
    found = dict[str, Member]()
    end = 0
    try:
        with tarfile.open(fileobj=_Archive(image), mode="r:") as archive:
            while (info := archive.next()) is not None:
                member = _checked(name, info)
                if member.offset < end or member.name in found:
                    raise FormatError(f"{name} has two members in one place, or of one name")
                if member.offset + member.size > image.size:
                    raise FormatError(
                        f"{name} is cut short: its member {show_path(member.name)} reaches to byte"
                        f" {member.offset + member.size}, and the file ends at byte {image.size};"
                        " download or copy it again, and compare its checksum"
                    )
                if len(found) >= _MOST_MEMBERS:
                    raise FormatError(f"{name} has more than {_MOST_MEMBERS} members")
                found[member.name] = member
                end = -(-(member.offset + member.size) // SECTOR) * SECTOR
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise FormatError(f"{name} is damaged: it is not a tar archive ({error})") from error
    if not found or image.pread(end, min(SECTOR, max(0, image.size - end))).strip(b"\0"):
        raise FormatError(
            f"{name} is damaged: at byte {end} there is neither a member nor the end mark"
        )
    return list(found.values())


def _checked(archive: str, info: tarfile.TarInfo) -> Member:
    name = info.name.removeprefix("./")
    plain = name and name not in (".", "..") and not set(name) & set("/\\\0") and name.isprintable()
    if not info.isreg() or info.issparse() or not plain:
        what = "a link" if info.islnk() or info.issym() else "not a regular file with a plain name"
        raise FormatError(
            f"{archive} is refused: its member {show_path(info.name)!r} is {what}, which an OVA"
            " never has"
        )
    return Member(name, info.offset_data, info.size)


def member_named(found: list[Member], name: str) -> Member:
    """Return the member of a name; FormatError if the descriptor names one that is not there."""
    for member in found:
        if member.name == name:
            return member
    raise FormatError(f"its descriptor names the file {show_path(name)}, which is not in it")


def read_text(image: RawImage, member: Member, limit: int) -> bytes:
    """Return a small member whole; FormatError if it is large, ReadError."""
    if member.size > limit:
        name = show_path(member.name)
        raise FormatError(f"its member {name} has {member.size} bytes, above {limit}")
    data = image.pread(member.offset, member.size) if member.size else b""
    if len(data) != member.size:
        raise ReadError(f"cannot read {show_path(image.path)} at byte {member.offset}")
    return data
