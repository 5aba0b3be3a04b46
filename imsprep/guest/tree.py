"""Tree: the guest's files as the guest would see them: file systems mounted, links followed.

Every walk stays inside the image: an absolute link starts again at the guest's root, `..` stops
there, and a chain of more than LINK_LIMIT links ends with the reason. Reading is bounded: a budget
of bytes and of looked-up names is shared by the whole inspection.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from imsprep.guest.fs.interface import FileSystem, Node, UnreadableError
from imsprep.guest.model import DIRECTORY, FILE, LINK, OTHER, Entry
from imsprep.units import MIB

LINK_LIMIT = 40  # what Linux allows (MAXSYMLINKS)
NAME_LIMIT = 255  # bytes of one name, on every file system we read
DIRECTORY_LIMIT = 20_000  # names of one directory that are looked at


@dataclass
class Budget:
    """What an inspection may still spend; spending more raises UnreadableError."""

    bytes_left: int = 4096 * MIB
    lookups_left: int = 500_000
    text_left: int = 8 * MIB  # of texts that are kept; a server has less than 1 MiB
    end: str = "the limit of what one inspection reads was reached"  # why no more is read

    def take(self, *, size: int = 0, lookups: int = 0, text: int = 0) -> None:
        """Spend bytes, look-ups or room for texts."""
        self.bytes_left -= size
        self.lookups_left -= lookups
        self.text_left -= text
        if self.spent:
            raise UnreadableError(self.end)

    @property
    def spent(self) -> bool:
        """Return whether nothing more may be read."""
        return min(self.bytes_left, self.lookups_left, self.text_left) < 0

    def spend_all(self, reason: str) -> None:
        """Let nothing more be read, for another reason than its amount."""
        self.lookups_left, self.end = -1, reason


@dataclass(frozen=True)
class Place:
    """Where a path led: the node, its file system and its path with no link in it."""

    filesystem: FileSystem
    node: Node
    path: str


@dataclass
class Tree:
    """File systems laid together; `mounts` maps a path without links ("/" or "/boot") to one."""

    mounts: dict[str, FileSystem]
    budget: Budget = field(default_factory=Budget)
    _seen: dict[str, Place | None] = field(default_factory=dict)

    def mount(self, path: str, filesystem: FileSystem) -> None:
        """Lay a file system over a directory; what was below it is hidden."""
        place = self.find(path)
        self.mounts[place.path if place is not None else path] = filesystem
        self._seen.clear()

    def find(self, path: str, *, follow: bool = True) -> Place | None:
        """Go to a path; None if it does not exist. `follow` is for the last component."""
        key = path if follow else f"{path}//"
        if key not in self._seen:
            self._seen[key] = self._walk(path, follow)
        return self._seen[key]

    def _walk(self, path: str, follow: bool) -> Place | None:
        todo = [part for part in path.split("/") if part][::-1]
        places = [self._root()]
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                places = places[:-1] or places
                continue
            if part == "." or not part:
                continue
            place = self._step(places[-1], part)
            if place is None:
                return None
            if stat.S_ISLNK(place.node.mode) and (follow or todo):
                links += 1
                if links > LINK_LIMIT:
                    raise UnreadableError(f"{path}: more than {LINK_LIMIT} symbolic links")
                target = place.filesystem.link(place.node)
                places = places[:1] if target.startswith("/") else places
                todo.extend(target.split("/")[::-1])
                continue
            places.append(place)
        return places[-1]

    def _root(self) -> Place:
        return Place(self.mounts["/"], self.mounts["/"].root(), "/")

    def _step(self, place: Place, name: str) -> Place | None:
        if len(name) > NAME_LIMIT or not stat.S_ISDIR(place.node.mode):
            return None
        self.budget.take(lookups=1)
        path = f"{place.path.rstrip('/')}/{name}"
        mounted = self.mounts.get(path)
        if mounted is not None:
            return Place(mounted, mounted.root(), path)
        node = place.filesystem.child(place.node, name)
        return None if node is None else Place(place.filesystem, node, path)

    def exists(self, path: str) -> bool:
        """Return whether a path leads to something."""
        return self.find(path) is not None

    def names(self, path: str) -> list[str]:
        """List a directory, sorted; [] if there is none, UnreadableError past DIRECTORY_LIMIT."""
        place = self.find(path)
        if place is None or not stat.S_ISDIR(place.node.mode):
            return []
        names = []
        for name in place.filesystem.names(place.node):
            self.budget.take(lookups=1)
            names.append(name)
            if len(names) > DIRECTORY_LIMIT:
                raise UnreadableError(f"{path} holds more than {DIRECTORY_LIMIT} names")
        return sorted(names)

    def children(self, path: str) -> Iterator[tuple[str, Place]]:
        """Yield each name in a directory with what it is, links not followed."""
        place = self.find(path)
        for name in self.names(path):
            inner = self._step(place, name) if place is not None else None
            if inner is not None:
                yield name, inner

    def glob(self, pattern: str) -> Iterator[str]:
        """Yield the paths that match, component by component; a link counts even if it is dead."""
        yield from self._glob("", [part for part in pattern.split("/") if part])

    def _glob(self, base: str, parts: list[str]) -> Iterator[str]:
        part, rest = parts[0], parts[1:]
        if not any(mark in part for mark in "*?["):
            names = [part] if self.find(f"{base}/{part}", follow=bool(rest)) else []
        else:
            names = [name for name in self.names(base or "/") if fnmatchcase(name, part)]
        for name in names:
            if rest:
                yield from self._glob(f"{base}/{name}", rest)
            else:
                yield f"{base}/{name}"

    def chunks(self, path: str, *, limit: int, step: int = MIB, offset: int = 0) -> Iterator[bytes]:
        """Read a regular file piece by piece, `limit` bytes at most; nothing if it is not one.

        UnreadableError where the file system gives less than the size that it says the file has.
        """
        place = self.find(path)
        if place is None or not stat.S_ISREG(place.node.mode):
            return
        limit = min(limit + offset, place.node.size)
        while offset < limit:
            piece = place.filesystem.read(place.node, offset, min(step, limit - offset))
            if not piece:
                raise UnreadableError(f"only {offset} of its {place.node.size} bytes can be read")
            self.budget.take(size=len(piece))
            offset += len(piece)
            yield piece

    def read(self, path: str, *, limit: int) -> bytes:
        """Return the first `limit` bytes of a regular file; b"" if there is none."""
        return b"".join(self.chunks(path, limit=limit, step=limit))

    def entry(self, path: str, *, text_limit: int = 0) -> Entry | None:
        """Describe what is at a path; with `text_limit` bytes of its text, links followed."""
        found = self.find(path, follow=False)
        if found is None:
            return None
        target = found.filesystem.link(found.node) if stat.S_ISLNK(found.node.mode) else None
        place = self.find(path) if target is not None else found
        if place is None:
            return Entry(LINK, found.node.mode & 0o7777, target=target)
        text = None
        if text_limit and stat.S_ISREG(place.node.mode):
            data = self.read(path, limit=text_limit)
            self.budget.take(text=len(data))
            text = data.decode("utf-8", "surrogateescape")
        mode, size = place.node.mode, place.node.size
        cut = text is not None and size > text_limit
        return Entry(_kind(mode), mode & 0o7777, size, text, cut, target)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return DIRECTORY
    if stat.S_ISREG(mode):
        return FILE
    return LINK if stat.S_ISLNK(mode) else OTHER
