"""Foreign formats: what QEMU calls them, and what an image says of other files it needs.

An image that needs another file (a backing file, a parent, a file that holds its data) is not a
disk by itself, and the name in it may lead anywhere: /etc/shadow is a fine RAW disk. So such an
image is told here, from its own bytes, before QEMU ever sees it. Sources: docs/interop/qcow2.rst
and qed_spec.rst of QEMU, the Virtual Disk Format 5.0 of VMware, the VHD specification 1.0.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from imsprep.image import formats
from imsprep.units import SECTOR

# Of each format that is read through QEMU, the name of QEMU's driver.
DRIVERS = {
    "qcow": "qcow",
    "qcow2": "qcow2",
    "qed": "qed",
    "vdi": "vdi",
    "vhdx": "vhdx",
    "parallels": "parallels",
    "bochs": "bochs",
    "dmg": "dmg",
    formats.VMDK: "vmdk",
    formats.VHD_DYNAMIC: "vpc",
    formats.VHD_FIXED: "vpc",
}

_NO_PARENT = "ffffffff"
_TEXT_LIMIT = 20 * SECTOR  # of a VMDK's embedded descriptor, as writers make it


def obstacle(format_: str, head: bytes, tail: bytes) -> str | None:
    """Say why an image is not a whole disk by itself; None if it is, as far as its header tells.

    `head` and `tail` are the first and last bytes of the file, as `formats.identify` takes them.
    """
    look = _LOOKS.get(format_)
    try:
        return look(head, tail) if look is not None else None
    except struct.error:
        return "its header is cut short"


def _qcow2(head: bytes, tail: bytes) -> str | None:
    version, backing = struct.unpack_from(">IQ", head, 4)
    if backing:
        return "it needs a backing file"
    if struct.unpack_from(">I", head, 32)[0]:
        return "it is encrypted"
    if version >= 3 and struct.unpack_from(">Q", head, 72)[0] & 1 << 2:
        return "its data lies in another file"
    return None


def _qcow(head: bytes, tail: bytes) -> str | None:
    if struct.unpack_from(">Q", head, 8)[0]:
        return "it needs a backing file"
    return "it is encrypted" if struct.unpack_from(">I", head, 36)[0] else None


def _qed(head: bytes, tail: bytes) -> str | None:
    return "it needs a backing file" if struct.unpack_from("<Q", head, 16)[0] & 1 else None


def _vdi(head: bytes, tail: bytes) -> str | None:
    return "it needs a parent" if struct.unpack_from("<I", head, 0x4C)[0] == 4 else None


def _vhd(head: bytes, tail: bytes) -> str | None:
    footer = tail[-SECTOR:] if tail[-SECTOR:].startswith(b"conectix") else head
    return "it needs a parent" if struct.unpack_from(">I", footer, 60)[0] == 4 else None


def _vmdk(head: bytes, tail: bytes) -> str | None:
    if not head.startswith(b"KDMV"):
        return "it is only a description of other files, or an old kind of snapshot"
    capacity, _, start, length = struct.unpack_from("<QQQQ", head, 12)
    if not capacity:
        return "its data lies in other files"
    text = head[start * SECTOR : (start + min(length, _TEXT_LIMIT)) * SECTOR]
    parent = re.search(rb"(?im)^\s*parentCID\s*=\s*([0-9a-f]+)", text)
    if parent is not None and parent[1].decode().lower() != _NO_PARENT:
        return "it needs a parent"
    return None


_LOOKS: dict[str, Callable[[bytes, bytes], str | None]] = {
    "qcow2": _qcow2,
    "qcow": _qcow,
    "qed": _qed,
    "vdi": _vdi,
    formats.VHD_DYNAMIC: _vhd,
    formats.VHD_FIXED: _vhd,
    formats.VMDK: _vmdk,
}
