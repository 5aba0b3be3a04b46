"""GRUB's first sectors on a BIOS by hand: boot program, core image, and what is built into it."""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterable, Mapping

SECTOR = 512
_LZMA = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}


def module(
    name: str, code: bytes = b"", needs: Iterable[str] = (), brings: Iterable[str] = (),
    modules: Iterable[str] = (),
) -> bytes:  # fmt: skip
    """An ELF file of 32 bits with the sections of a module: names, code, dependencies, symbols."""
    texts = b"\0.modname\0.text\0.shstrtab\0.moddeps\0.symtab\0.strtab\0"
    names, symbols = b"\0", bytes(16)
    for symbol, section in (*((n, 0) for n in needs), *((b, 2) for b in brings)):
        symbols += struct.pack("<I8xBxH", len(names), 0x10, section)
        names += symbol.encode() + b"\0"
    deps = b"".join(one.encode() + b"\0" for one in modules)
    contents = [(0, 0, b""), (1, 1, name.encode() + b"\0"), (10, 1, code), (16, 3, texts),
                (26, 1, deps), (35, 2, symbols), (43, 3, names)]  # fmt: skip
    sections, offset, body = b"", 52, b""
    for at, kind, content in contents:
        link = 6 if kind == 2 else 0
        sections += struct.pack("<II8xIII12x", at, kind, offset + len(body), len(content), link)
        body += content
    head = b"\x7fELF\1\1\1".ljust(32, b"\0") + struct.pack("<I", offset + len(body))
    made = head + struct.pack("<10xHHH", 40, len(contents), 3) + body + sections
    return made + bytes(-len(made) % 4)


def objects(
    prefix: str, config: str | None = None, modules: Mapping[str, bytes] | None = None
) -> bytes:
    """What grub-mkimage puts behind a kernel of 32 bits; `modules` are their code by name."""
    parts = [(0, module(name, code)) for name, code in (modules or {}).items()]
    parts += [(2, config.encode() + b"\0")] if config is not None else []
    parts.append((3, prefix.encode() + b"\0"))
    made = b""
    for kind, content in parts:
        padded = content + bytes(-len(content) % 4)
        made += struct.pack("<II", kind, len(padded) + 8) + padded
    return struct.pack("<III", 0x676D696D, 12, 12 + len(made)) + made


def disk(
    built_in: bytes, sector: int = 1, *, kernel: bytes = b"kernel mimg", code: int = 0
) -> bytes:
    """The first sectors of a disk: boot program, then from `sector` on the core image.

    `code` is how many bytes of a Reed-Solomon code it claims.
    """
    kernel += bytes(-len(kernel) % 4)
    unpacked = kernel + built_in
    compress = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[_LZMA])
    packed = compress.compress(unpacked) + compress.flush()
    begin = 64
    sizes = struct.pack("<IIIH", len(packed), len(unpacked), code, 32)
    small = (b"\xea\x1c\x82".ljust(8, b"\0") + sizes).ljust(32, b"\0")
    small += b"\xbf\x00\x00\x10\x00\xbe" + struct.pack("<I", 0x8200 + begin)
    body = small.ljust(begin, b"\0") + packed
    body += bytes(-len(body) % SECTOR)
    first = bytearray(b"\xeb\x63".ljust(440, b"\0") + bytes(70) + b"\x55\xaa")
    struct.pack_into("<HQB", first, 0x5A, 0x8000, sector, 0xFF)
    first[0x180:0x185] = b"GRUB "
    head = bytearray(SECTOR)
    head[0x120:0x140] = b"loading\0.\0\r\n\0Geom\0Read\0 Error\0".ljust(32, b"\0")
    struct.pack_into("<QHH", head, 500, sector + 1, len(body) // SECTOR, 0x820)
    return bytes(first) + bytes((sector - 1) * SECTOR) + bytes(head) + body
