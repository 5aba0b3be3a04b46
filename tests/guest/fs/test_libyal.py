"""A sound ext4 is read also where one of its files has what the library does not know."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.fs.libyal import open_filesystem
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
