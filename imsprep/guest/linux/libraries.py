"""Which shared library a program of the guest lacks, as its dynamic linker would look for them.

A library is called missing only where it is in none of the places that a linker could look in: its
program's own list, the linker's cache and settings, and the folders of every distribution. Sources:
ld.so(8), ldconfig(8); System V ABI, "Dynamic Linking"; musl's ldso/dynlink.c.
"""

from __future__ import annotations

import posixpath
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from imsprep.guest.tree import Tree
from imsprep.units import KIB, MIB

_FEW = 10  # libraries that every system has in one folder
_LIMIT = 200  # libraries of one program; systemd has some 30
_TABLE, _CACHE, _NAME = 64 * KIB, 4 * MIB, 4 * KIB  # bytes that are read of each
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # types of program headers
_NEEDED, _STRTAB, _RPATH, _RUNPATH = 1, 5, 15, 29  # tags of the dynamic section
_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64"}
_TRIPLETS = {3: ("i386-linux-gnu", "i686-linux-gnu"), 40: ("arm-linux-gnueabihf",),
             62: ("x86_64-linux-gnu",), 183: ("aarch64-linux-gnu",)}  # fmt: skip
_GLIBC, _MUSL = re.compile(r"ld-linux[^/]*$"), re.compile(r"ld-musl-[^/]*$")
# What musl has in itself, whatever name it is asked for by.
_OF_MUSL = re.compile(r"lib(?:c|m|rt|dl|util|pthread|xnet)\.")
_HEAD = 64  # bytes, of an ELF file's header
_INCLUDE_LIMIT = 200  # files of the linker's settings


class Elf(NamedTuple):
    """What an ELF file says of how it is loaded."""

    machine: int
    wide: bool  # 64 bits
    interpreter: str | None
    needed: tuple[str, ...]
    folders: tuple[str, ...]  # where its libraries are looked for first


def read_elf(tree: Tree, path: str) -> Elf | None:
    """Read an ELF file of least-significant-byte order; None if it is none, or is cut."""
    head = tree.read(path, limit=_HEAD)
    if len(head) < _HEAD or head[:4] != b"\x7fELF" or head[5] != 1:
        return None
    wide, (machine,) = head[4] == 2, struct.unpack_from("<H", head, 18)
    try:
        headers = list(_headers(tree, path, head, wide))
        interpreter = next(
            (_text(tree, path, o, n) for k, o, _, n in headers if k == _INTERPRETER), None
        )
        tags = [
            tag for k, o, _, n in headers if k == _DYNAMIC for tag in _tags(tree, path, o, n, wide)
        ]
    except struct.error:
        return None
    table = _strings_at(headers, tags)

    def named(*kinds: int) -> tuple[str, ...]:
        words = (_text(tree, path, table + at, _NAME) for tag, at in tags if tag in kinds)
        return tuple(word for word in words if word) if table else ()

    folders = named(_RUNPATH) or named(_RPATH)
    place = tree.find(path)
    origins = dict.fromkeys(
        map(posixpath.dirname, (path, place.path if place is not None else path))
    )
    places = [one for text in folders for one in text.split(":") if one]
    places = [re.sub(r"\$\{?LIB\}?", "lib64" if wide else "lib", one) for one in places]
    own = [re.sub(r"\$\{?ORIGIN\}?", origin, one) for one in places for origin in origins]
    return Elf(machine, wide, interpreter, named(_NEEDED), tuple(own))


def missing(tree: Tree, path: str) -> str | None:
    """Return which library a program cannot load and why, as a clause; None if it has all.

    None too for what is not linked, for linkers other than glibc's and musl's, and in a tree whose
    folders of libraries hold hardly any: it was left without them.
    """
    program = read_elf(tree, path)
    linker = program.interpreter if program is not None else None
    musl = bool(_MUSL.search(linker or ""))
    if program is None or linker is None or not (musl or _GLIBC.search(linker)):
        return None
    own = (*_settings(tree), *_usual(program.machine), posixpath.dirname(linker))
    if not _has_libraries(tree, own) and _is_thinned(tree, own, posixpath.dirname(linker)):
        return None
    todo, seen = [(name, program, "") for name in program.needed], {posixpath.basename(linker)}
    while todo and len(seen) < _LIMIT:
        name, by, of = todo.pop(0)
        if name in seen or (musl and _OF_MUSL.match(name)):
            continue
        seen.add(name)
        found, why = _find(tree, name, program, (*by.folders, *program.folders, *own))
        if why is not None:
            return f"cannot load {name[:80]}{of}, which {why}"
        if found is not None:
            todo += [(one, found, f" (for {name[:80]})") for one in found.needed]
    return None


def _has_libraries(tree: Tree, folders: tuple[str, ...]) -> bool:
    """Return whether a folder holds as many libraries as any system has."""
    return any(
        sum(name.startswith("lib") and ".so" in name for name in tree.names(folder)) >= _FEW
        for folder in dict.fromkeys(folders)
    )


