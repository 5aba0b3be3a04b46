"""File systems through the libyal libraries: ext2/3/4, XFS, NTFS and FAT (LGPL-3.0-or-later).

The four libraries have nearly the same interface; the differences are in `_Kind`. They report
every fault as OSError or MemoryError with a chain of C function names, of which the first sentence
is kept.
"""

from __future__ import annotations

import functools
import importlib
import re
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ParamSpec, TypeVar

from imsprep.guest.fs.interface import FileSystem, Node, UnreadableError
from imsprep.image.volumes.signatures import EXT2, EXT3, EXT4, FAT, NTFS, XFS
from imsprep.units import MIB

P = ParamSpec("P")
R = TypeVar("R")

# Bit of a DOS file's attributes: FAT and NTFS.
_DOS_DIRECTORY = 0x10
_DOS_REPARSE = 0x400

# NTFS: the record of $Volume, its attribute and the flag in it.
_NTFS_VOLUME, _NTFS_VOLUME_INFORMATION, _NTFS_DIRTY = 3, 0x70, 0x0001

MODULES = {
    EXT2: "pyfsext",
    EXT3: "pyfsext",
    EXT4: "pyfsext",
    XFS: "pyfsxfs",
    NTFS: "pyfsntfs",
    FAT: "pyfsfat",
}
# These compare names without regard to case, as Windows and EFI do.
CASELESS = (NTFS, FAT)

# Names of one directory: WinSxS has some 30,000. A library takes some 500 bytes for each.
LISTING_LIMIT = 200_000

_EXT = (EXT2, EXT3, EXT4)
_EXT_ENTRY = struct.Struct("<IHBB")
_DIRECTORY_LIMIT = 16 * MIB  # bytes of a directory's extent

# How a library tells what the file object raised: as repr has it.
_OWN_ERROR = re.compile(r"with error: (?:\w+\((['\"])(.+?)\1,?\)|(.+?))\. py\w+:")

# What a library may raise on a crafted file system.
_FAULTS = (OSError, MemoryError, ValueError, RuntimeError, OverflowError, UnicodeError, TypeError)


@dataclass(frozen=True)
class YalNode:
    """A file entry of one of the libraries, and where it is in its file system."""

    entry: Any
    path: str  # with the library's own separator; "" is the root
    mode: int

    @property
    def size(self) -> int:
        """The length in bytes."""
        return int(self.entry.size or 0)


def translated(method: Callable[P, R]) -> Callable[P, R]:
    """Turn what the library raises into UnreadableError."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except _FAULTS as error:
            raise UnreadableError(_first_sentence(error)) from error

    return call


class YalFileSystem:
    """One open volume of a library."""

    def __init__(self, volume: Any, kind: str, file: BinaryIO) -> None:
        self._volume, self._kind, self._file = volume, kind, file
        self._caseless = kind in CASELESS
        self._folded: dict[str, dict[str, object]] = {}

    @translated
    def root(self) -> Node:
        """Return the root directory."""
        entry = self._volume.get_root_directory()
        if entry is None:
            raise UnreadableError("the file system has no root directory")
        # Of FAT and NTFS the root has no attributes that would say so.
        mode = stat.S_IFDIR | 0o755 if self._caseless else int(entry.file_mode)
        return YalNode(entry, "", mode)

    @translated
    def child(self, directory: Node, name: str) -> Node | None:
        """Return what `name` is in a directory, or None.

        By path and not by name: libfsext 20260821 cannot look a name up in a directory entry.
        """
        parent = _own(directory)
        if self._caseless:
            found = self._listing(parent).get(name.casefold())
            return None if found is None else YalNode(found, f"{parent.path}\\{name}", _mode(found))
        path = f"{parent.path}/{name}"
        found = self._volume.get_file_entry_by_path(path)
        return None if found is None else YalNode(found, path, int(found.file_mode))

    @translated
    def names(self, directory: Node) -> Iterable[str]:
        """Return the names in a directory."""
        try:
            return [entry.name for entry in _entries(_own(directory)) if entry.name]
        except _FAULTS:
            if self._kind not in _EXT:
                raise
            # One entry whose inode has a flag that the library does not know.
            return list(_ext_names(self._file, _own(directory).entry))

    @translated
    def read(self, node: Node, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file."""
        length = min(length, node.size - offset)
        if length <= 0:
            return b""
        return bytes(_own(node).entry.read_buffer_at_offset(length, offset))

    @translated
    def link(self, node: Node) -> str:
        """Return the target of a link."""
        return str(_own(node).entry.symbolic_link_target or "")

    @translated
    def clean(self) -> bool | None:
        """Read NTFS's dirty flag, which is in the file $Volume."""
        if not hasattr(self._volume, "get_file_entry"):
            return None
        volume_entry = self._volume.get_file_entry(_NTFS_VOLUME)
        flags = [
            int(attribute.flags)
            for attribute in volume_entry.attributes
            if attribute.attribute_type == _NTFS_VOLUME_INFORMATION
        ]
        return not flags[0] & _NTFS_DIRTY if flags else None

    def _listing(self, directory: YalNode) -> dict[str, object]:
        """Return the entries of a directory by their folded names, read once."""
        key = directory.path.casefold()
        if key not in self._folded:
            entries = _entries(directory)
            self._folded[key] = {entry.name.casefold(): entry for entry in entries if entry.name}
        return self._folded[key]


