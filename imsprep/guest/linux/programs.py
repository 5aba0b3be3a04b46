"""Why a program of the guest cannot be started: its mode, content, interpreter, libraries.

Sources: execve(2); the Linux kernel's fs/binfmt_script.c and fs/binfmt_elf.c: of a script the
program named in its first line is started, of ELF the one that PT_INTERP names.
"""

from __future__ import annotations

import stat
import struct

from imsprep.guest.linux.libraries import Search, missing, read_elf
from imsprep.guest.tree import Tree
from imsprep.units import KIB

_HEAD = 64 * KIB  # of a program: its program headers and the name of its interpreter
_SCRIPT = 256  # bytes of the first line that the kernel reads (BINPRM_BUF_SIZE)
_INTERPRETED = 4  # scripts that may start one another
_PT_INTERP = 3


def why_not_started(
    tree: Tree, path: str, search: Search | None = None, depth: int = 0
) -> str | None:
    """Return why what is at a path that is there cannot be started, or None.

    UnreadableError where it cannot be looked at. `search` is of the same tree, for many programs.
    """
    search = search or Search(tree)
    place = tree.find(path)
    if place is None:
        return "leads nowhere"
    if not stat.S_ISREG(place.node.mode):
        return "is not a file"
    if not place.node.mode & 0o111:
        return "is not executable"
    head = tree.read(path, limit=_HEAD)
    if not any(head):
        return "holds only zeros" if head else "is empty"
    is_script = head[:2] == b"#!"
    interpreter = _script(head) if is_script else _elf(head)
    if interpreter is None or not interpreter.startswith("/"):
        read_elf(tree, path)  # is there really none?
        return None
    if not tree.exists(interpreter):
        search.must_see()
        return f"needs {interpreter[:120]}, which is not there"
    again = depth < _INTERPRETED
    inner = why_not_started(tree, interpreter, search, depth + 1) if again else None
    if inner is None and not is_script:
        return missing(tree, path, search)
    return f"needs {interpreter[:120]}, which {inner}" if inner else None


def _script(head: bytes) -> str | None:
    words = head[2:_SCRIPT].split(b"\n")[0].split()
    return words[0].decode("utf-8", "surrogateescape") if words else None


def _elf(head: bytes) -> str | None:
    """Return the interpreter of an ELF program; None if it has none, or it is not known."""
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return None
    order, wide = "<" if head[5] == 1 else ">", head[4] == 2
    table, size, count = (
        struct.unpack_from(f"{order}Q", head, 32) + struct.unpack_from(f"{order}HH", head, 54)
        if wide
        else struct.unpack_from(f"{order}I", head, 28) + struct.unpack_from(f"{order}HH", head, 42)
    )
    for at in range(table, min(table + size * count, len(head) - size), max(size, 32)):
        (kind,) = struct.unpack_from(f"{order}I", head, at)
        if kind == _PT_INTERP:
            offset, length = (
                struct.unpack_from(f"{order}Q16xQ", head, at + 8)
                if wide
                else struct.unpack_from(f"{order}I8xI", head, at + 4)
            )
            name = head[offset : offset + length].split(b"\0")[0]
            return name.decode("utf-8", "surrogateescape") or None
    return None
