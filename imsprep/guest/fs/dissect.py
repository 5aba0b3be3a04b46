"""File systems through dissect: btrfs, SquashFS, and what libyal refuses (AGPL-3.0-or-later).

Only there if the user installed `imsprep[guest-agpl]`; imsprep neither needs nor ships it. The
packages differ a little: `dissect.extfs`, `.xfs`, `.btrfs` speak of inodes, `.ntfs` of records
and `.fat` of directory entries; only the first three are used here.

What pure Python stumbles over in a crafted file system can be any exception, so all of them
become UnreadableError here.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, ParamSpec, TypeVar

from imsprep.guest.fs.interface import FileSystem, Node, UnreadableError
from imsprep.image.volumes.signatures import BTRFS, EXT2, EXT3, EXT4, XFS

SQUASHFS = "SquashFS"  # as libblkid's names are shown

P = ParamSpec("P")
R = TypeVar("R")

# Package and class for each kind.
MODULES = {
    EXT2: ("dissect.extfs", "ExtFS"),
    EXT3: ("dissect.extfs", "ExtFS"),
    EXT4: ("dissect.extfs", "ExtFS"),
    XFS: ("dissect.xfs", "XFS"),
    BTRFS: ("dissect.btrfs", "Btrfs"),
    SQUASHFS: ("dissect.squashfs", "SquashFS"),
}


@dataclass(frozen=True)
class DissectNode:
    """An inode."""

    inode: Any
    mode: int

    @property
    def size(self) -> int:
        """The length in bytes."""
        return int(self.inode.size)


def translated(method: Callable[P, R]) -> Callable[P, R]:
    """Turn whatever pure Python stumbles over in a crafted file system into UnreadableError."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (UnreadableError, ImportError):
            raise
        except EOFError as error:  # which says nothing
            raise UnreadableError("it points past the end of the volume") from error
        except Exception as error:
            raise UnreadableError(f"{type(error).__name__}: {error}") from error

    return call


class DissectFileSystem:
    """One open file system; `volume` is the library's object, `start` the root inode."""

    def __init__(self, volume: Any, start: object) -> None:
        self._volume, self._start = volume, start

    @translated
    def root(self) -> Node:
        """Return the root directory."""
        return _node(self._start)

    @translated
    def child(self, directory: Node, name: str) -> Node | None:
        """Return what `name` is in a directory, or None."""
        inode = _inode(directory)
        try:
            return _node(
                inode.get(name) if hasattr(inode, "get") else self._volume.get(name, inode)
            )
        except FileNotFoundError:
            return None

    @translated
    def names(self, directory: Node) -> Iterable[str]:
        """Return the names in a directory."""
        return [name for name in _inode(directory).listdir() if name not in (".", "..")]

    @translated
    def read(self, node: Node, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file."""
        file = _inode(node).open()
        file.seek(offset)
        return bytes(file.read(length))

    @translated
    def link(self, node: Node) -> str:
        """Return the target of a link."""
        return str(_inode(node).link)

    def clean(self) -> bool | None:
        """Leave it to the super block."""
        return None


@translated
def open_filesystem(file: BinaryIO, kind: str, subvolume: str | None) -> FileSystem:
    """Open a volume with the package for its kind; ImportError if that is missing."""
    package, name = MODULES[kind]
    volume = getattr(importlib.import_module(package), name)(file)
    if kind == BTRFS and subvolume is not None:
        if subvolume.isdigit():
            return DissectFileSystem(volume, volume.open_subvolume(int(subvolume)).root)
        # A path counts from the top, whatever the default subvolume is.
        return DissectFileSystem(volume, volume.fs_tree.root.get(subvolume.strip("/")))
    return DissectFileSystem(volume, volume.root)


def _inode(node: Node) -> Any:
    assert isinstance(node, DissectNode)
    return node.inode


def _node(inode: Any) -> DissectNode:
    """Return a node with its whole mode, which of ext and XFS stands in the inode's own record."""
    if hasattr(inode, "mode"):
        return DissectNode(inode, int(inode.mode))
    record = inode.inode
    return DissectNode(inode, int(record.i_mode if hasattr(record, "i_mode") else record.di_mode))
