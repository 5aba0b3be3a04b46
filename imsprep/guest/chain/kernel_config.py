"""What the configuration of the kernel that starts says of unpacking its initramfs.

Distributions lay the configuration next to the kernel or its modules; CONFIG_IKCONFIG puts it, by
gzip, inside the kernel, whose own payload is packed once more. Sources: the Linux kernel's
usr/Kconfig (CONFIG_RD_*), kernel/configs.c (IKCFG_ST), "The Linux/x86 Boot Protocol" 2.08
(payload_offset).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from imsprep.errors import FormatError
from imsprep.guest.chain.devices import Devices, File
from imsprep.guest.chain.values import BootEntry
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.linux.initramfs import Allowance, ByteSource, compression, decompressed
from imsprep.units import MIB, SECTOR

_TEXT_LIMIT = 2 * MIB  # of a configuration; a whole one has some 300 KiB
_KERNEL_LIMIT = 64 * MIB
_HDRS, _PROTOCOL, _SECTORS = 0x202, 0x206, 0x1F1  # places in the head of a kernel of x86
_PAYLOAD, _PAYLOAD_SINCE = 0x248, 0x208  # offset and length behind the setup's sectors
_MARK = b"IKCFG_ST"
_METHODS = ("gzip", "bzip2", "lzma", "xz", "lzo", "lz4", "zstd")


def refused(
    devices: Devices, entry: BootEntry, packed: tuple[str, ...], allowance: Allowance
) -> tuple[str, ...] | None:
    """Return which compressions the kernel of an entry was built without; None if not known."""
    if not packed:
        return ()
    try:
        text = _written(devices, entry) or _inside(devices, entry, packed, allowance)
    except (UnreadableError, FormatError, zlib.error):
        return None
    built_in = methods(text)
    return None if built_in is None else tuple(name for name in packed if name not in built_in)


def methods(config: str) -> tuple[str, ...] | None:
    """Return what a kernel with this configuration unpacks; None if the text does not tell."""
    if re.search(r"^CONFIG_BLK_DEV_INITRD=y$", config, re.MULTILINE) is None:
        return None
    return tuple(
        name
        for name in _METHODS
        if re.search(rf"^CONFIG_RD_{name.upper()}=y$", config, re.MULTILINE)
    )


def _written(devices: Devices, entry: BootEntry) -> str:
    """Return the configuration that lies next to the kernel or its modules; "" for none."""
    if entry.version is None:
        return ""
    volume, _, path = entry.kernel.partition(":")
    near = devices.find(volume, f"{path.rpartition('/')[0]}/config-{entry.version}")
    files = [near] if near is not None else []
    for folder in ("/lib/modules", "/usr/lib/modules"):
        files += devices.everywhere(f"{folder}/{entry.version}/config")
    return files[0].head(_TEXT_LIMIT).decode("utf-8", "replace") if files else ""


def _inside(
    devices: Devices, entry: BootEntry, packed: tuple[str, ...], allowance: Allowance
) -> str:
    """Return the configuration inside the kernel; "" for none.

    Every kernel with an initramfs unpacks gzip unless it was taken out on purpose, so that for
    gzip alone the kernel is not unpacked.
    """
    volume, _, path = entry.kernel.partition(":")
    file = devices.find(volume, path) if set(packed) - {"gzip"} else None
    if file is None:
        return ""
    source = ByteSource(_payload(file))
    magic = source.peek(6)
    packs = compression(magic) is not None
    pieces = decompressed(source, magic, allowance) if packs else iter(source.piece, b"")
    return find_config(pieces)


def _payload(file: File) -> Iterator[bytes]:
    """Yield what the kernel unpacks of itself, or the whole file of another machine."""
    head = file.head(_PAYLOAD + 8)
    offset, size = 0, min(file.size, _KERNEL_LIMIT)
    if head[_HDRS : _HDRS + 4] == b"HdrS" and len(head) == _PAYLOAD + 8:
        (protocol,) = struct.unpack_from("<H", head, _PROTOCOL)
        if protocol >= _PAYLOAD_SINCE:
            start, length = struct.unpack_from("<II", head, _PAYLOAD)
            offset = ((head[_SECTORS] or 4) + 1) * SECTOR + start
            size = min(length, max(file.size - offset, 0), _KERNEL_LIMIT)
    yield from file.tree.chunks(file.path, limit=size, offset=offset)


def find_config(pieces: Iterator[bytes]) -> str:
    """Return the configuration behind its mark in the bytes of a kernel; "" if none is whole."""
    before = b""
    for piece in pieces:
        data = before + piece
        at = data.find(_MARK)
        if at < 0:
            before = data[-len(_MARK) :]
            continue
        unpacking = zlib.decompressobj(31)  # with a gzip header
        text = unpacking.decompress(data[at + len(_MARK) :], _TEXT_LIMIT)
        for more in pieces:
            if unpacking.eof or len(text) >= _TEXT_LIMIT:
                break
            text += unpacking.decompress(more, _TEXT_LIMIT)
        return text.decode("utf-8", "replace") if unpacking.eof else ""
    return ""
