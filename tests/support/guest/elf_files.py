"""ELF files by hand: what they name as their linker, libraries and folders."""

from __future__ import annotations

import struct

X86_64, I386, AARCH64 = (62, True), (3, False), (183, True)
LINKER = "/lib64/ld-linux-x86-64.so.2"


def elf(
    *needed: str,
    machine: tuple[int, bool] = X86_64,
    linker: str = "",
    folders: str = "",
    old: bool = False,
    own: str = "",
) -> bytes:
    """A program or library called `own`; `folders` is its RUNPATH, or with `old` its RPATH."""
    number, wide = machine
    names = b"\0" + b"".join(one.encode() + b"\0" for one in (*needed, folders, own))
    at = 1
    tags = []
    for one in needed:
        tags.append((1, at))
        at += len(one.encode()) + 1
    tags += [(15 if old else 29, at)] if folders else []
    tags += [(14, at + len(folders.encode()) + 1)] if own else []
    header, program = (64, 56) if wide else (52, 32)
    interpreter = linker.encode() + b"\0"
    start = header + 3 * program
    table = start + len(interpreter)
    # The tables are found by their addresses, which differ from their places in the file.
    tags += [(5, 0x1000 + table), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ" if wide else "<II", *tag) for tag in tags)
    end = table + len(names)
    parts = ((3 if linker else 0, start, len(interpreter)), (1, 0, end), (2, end, len(dynamic)))
    layout = "<IIQQQQQQ" if wide else "<IIIIIIII"
    heads = b""
    for kind, offset, size in parts:
        address = 0x1000 + offset
        values = (kind, 4, offset, address, 0, size, size, 8)
        heads += struct.pack(layout, *(values if wide else (kind, *values[2:7], 4, 4)))
    head = b"\x7fELF" + bytes((2 if wide else 1, 1, 1)).ljust(12, b"\0")
    form = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
    head += struct.pack(form, 3, number, 1, 0, header, 0, 0, header, program, 3, 0, 0, 0)
    return head + heads + interpreter + names + dynamic
