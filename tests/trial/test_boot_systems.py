"""The builder of bootable systems: it removes nothing that is mounted, and loses no row."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fixtures.boot_systems import page, remove_tree, rows_of


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


BOOTED = {
    "boots": True, "verdict": "login", "line": "guest login:", "seconds": 61.4, "accelerator": "tcg"
}  # fmt: skip
STOPPED = {"boots": False, "verdict": "grub-prompt", "line": "error: a | b", "seconds": 9,
           "accelerator": "kvm"}  # fmt: skip


def test_a_run_of_some_systems_leaves_the_other_rows_of_the_page() -> None:
    first = page({
        "xfs-bios": {"findings": [], "boot": BOOTED, "day": "2026-01-01"},
        "kernel-gone": {"findings": [["IMS807", "error", "gone"]], "boot": STOPPED, "day": "2026-01-01"},
        "root-by-sda": {"findings": []},
    })  # fmt: skip
    assert "2 systems were started, 2 agree, 0 said nothing" in first.replace("\n", " ")
    silent = {**STOPPED, "verdict": "nothing", "line": ""}
    second = page(
        {"kernel-gone": {"findings": [], "boot": silent, "day": "2026-02-02"},
         "btrfs-bios": {"findings": [], "boot": STOPPED, "day": "2026-02-02"}},
        first,
    )  # fmt: skip
    rows = rows_of(second)
    assert rows["xfs-bios"] == rows_of(first)["xfs-bios"]
    assert rows["xfs-bios"] == (
        "xfs-bios",
        "login",
        "61 s",
        "none",
        "yes",
        "2026-01-01",
        "emulated",
    )
    assert rows["kernel-gone"][1:] == ("nothing", "9 s", "none", "no verdict", "2026-02-02", "KVM")
    assert rows["btrfs-bios"].agree == "**no**", "it stopped, and the check said nothing"
    assert "3 systems were started, 1 agree, 1 said nothing" in second.replace("\n", " ")
    assert page({}, second) == second
    assert not rows.keys() & {
        name.strip(" .") for name in second.split("Not booted yet: ")[1].split(",")
    }
