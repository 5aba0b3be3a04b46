"""A sound ext4 is read also where one of its files has what the library does not know.

Of a file system that is cut, what lies past the end is refused by each reader and never absent.
"""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.fs.libyal import open_filesystem
from imsprep.guest.fs.ranges import Window
from imsprep.guest.model import Entry
from imsprep.guest.tree import Tree
from imsprep.image.volumes.signatures import BTRFS, EXT4, FAT, XFS
from tests.support.guest.disks import cuts, make_filesystem, write_tree
from tests.support.guest.trees import Link
from tests.support.running import need

# What chattr sets, and the inode's flags with it.
FLAGS = {"topdir": 0xA0000, "dax": 0x2080000, "compressed": 0x80004, "verity": 0x180000}


@need("mkfs.ext4", "debugfs")
@pytest.mark.parametrize("flag", FLAGS)
def test_one_entry_with_an_unknown_flag_does_not_hide_its_neighbours(
    tmp_path: Path, flag: str
) -> None:
    tree, image = tmp_path / "tree", tmp_path / "disk.raw"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/os-release").write_text("ID=debian\n")
    (tree / "odd").write_text("odd")
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tree, image], check=True)
    change = f"set_inode_field /odd flags {FLAGS[flag]:#x}"
    subprocess.run(["debugfs", "-w", "-R", change, image], check=True, capture_output=True)
    with image.open("rb") as file:
        filesystem = open_filesystem(file, "ext4", None)
        root = filesystem.root()
        assert sorted(filesystem.names(root)) == ["etc", "lost+found", "odd"]
        etc = filesystem.child(root, "etc")
        assert etc is not None
        release = filesystem.child(etc, "os-release")
        assert release is not None
        assert filesystem.read(release, 0, 100) == b"ID=debian\n"
        with pytest.raises(UnreadableError):
            filesystem.child(root, "odd")


FILES: dict[str, object] = {
    "/etc/fstab": "x" * 9000, "/boot/vmlinuz": b"\x01" * 300_000, "/lib/init": b"\x7fELF" * 9000,
    **{f"/many/a-name-that-takes-some-room-{i:03}": f"{i}" for i in range(200)},
}  # fmt: skip
MAKERS = {EXT4: "ext4", XFS: "xfs", BTRFS: "btrfs"}


def formatted(kind: str, folder: Path) -> bytes:
    """A file system with FILES; of FAT without links."""
    links = {"/sbin": Link("lib"), "/long": Link("lib/" * 30)} if kind != FAT else {}
    tree, path = write_tree(folder / "tree", {**FILES, **links}), folder / "fs.img"
    (tree / "lib/init").chmod(0o755)
    if kind != FAT:
        make_filesystem(MAKERS[kind], tree, path)
    else:
        subprocess.run(
            ["mkfs.vfat", "-F", "16", "-C", path, "16384"], check=True, capture_output=True
        )
        subprocess.run(["mcopy", "-s", "-i", path, *sorted(tree.iterdir()), "::/"], check=True)
    return path.read_bytes()


def seen(tree: Tree, path: str) -> tuple[Entry | None, list[str]]:
    """What is at a path, and of a directory the names in it."""
    return (tree.entry(path, text_limit=1 << 20), tree.names(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "kind"),
    [
        pytest.param("libyal", EXT4, marks=need("mkfs.ext4")),
        pytest.param("libyal", XFS, marks=need("mkfs.xfs")),
        pytest.param("libyal", FAT, marks=need("mkfs.vfat", "mcopy")),
        pytest.param("dissect", EXT4, marks=need("mkfs.ext4")),
        pytest.param("dissect", XFS, marks=need("mkfs.xfs")),
        pytest.param("dissect", BTRFS, marks=need("mkfs.btrfs")),
    ],
)
def test_what_lies_past_the_end_is_refused_and_never_absent(
    tmp_path: Path, reader: str, kind: str
) -> None:
    if reader == "dissect":
        pytest.importorskip("dissect.btrfs")
    adapter, data = importlib.import_module(f"imsprep.guest.fs.{reader}"), formatted(kind, tmp_path)
    end = len(data)

    def opened() -> Tree:
        window: Any = Window(lambda at, count: data[at : min(at + count, end)], 0, len(data))
        return Tree({"/": adapter.open_filesystem(cast(BinaryIO, window), kind, None)})

    whole = opened()
    paths = [*list(FILES)[:9], "/", "/etc", "/many", "/sbin", "/long", "/absent", "/etc/absent"]
    good, refused, wrong = {path: seen(whole, path) for path in paths}, 0, []
    program, text = good["/lib/init"][0], good["/etc/fstab"][0]
    assert program is not None
    assert text is not None
    assert (program.mode & 0o111 != 0, text.mode & 0o111) == (kind != FAT, 0)
    for cut in cuts(tmp_path / "fs.img", 16):
        end = len(data)
        late = opened()  # libraries read some of it when they open it, and keep that
        end = cut
        for path in paths:
            try:
                if seen(late, path) != good[path]:
                    wrong.append((cut, path))
            except UnreadableError:
                refused += 1
    assert wrong == []
    assert refused > 16
