"""Which shared library a program of the guest lacks, as its dynamic linker would look for them.

A library is called missing only where it is in none of the places that a linker could look in (its
program's own list, the linker's cache and settings, the folders of every distribution), nor
anywhere below a folder of libraries: what a linker of another kind could find is not missing. What
cannot be read may hold it. Sources: ld.so(8), ldconfig(8); System V ABI, "Dynamic Linking"; musl's
ldso/dynlink.c.
"""

from __future__ import annotations

import posixpath
import re
import stat
import struct
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.linux.fstab import Mount, read_fstab
from imsprep.guest.tree import NAME_LIMIT, Tree
from imsprep.units import KIB, MIB

_LIMIT = 200  # libraries of one program; systemd has some 30
FILE_LIMIT = 20_000  # that are looked through for a library; a server has half of them
_TABLE, _CACHE, _NAME = 64 * KIB, 4 * MIB, 4 * KIB  # bytes that are read of each
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # types of program headers
_NEEDED, _STRTAB, _SONAME, _RPATH, _RUNPATH = 1, 5, 14, 15, 29  # tags of the dynamic section
_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64"}
_TRIPLETS = {3: ("i386-linux-gnu", "i686-linux-gnu"), 40: ("arm-linux-gnueabihf",),
             62: ("x86_64-linux-gnu",), 183: ("aarch64-linux-gnu",)}  # fmt: skip
_GLIBC, _MUSL = re.compile(r"ld-linux[^/]*$"), re.compile(r"ld-musl-[^/]*$")
# What musl has in itself, whatever name it is asked for by.
_OF_MUSL = re.compile(r"lib(?:c|m|rt|dl|util|pthread|xnet)\.")
_HEAD = 64  # bytes, of an ELF file's header
_INCLUDE_LIMIT = 200  # files of the linker's settings
_ROOTS = ("/lib*", "/usr/lib*", "/usr/local/lib*", "/opt")  # with all that is below them
_STORES = ("/nix/store", "/gnu/store")  # each package has folders of its own there
# Below these of a folder of libraries no linker looks, and they hold most of its files.
_OTHERS = re.compile(r"modules$|firmware$|python")
# Mount points that hold what the first program is loaded from: an initramfs mounts no others.
_EARLY = re.compile(r"/(?:usr|(?:usr/)?lib[^/]*(?:/.*)?|(?:nix|gnu)(?:/.*)?)$")


class Elf(NamedTuple):
    """What an ELF file says of how it is loaded."""

    machine: int
    wide: bool  # 64 bits
    interpreter: str | None
    names: tuple[str, ...]  # its own, by which it satisfies others once it is loaded
    needed: tuple[str, ...]
    folders: tuple[str, ...]  # where its libraries are looked for first


def read_elf(tree: Tree, path: str) -> Elf | None:
    """Read an ELF file of least-significant-byte order; None if it is none.

    UnreadableError where its tables lead out of the file, or name what no library is called.
    """
    head = tree.read(path, limit=_HEAD)
    if len(head) < _HEAD or head[:4] != b"\x7fELF" or head[5] != 1:
        return None
    wide, (machine,) = head[4] == 2, struct.unpack_from("<H", head, 18)
    headers = list(_headers(tree, path, head, wide))
    interpreter = next(
        (_text(tree, path, o, n) for k, o, _, n in headers if k == _INTERPRETER), None
    )
    tags = [tag for k, o, _, n in headers if k == _DYNAMIC for tag in _tags(tree, path, o, n, wide)]
    table = _strings_at(headers, tags)

    def named(kind: int) -> tuple[str, ...]:
        places = [at for tag, at in tags if tag == kind]
        if places and (table is None or len(places) > _LIMIT):
            raise UnreadableError(f"{path}: its list of libraries cannot be followed")
        return tuple(_text(tree, path, (table or 0) + at, _NAME) for at in places)

    needed = named(_NEEDED)
    if not all(map(_is_name, needed)):
        raise UnreadableError(f"{path}: its list of libraries cannot be followed")
    place = tree.find(path)
    origins = {
        posixpath.dirname(path): None,
        posixpath.dirname(place.path if place else path): None,
    }
    texts = named(_RUNPATH) or named(_RPATH)
    folders = (
        one
        for text in texts
        for folder in text.split(":")
        for origin in origins
        for one in _expanded(folder, origin, machine, wide)
    )
    return Elf(machine, wide, interpreter, named(_SONAME), needed, tuple(dict.fromkeys(folders)))


