"""The disk of a demo, and the folder that one run at a time works in."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from imsprep.errors import UsageError
from imsprep.pipeline import demo_disk
from tests.support.running import need


@pytest.mark.slow
@need("mkfs.ext4", "sgdisk", "sfdisk")
def test_other_programs_read_its_partition_table(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    assert demo_disk.ensure_disk(path)
    assert not demo_disk.ensure_disk(path)
    said = subprocess.run(["sgdisk", "--verify", path], capture_output=True, text=True, check=True)
    assert "No problems found" in said.stdout
    table = subprocess.run(["sfdisk", "--json", path], capture_output=True, text=True, check=True)
    assert table.stderr == ""
    [partition] = json.loads(table.stdout)["partitiontable"]["partitions"]
    assert (partition["start"], partition["size"]) == (2048, (1 << 30) // 512 - 4096)


def test_mkfs_is_found_though_it_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/usr/sbin/mkfs.ext4").exists():
        pytest.skip("not installed: /usr/sbin/mkfs.ext4")
    monkeypatch.setenv("PATH", "/usr/bin")
    assert demo_disk.ensure_disk(tmp_path / "disk.raw")


def test_a_claimed_folder_is_free_again_behind_the_block(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "demo"
    for _ in range(2):
        with demo_disk.claimed(folder):
            assert folder.is_dir()
            with (
                pytest.raises(UsageError, match="another demo is running"),
                demo_disk.claimed(folder),
            ):
                pass


def test_what_a_killed_run_left_is_removed_from_a_folder_of_its_own_alone(tmp_path: Path) -> None:
    (tmp_path / ".demo.lock").touch()
    (tmp_path / ".tree.1.part").mkdir()
    (tmp_path / ".disk.1.part").write_text("half a disk")
    (tmp_path / "disk.raw").write_text("whole")
    with demo_disk.claimed(tmp_path):
        assert sorted(p.name for p in tmp_path.iterdir()) == [".demo.lock", "disk.raw"]


def test_the_lock_stays_where_a_run_did_not_come_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), demo_disk.claimed(tmp_path):
        (tmp_path / "nowhere" / "disk.raw").touch()
    (tmp_path / "disk.mf").write_text("begun")
    with demo_disk.claimed(tmp_path):
        assert (tmp_path / "disk.mf").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["disk.mf"]
    with pytest.raises(UsageError, match="not the demo's folder"), demo_disk.claimed(tmp_path):
        pass


def test_the_backup_of_the_table_is_that_of_the_other_end() -> None:
    head, tail = demo_disk.gpt("data")
    assert head[510:512] == b"\x55\xaa"
    assert len(head) == (1 + 1 + 32) * 512
    assert len(tail) == (32 + 1) * 512
    assert head[1024:] == tail[:-512], "the entries are the same"
    assert head[512:520] == tail[-512:-504] == b"EFI PART"
    own, other = head[512 + 24 : 512 + 40], tail[-512 + 24 : -512 + 40]
    assert own == other[8:] + other[:8], "each header names the other's place"
