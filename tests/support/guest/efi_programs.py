"""EFI programs by hand: a PE file with the sections that a loader has."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from tests.support.guest import grub_cores


def pe(sections: Mapping[str, bytes]) -> bytes:
    """A PE32+ file; only what names and places its sections is filled in."""
    head, offset = b"", 1024
    body = b""
    for name, data in sections.items():
        size = -(-len(data) // 512) * 512
        head += struct.pack("<8sIIII16x", name.encode(), len(data), 0x1000, size, offset)
        body += data.ljust(size, b"\0")
        offset += size
    coff = struct.pack("<4sHH12xHH", b"PE\0\0", 0x8664, len(sections), 240, 0x22E)
    return (b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + coff + bytes(240) + head).ljust(
        1024, b"\0"
    ) + body


def grub(prefix: str, config: str | None = None, modules: Iterable[str] = ()) -> bytes:
    """What grub-mkimage makes: modules with a prefix and, if asked for, a built-in script."""
    objects = b""
    for name in modules:
        code = grub_cores.module(name)
        objects += struct.pack("<II", 0, len(code) + 8) + code
    for kind, text in ((2, config), (3, prefix)):
        if text is not None:
            raw = text.encode() + b"\0"
            raw += bytes(-len(raw) % 4)
            objects += struct.pack("<II", kind, len(raw) + 8) + raw
    header = struct.pack("<IIQQ", 0x676D696D, 0, 24, 24 + len(objects))
    return pe({".text": b"GRUB", "mods": header + objects})


def unified(
    cmdline: str,
    initrd: bytes,
    version: str = "6.1.0",
    release: str = 'PRETTY_NAME="Some Linux 1"\n',
) -> bytes:
    """A unified kernel image."""
    return pe(
        {
            ".osrel": release.encode(), ".cmdline": cmdline.encode() + b"\0",
            ".uname": version.encode(), ".linux": b"MZ", ".initrd": initrd,
        }
    )  # fmt: skip