def _is_name(name: str) -> bool:
    """Return whether a library can have that name."""
    return 0 < len(posixpath.basename(name)) <= NAME_LIMIT and name.isprintable()


def _expanded(folder: str, origin: str, machine: int, wide: bool) -> Iterator[str]:
    """Yield what a folder of an ELF file's list may mean: ld.so(8), dynamic string tokens."""
    if not folder:
        return
    libs = ("lib64" if wide else "lib", "lib", *(f"lib/{t}" for t in _TRIPLETS.get(machine, ())))
    platform = _MACHINES.get(machine, "")
    for lib in libs if "LIB" in folder else libs[:1]:
        values = {"ORIGIN": origin, "LIB": lib, "PLATFORM": platform}
        parts = re.split(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM))", folder)
        yield "".join(values.get(part, part) if place % 3 else part
                      for place, part in enumerate(parts) if part)  # fmt: skip


class Search:
    """Looks for the libraries of a tree; its folders are gone through once, and only if need be."""

    def __init__(self, tree: Tree) -> None:
        self._tree, self._left = tree, FILE_LIMIT
        self._places: dict[str, list[str]] = {}
        self._walked: set[str] = set()
        self._ended: UnreadableError | None = None

    def must_see(self) -> None:
        """Raise UnreadableError if the first program may be loaded from what was not mounted."""
        text = self._tree.read("/etc/fstab", limit=MIB).decode("utf-8", "surrogateescape")
        for mount in read_fstab(text):
            path = posixpath.normpath(mount.path)
            if path not in self._tree.mounts and _is_early(mount, path):
                raise UnreadableError(
                    f"fstab mounts {mount.spec[:100]} on {path}, which was not looked into"
                )

    def places(self, name: str, folders: tuple[str, ...]) -> Iterator[str]:
        """Yield where a file of that name is below any folder of libraries, or below `folders`."""
        self.must_see()
        for pattern in _ROOTS:
            for root in self._tree.glob(pattern):
                self._walk(root)
        for folder in folders:
            self._walk(folder)
        yield from self._places.get(name, ())
        for store in _STORES:
            if len(self._tree.names(store)) > FILE_LIMIT // 4:
                raise UnreadableError(f"{store} holds too many packages to look for {name} in all")
            yield from self._tree.glob(f"{store}/*/lib*/{name}")

    def _walk(self, root: str) -> None:
        """Note each file below a folder; what ended a walk ends all later ones."""
        if self._ended is not None:
            raise self._ended
        try:
            self._note_all(root)
        except UnreadableError as error:
            self._ended = error
            raise

    def _note_all(self, root: str) -> None:
        todo = [root]
        while todo:
            folder = todo.pop()
            place = self._tree.find(folder)
            if place is None or place.path in self._walked:
                continue
            self._walked.add(place.path)
            for name, inner in self._tree.children(folder):
                self._left -= 1
                if self._left < 0:
                    raise UnreadableError(f"{root}: more than {FILE_LIMIT} files to look through")
                if not stat.S_ISDIR(inner.node.mode):
                    self._places.setdefault(name, []).append(f"{folder}/{name}")
                elif not _OTHERS.match(name):
                    todo.append(f"{folder}/{name}")


def _is_early(mount: Mount, path: str) -> bool:
    return bool(_EARLY.match(path)) or "x-initrd.mount" in mount.options


