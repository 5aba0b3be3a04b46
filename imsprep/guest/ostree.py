"""The deployment of an ostree system: the folder that becomes / when it starts.

Such a system keeps each version of itself in /ostree/deploy/NAME/deploy/CHECKSUM.NUMBER, and the
boot entry's `ostree=` names a link to the one that starts. /var is shared by all of a NAME; /boot
is a volume of its own or the folder of the root. Sources: ostree's documentation, "Deployments"
and "Adapting existing mainstream distributions".
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from typing import NamedTuple

from imsprep.guest.chain.values import Boot
from imsprep.guest.fs.interface import FileSystem, Node
from imsprep.guest.tree import Place, Tree

_DEPLOYMENTS = "/ostree/deploy/*/deploy/*.*"
_LINKS = "/ostree/boot.*"  # what `ostree=` goes through


class Folder:
    """A folder of a file system as a file system of its own."""

    def __init__(self, filesystem: FileSystem, root: Node) -> None:
        self._filesystem, self._root = filesystem, root

    def root(self) -> Node:
        """Return the folder."""
        return self._root

    def child(self, directory: Node, name: str) -> Node | None:
        """Return what `name` is in a directory, or None."""
        return self._filesystem.child(directory, name)

    def names(self, directory: Node) -> Iterable[str]:
        """Yield the names in a directory."""
        return self._filesystem.names(directory)

    def read(self, node: Node, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file."""
        return self._filesystem.read(node, offset, length)

    def link(self, node: Node) -> str:
        """Return the target of a symbolic link."""
        return self._filesystem.link(node)

    def clean(self) -> bool | None:
        """Return whether the file system was left clean."""
        return self._filesystem.clean()


class Deployment(NamedTuple):
    """A deployment that was found, laid out as the system sees itself."""

    path: str  # from the root of its volume
    mounts: dict[str, FileSystem]


def wanted(boot: Boot) -> list[str]:
    """Return the values of `ostree=` of the entries that start by default."""
    entries = [route.entry for route in boot.routes if route.entry is not None]
    return [value for entry in entries for value in entry.values("ostree")]


def links(tree: Tree, boot: Boot) -> dict[str, str | None]:
    """Return where each `ostree=` leads on a volume, None where nothing is there.

    A value is left out where the volume has none of the links at all.
    """
    if not any(True for _ in tree.glob(_LINKS)):
        return {}
    found = {value: tree.find(value) for value in wanted(boot)}
    return {value: place.path if place is not None else None for value, place in found.items()}


def deployment(tree: Tree, boot: Boot) -> Deployment | None:
    """Return the deployment that starts, or the only one; None where neither is known."""
    places = [place for value in wanted(boot) if (place := tree.find(value)) is not None]
    if not places:
        folders = [tree.find(path) for path in tree.glob(_DEPLOYMENTS)]
        places = [p for p in folders if p is not None and stat.S_ISDIR(p.node.mode)]
        if len(places) != 1:
            return None
    place = places[0]
    mounts: dict[str, FileSystem] = {"/": _as_root(place), "/sysroot": tree.mounts["/"]}
    state = place.path.partition("/deploy/")[2].partition("/")[0]
    for path, inside in (("/var", f"/ostree/deploy/{state}/var"), ("/boot", "/boot")):
        shared = tree.find(inside)
        if shared is not None and stat.S_ISDIR(shared.node.mode):
            mounts[path] = _as_root(shared)
    return Deployment(place.path, mounts)


def _as_root(place: Place) -> FileSystem:
    return Folder(place.filesystem, place.node)
