"""DMG: the trailer, and that what it names lies in the file.

Its checksum of the data is not compared, here or by QEMU, which finds the chunks. Source:
block/dmg.c of QEMU, and "Demystifying the DMG File Format" (J. Levin), which describes the trailer;
big-endian.
"""

from __future__ import annotations

import struct

from imsprep.image.tables.ledger import Ledger, Read, Survey, SurveyError, cut_short, damaged, table
from imsprep.units import SECTOR

_TRAILER = struct.Struct(">4sIIIQQQQQII16s")
_XML_AT, _SECTORS_AT = 216, 492


def survey(read: Read, size: int) -> Survey:
    """Read the trailer of a DMG; raises FormatError if it cannot be right."""
    at = size - SECTOR
    data = table(read, size, max(0, at), SECTOR)
    magic, _, length, _, _, fork, fork_length, rsrc, rsrc_length, number, count, _ = (
        _TRAILER.unpack_from(data)
    )
    xml, xml_length = struct.unpack_from(">QQ", data, _XML_AT)
    (sectors,) = struct.unpack_from(">Q", data, _SECTORS_AT)
    if magic != b"koly" or length != SECTOR:
        raise damaged("its trailer", at)
    if count > 1 or number > 1:
        raise SurveyError(
            f"it is segment {number} of {count} of a disk image that is split",
            "join them on a Mac: hdiutil convert {image} -format UDZO -o whole.dmg",
        )
    ledger = Ledger(size)
    for offset, stored in ((fork, fork_length), (rsrc, rsrc_length), (xml, xml_length)):
        if offset + stored > at:
            raise cut_short(offset + stored, at)
        ledger.add(offset, stored, "a part")
    return Survey(sectors * SECTOR, ledger)
