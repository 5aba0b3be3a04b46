"""The adapter of dissect: what it makes of the library's objects and of whatever they raise."""

from __future__ import annotations

import importlib
import io
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imsprep.guest.fs import dissect
from imsprep.guest.fs.dissect import DissectFileSystem, open_filesystem
from imsprep.guest.fs.interface import UnreadableError
from imsprep.image.volumes.signatures import BTRFS, EXT4
from tests.support.guest.disks import make_filesystem, write_tree
from tests.support.guest.trees import Link
from tests.support.running import need

DIRECTORY, FILE, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777


class Inode(SimpleNamespace):
    """What dissect's inodes have in common."""

    size = 0

    def listdir(self) -> dict[str, Inode]:
        return {".": self, "..": self, **self.entries}

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.data)


class Volume:
    """A volume that looks names up itself, as those of ext and XFS do."""

    def get(self, name: str, inode: Inode) -> Inode:
        try:
            found: Inode = inode.entries[name]
        except KeyError:
            raise FileNotFoundError(name) from None
        return found


class OwnInode(Inode):
    """An inode that looks names up itself, as those of btrfs do."""

    def get(self, name: str) -> Inode:
        return Volume().get(name, self)


@pytest.mark.parametrize("kind", [Inode, OwnInode])
def test_a_tree_is_read_whichever_of_both_looks_names_up(kind: type[Inode]) -> None:
    file = kind(mode=FILE, size=5, data=b"01234")
    root = kind(mode=DIRECTORY, entries={"a": file, "b": kind(mode=LINK, link="a")})
    system = DissectFileSystem(Volume() if kind is Inode else None, root)
    top = system.root()
    assert (top.mode, sorted(system.names(top))) == (DIRECTORY, ["a", "b"])
    found, link = system.child(top, "a"), system.child(top, "b")
    assert found is not None
    assert link is not None
    assert (found.mode, found.size, system.read(found, 1, 3)) == (FILE, 5, b"123")
    assert system.link(link) == "a"
    assert system.child(top, "c") is None
    assert system.clean() is None


@pytest.mark.parametrize("field", ["i_mode", "di_mode"])
def test_a_mode_may_stand_in_the_record_of_the_inode_alone(field: str) -> None:
    root = Inode(inode=SimpleNamespace(**{field: DIRECTORY}))
    assert DissectFileSystem(None, root).root().mode == DIRECTORY


@pytest.mark.parametrize(("raised", "said"), [
    (EOFError(), "it points past the end of the volume"),
    (ValueError("no such tag"), "ValueError: no such tag"),
    (RecursionError("too deep"), "RecursionError: too deep"),
    (UnreadableError("past the end"), "past the end"),
])  # fmt: skip
def test_whatever_the_library_stumbles_over_is_a_reason(raised: Exception, said: str) -> None:
    class Crafted(Inode):
        def listdir(self) -> dict[str, Inode]:
            raise raised

    system = DissectFileSystem(None, Crafted(mode=DIRECTORY))
    with pytest.raises(UnreadableError) as told:
        system.names(system.root())
    assert str(told.value) == said


def test_a_missing_package_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dissect.MODULES, EXT4, ("imsprep_without_such_a_module", "ExtFS"))
    with pytest.raises(ImportError):
        open_filesystem(io.BytesIO(), EXT4, None)


class Btrfs:
    """Subvolumes by number, and the tree of the top one by path."""

    def __init__(self, file: object) -> None:
        self.root = Inode(mode=DIRECTORY, entries={"default": None})
        top = OwnInode(mode=DIRECTORY, entries={"@": Inode(mode=DIRECTORY, entries={"path": None})})
        self.fs_tree = SimpleNamespace(root=top)

    def open_subvolume(self, number: int) -> SimpleNamespace:
        return SimpleNamespace(root=Inode(mode=DIRECTORY, entries={f"number {number}": None}))


@pytest.mark.parametrize(
    ("subvolume", "names"), [(None, ["default"]), ("256", ["number 256"]), ("/@/", ["path"])]
)
def test_a_subvolume_is_named_by_number_or_by_its_path_from_the_top(
    monkeypatch: pytest.MonkeyPatch, subvolume: str | None, names: list[str]
) -> None:
    package = SimpleNamespace(Btrfs=Btrfs)
    monkeypatch.setattr(importlib, "import_module", {"dissect.btrfs": package}.__getitem__)
    system = open_filesystem(io.BytesIO(), BTRFS, subvolume)
    assert system.names(system.root()) == names


@need("mkfs.ext4")
def test_a_real_file_system_is_read(tmp_path: Path) -> None:
    pytest.importorskip("dissect.extfs")
    files: dict[str, Any] = {"/etc/fstab": "x" * 9000, "/sbin": Link("etc")}
    make_filesystem("ext4", write_tree(tmp_path / "tree", files), tmp_path / "fs.img")
    with (tmp_path / "fs.img").open("rb") as file:
        system = open_filesystem(file, EXT4, None)
        root = system.root()
        assert sorted(system.names(root)) == ["etc", "lost+found", "sbin"]
        etc, link = system.child(root, "etc"), system.child(root, "sbin")
        assert etc is not None
        assert link is not None
        fstab = system.child(etc, "fstab")
        assert fstab is not None
        assert (fstab.size, system.read(fstab, 8999, 5), system.link(link)) == (9000, b"x", "etc")