def missing(tree: Tree, path: str, search: Search | None = None) -> str | None:
    """Return which library a program cannot load and why, as a clause; None if it has all.

    None too for what is not linked, and for linkers other than glibc's and musl's. UnreadableError
    where that is not known.
    """
    program = read_elf(tree, path)
    linker = program.interpreter if program is not None else None
    musl = bool(_MUSL.search(linker or ""))
    if program is None or linker is None or not (musl or _GLIBC.search(linker)):
        return None
    search = search or Search(tree)
    own = (*_settings(tree), *_usual(program.machine), posixpath.dirname(linker))
    todo, seen = [(name, program, "") for name in program.needed], {posixpath.basename(linker)}
    while todo:
        name, by, of = todo.pop(0)
        # A name with a token is where only the linker knows.
        if name in seen or "$" in name or (musl and _OF_MUSL.match(name)):
            continue
        seen.add(name)
        if len(seen) > _LIMIT:
            raise UnreadableError(f"{path} needs more than {_LIMIT} libraries")
        folders = tuple(dict.fromkeys((*by.folders, *program.folders, *own)))
        found, why = _find(search, tree, name, program, folders)
        if found is None:
            return f"cannot load {name[:80]}{of}, which {why}"
        seen.update(found.names)
        todo += [(one, found, f" (for {name[:80]})") for one in found.needed]
    return None


def _find(
    search: Search, tree: Tree, name: str, program: Elf, folders: tuple[str, ...]
) -> tuple[Elf | None, str]:
    """Return a library that fits the program, or why none does."""
    why = "is nowhere in the image"
    places = [name] if "/" in name else [f"{folder}/{name}" for folder in folders]
    anywhere = search.places(posixpath.basename(name), folders)
    for place in chain(places, _cached(tree, name), anywhere):
        node = tree.find(place)
        if node is None or not stat.S_ISREG(node.node.mode):
            continue
        found = read_elf(tree, place)
        if found is None:
            why = "is not a library" if tree.read(place, limit=1) else "is empty"
        elif (found.machine, found.wide) == (program.machine, program.wide):
            return found, ""
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
    data = _piece(tree, path, table, size * count)
    if count and size != (56 if wide else 32):
        raise UnreadableError(f"{path}: its program headers have {size} bytes each")
    for at in range(0, len(data), size or 1):
        if wide:
            kind, offset, address, length = struct.unpack_from("<I4xQQ8xQ", data, at)
        else:
            kind, offset, address, length = struct.unpack_from("<III4xI", data, at)
        yield kind, offset, address, length


def _tags(tree: Tree, path: str, offset: int, size: int, wide: bool) -> Iterator[tuple[int, int]]:
    """Yield tag and value of each entry of a dynamic section."""
    layout = struct.Struct("<QQ" if wide else "<II")
    data = _piece(tree, path, offset, size)
    for at in range(0, len(data) - layout.size + 1, layout.size):
        tag, value = layout.unpack_from(data, at)
        if tag == 0:
            return
        yield tag, value


def _strings_at(
    headers: list[tuple[int, int, int, int]], tags: list[tuple[int, int]]
) -> int | None:
    """Return where in the file the table of names is, by its address in memory; None: nowhere."""
    wanted = next((value for tag, value in tags if tag == _STRTAB), None)
    for kind, offset, address, size in headers:
        if wanted is not None and kind == _LOAD and address <= wanted < address + size:
            return offset + wanted - address
    return None


def _text(tree: Tree, path: str, offset: int, size: int) -> str:
    text, end, _ = b"".join(tree.chunks(path, limit=min(size, _NAME), offset=offset)).partition(
        b"\0"
    )
    if not end:
        raise UnreadableError(f"{path}: a name at {offset} has no end")
    return text.decode("utf-8", "surrogateescape")


def _piece(tree: Tree, path: str, offset: int, size: int) -> bytes:
    """Return a table of the file; UnreadableError if it is too large, or not all of it is there."""
    data = b"".join(tree.chunks(path, limit=min(size, _TABLE), offset=offset))
    if len(data) < size:
        raise UnreadableError(f"{path}: a table at {offset} is not all in the file")
    return data