def open_filesystem(file: BinaryIO, kind: str, subvolume: str | None) -> FileSystem:
    """Open a volume with the library for its kind; ImportError if that is missing."""
    module = importlib.import_module(MODULES[kind])
    volume = module.volume()
    try:
        volume.open_file_object(file)
    except _FAULTS as error:
        raise UnreadableError(_first_sentence(error)) from error
    return YalFileSystem(volume, kind, file)


def _own(node: Node) -> YalNode:
    assert isinstance(node, YalNode)
    return node


def _entries(directory: YalNode) -> Iterable[Any]:
    count = directory.entry.number_of_sub_file_entries
    if count > LISTING_LIMIT:
        raise UnreadableError(f"a directory of {count} names")
    entries: Iterable[object] = directory.entry.sub_file_entries
    return entries


def _ext_names(file: BinaryIO, directory: Any) -> Iterator[str]:
    """Yield the names in a directory of ext2/3/4 from its own blocks, without asking the inodes.

    An entry: inode, length of the entry, length of the name, type, name; a block of the hash tree
    looks like one unused entry. Source: ext4's documentation in Linux, "Directory Entries".
    """
    for number in range(directory.number_of_extents):
        offset, size, _ = directory.get_extent(number)
        file.seek(offset)
        data, at = file.read(min(size, _DIRECTORY_LIMIT)), 0
        while at + _EXT_ENTRY.size <= len(data):
            inode, length, name_length, _ = _EXT_ENTRY.unpack_from(data, at)
            name = data[at + _EXT_ENTRY.size : at + _EXT_ENTRY.size + name_length]
            if inode and name not in (b"", b".", b".."):
                yield name.decode("utf-8", "surrogateescape")
            if length < _EXT_ENTRY.size:
                raise UnreadableError("a directory's entry has no length")
            at += length


def _mode(entry: Any) -> int:
    """Make up type and permission bits from the attributes of FAT and NTFS."""
    flags = int(entry.file_attribute_flags or 0)
    if flags & _DOS_DIRECTORY or getattr(entry, "has_directory_entries_index", bool)():
        return stat.S_IFDIR | 0o755
    return (stat.S_IFLNK if flags & _DOS_REPARSE else stat.S_IFREG) | 0o644


def _first_sentence(error: BaseException) -> str:
    """Keep the cause of a libyal error, its last but not its whole chain of C functions.

    What reading the image raised stands in the chain, and is the better reason: a limit that was
    reached, a damaged block of a ZVHD2, a disk that fails.
    """
    own = _OWN_ERROR.search(str(error))
    if own is not None:
        return own[2] or own[3]
    text = str(error).split(". ", 1)[0] or type(error).__name__
    return text.split(": ", 1)[-1].rstrip(".")