def _is_thinned(tree: Tree, folders: tuple[str, ...], linkers: str) -> bool:
    """Return whether a folder but the linker's has a library or linker: others were left out."""
    own = tree.find(linkers)
    places = [(folder, tree.find(folder)) for folder in dict.fromkeys(folders)]
    return any(
        name.startswith(("lib", "ld-")) and ".so" in name
        for folder, place in places
        if place is not None and own is not None and place.path != own.path
        for name in tree.names(folder)
    )


def _find(
    tree: Tree, name: str, program: Elf, folders: tuple[str, ...]
) -> tuple[Elf | None, str | None]:
    """Return a library that fits the program, or why none does."""
    why = "is not there"
    places = [name] if "/" in name else [f"{folder}/{name}" for folder in dict.fromkeys(folders)]
    for place in (*places, *_cached(tree, name)):
        if not tree.exists(place):
            continue
        found = read_elf(tree, place)
        if found is None:
            why = "is not a library" if tree.read(place, limit=1) else "is empty"
        elif (found.machine, found.wide) == (program.machine, program.wide):
            return found, None
        else:
            why = f"is only there for {_MACHINES.get(found.machine, 'another machine')}"
    return None, why


def _usual(machine: int) -> Iterator[str]:
    yield from ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64",
                "/lib32", "/usr/lib32", "/libx32")  # fmt: skip
    for triplet in _TRIPLETS.get(machine, ()):
        yield from (f"/lib/{triplet}", f"/usr/lib/{triplet}", f"/usr/local/lib/{triplet}")


def _settings(tree: Tree) -> Iterator[str]:
    """Yield the folders of /etc/ld.so.conf with what it includes, and of musl's list."""
    todo, count = ["/etc/ld.so.conf"], 0
    while todo and count < _INCLUDE_LIMIT:
        count += 1
        for line in tree.read(todo.pop(), limit=_TABLE).decode("utf-8", "replace").splitlines():
            words = line.partition("#")[0].split()
            if words[:1] == ["include"]:
                patterns = [w if w.startswith("/") else f"/etc/{w}" for w in words[1:]]
                todo += [path for pattern in patterns for path in tree.glob(pattern)]
            elif words:
                yield words[0].partition("=")[0]
    for path in tree.glob("/etc/ld-musl-*.path"):
        yield from re.split(r"[:\n]", tree.read(path, limit=_TABLE).decode("utf-8", "replace"))


def _cached(tree: Tree, name: str) -> Iterator[str]:
    """Yield where the linker's cache has a library."""
    cache = tree.read("/etc/ld.so.cache", limit=_CACHE)
    for found in re.finditer(
        rb"(?<=\0)(/[^\0]*/" + re.escape(name.encode("utf-8", "surrogateescape")) + rb")\0", cache
    ):
        yield found[1].decode("utf-8", "surrogateescape")


# --- the file itself -----------------------------------------------------------------------------


def _headers(tree: Tree, path: str, head: bytes, wide: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yield type, offset, address and size of each program header."""
    table, size, count = (
        struct.unpack_from("<Q", head, 32) + struct.unpack_from("<HH", head, 54)
        if wide
        else struct.unpack_from("<I", head, 28) + struct.unpack_from("<HH", head, 42)
    )
    data = _piece(tree, path, table, min(size * count, _TABLE))
    for at in range(0, len(data) - 31, max(size, 32)):
        if wide:
            kind, offset, address, length = struct.unpack_from("<I4xQQ8xQ", data, at)
        else:
            kind, offset, address, length = struct.unpack_from("<III4xI", data, at)
        yield kind, offset, address, length


def _tags(tree: Tree, path: str, offset: int, size: int, wide: bool) -> Iterator[tuple[int, int]]:
    """Yield tag and value of each entry of a dynamic section."""
    layout = struct.Struct("<QQ" if wide else "<II")
    data = _piece(tree, path, offset, min(size, _TABLE))
    for at in range(0, len(data) - layout.size + 1, layout.size):
        tag, value = layout.unpack_from(data, at)
        if tag == 0:
            return
        yield tag, value


def _strings_at(headers: list[tuple[int, int, int, int]], tags: list[tuple[int, int]]) -> int:
    """Return where in the file the table of names is, by its address in memory; 0: nowhere."""
    wanted = next((value for tag, value in tags if tag == _STRTAB), None)
    for kind, offset, address, size in headers:
        if wanted is not None and kind == _LOAD and address <= wanted < address + size:
            return offset + wanted - address
    return 0


def _text(tree: Tree, path: str, offset: int, size: int) -> str:
    text = _piece(tree, path, offset, min(size, _NAME)).split(b"\0")[0]
    return text.decode("utf-8", "surrogateescape")


def _piece(tree: Tree, path: str, offset: int, size: int) -> bytes:
    return b"".join(tree.chunks(path, limit=size, offset=offset))
