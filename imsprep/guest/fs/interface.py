"""FileSystem: the narrow door through which any library's file systems are read.

An adapter gives four things: look a name up in a directory, list a directory, read a file, read a
link. Everything else (symbolic links, mounts, limits) is `tree`'s, so that it is the same for all
libraries. `open_filesystem` picks the adapter: libyal (LGPL) for ext2/3/4, XFS, NTFS and FAT; for
btrfs, and for what libyal refuses, dissect (AGPL) if the user has installed it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import BinaryIO, Protocol

from imsprep.errors import ImsprepError
from imsprep.image.volumes.signatures import BTRFS, EXT2, EXT3, EXT4, FAT, NTFS, XFS


class UnreadableError(ImsprepError):
    """A file system or one of its files cannot be read; the text is the reason, for the user."""


class Node(Protocol):
    """One file, directory or link of a file system."""

    @property
    def mode(self) -> int:
        """The type and permission bits, as in stat(2)."""

    @property
    def size(self) -> int:
        """The length in bytes."""


class FileSystem(Protocol):
    """A file system that is open for reading; every method raises UnreadableError."""

    def root(self) -> Node:
        """Return the root directory."""

    def child(self, directory: Node, name: str) -> Node | None:
        """Return what `name` is in a directory, or None; links are not followed."""

    def names(self, directory: Node) -> Iterable[str]:
        """Yield the names in a directory, without `.` and `..`."""

    def read(self, node: Node, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file from `offset`; fewer only at its end."""

    def link(self, node: Node) -> str:
        """Return the target of a symbolic link as it is written."""

    def clean(self) -> bool | None:
        """Return whether it was left clean; None where the superblock alone says so."""


# Module of the adapter, what it reads, and what to install for it; tried in this order.
ADAPTERS = (
    ("imsprep.guest.fs.libyal", (EXT2, EXT3, EXT4, XFS, NTFS, FAT), "imsprep[guest]"),
    ("imsprep.guest.fs.dissect", (EXT2, EXT3, EXT4, XFS, BTRFS), "imsprep[guest-agpl]"),
)


def open_filesystem(file: BinaryIO, kind: str, *, subvolume: str | None = None) -> FileSystem:
    """Open the file system of a volume; UnreadableError says why not and what would help.

    `file` stays the caller's and must stay open. `subvolume` is a btrfs path or number.
    """
    reasons = []
    for module, kinds, extra in ADAPTERS:
        if kind not in kinds:
            continue
        try:
            adapter = importlib.import_module(module)
            opened: FileSystem = adapter.open_filesystem(file, kind, subvolume)
            return opened
        except ImportError:
            reasons.append(f"{extra} is not installed")
        except UnreadableError as error:
            reasons.append(str(error))
    if not reasons:
        raise UnreadableError(f"no reader for {kind}")
    raise UnreadableError(f"cannot read {kind}: {'; '.join(reasons)}")
