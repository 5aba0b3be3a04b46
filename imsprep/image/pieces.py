"""Pieces: the files in which the disk of an image lies besides the one that is named.

A descriptor of a VMDK, or of a virtual machine (OVF), is a small text that names them, and stays as
it is when they are written to.
"""

from __future__ import annotations

import os
from pathlib import Path

from imsprep.errors import FormatError
from imsprep.system.positioned import read_at
from imsprep.system.regular import READING
from imsprep.units import MIB

_HEAD = 64  # bytes in which a descriptor begins, also behind blanks
_READ = 4 * MIB  # of a descriptor


def pieces_of(path: Path) -> list[Path]:
    """Return the files in which the disk of an image lies besides `path`, as far as it names them.

    Nothing of them is opened, and an image that cannot be read names none.
    """
    try:
        file = os.open(path, READING)
    except OSError:
        return []
    try:
        return pieces_in(file, path)
    finally:
        os.close(file)


def pieces_in(file: int, path: Path) -> list[Path]:
    """Do what `pieces_of` does with a file that is open."""
    try:
        start = read_at(file, _HEAD, 0).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if start not in (b"#", b"<"):
            return []
        names = _names_in(read_at(file, _READ, 0), is_xml=start == b"<")
    except (OSError, FormatError):
        return []
    return [path.parent / name for name in dict.fromkeys(names) if name and "\0" not in name]


def _names_in(text: bytes, *, is_xml: bool) -> list[str]:
    """Return the names in a descriptor; raises FormatError for what is none."""
    if is_xml:
        from imsprep.image.archive import ovf

        return [disk.file or "" for disk in ovf.parse(text[: ovf.LIMIT]).disks]
    # With numpy, which most files do without.
    from imsprep.image.tables import descriptor

    return [extent.name for extent in descriptor.parse(text[:MIB]).extents]
