"""The builder of bootable systems: it removes nothing that is mounted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fixtures.boot_systems import remove_tree


def test_a_tree_with_a_mount_in_it_is_left_alone(tmp_path: Path) -> None:
    tree, held = tmp_path / "base.partial", tmp_path / "base.partial" / "proc"
    held.mkdir(parents=True)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "none", held]).returncode:
        pytest.skip("cannot mount here")
    try:
        (held / "kept").write_text("x")
        with pytest.raises(RuntimeError, match=r"unmount first .*base\.partial/proc"):
            remove_tree(tree)
        assert (held / "kept").exists()
    finally:
        subprocess.run(["umount", held], check=True)
    remove_tree(tree)
    assert not tree.exists()
