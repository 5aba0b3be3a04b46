"""`imsprep demo`: the whole way on a disk of its own making, whatever interrupts it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imsprep.bitmap import verify
from imsprep.cli.commands.machine import demo
from imsprep.errors import FormatError
from imsprep.image.volumes.partitions import read_disk
from imsprep.pipeline import demo_disk
from tests.support.image.treedigest import tree_digest
from tests.support.running import Outcome, need

Run = Callable[..., Outcome]
COMMAND = [sys.executable, "-m", "imsprep", "demo", "--dir"]


def digest(path: str | Path) -> str:
    return tree_digest(Path(path).read_bytes())


def check_result(result: dict[str, object], folder: Path) -> None:
    """Everything there is whole and the same disk, and nothing was done twice."""
    files = result["files"]
    assert isinstance(files, dict)
    assert digest(files["image"]) == digest(files["imported"]) == result["digest"]
    assert digest(folder / "cloud/images/disk.raw") == result["digest"]
    assert (folder / "disk.mf").read_bytes() == (folder / "cloud/images/disk.mf").read_bytes()
    assert list(folder.rglob("*.part")) == []
    assert len(list((folder / "cloud/.emulator/images").iterdir())) == 2
    packed = result["zvhd2"]
    assert isinstance(packed, dict)
    made = {Path(files["imported"]), Path(packed["imported"])}
    assert set((folder / "cloud/.emulator/disks").iterdir()) == made
    assert digest(packed["imported"]) == result["digest"]
    assert not list(folder.glob("**/*.zvhd2.json"))
    assert list((folder / "cloud/images/.uploads").iterdir()) == []


def check_disk(path: Path) -> None:
    with path.open("rb") as file:
        disk = read_disk(lambda o, n: (file.seek(o), file.read(n))[1], path.stat().st_size)
    assert disk.primary is not None
    assert disk.backup is not None
    assert disk.primary.valid
    assert disk.backup.valid
    [partition] = disk.partitions
    filesystem = f"{path}?offset={partition.start}"
    subprocess.run(["e2fsck", "-f", "-n", filesystem], check=True, capture_output=True)


@pytest.mark.slow
@need("mkfs.ext4", "e2fsck")
def test_the_demo_imports_its_disk_and_a_second_run_sends_nothing(
    imsprep: Run, tmp_path: Path
) -> None:
    first = imsprep("demo", "--dir", tmp_path, "--json")
    assert first.code == 0, first.err
    check_result(first.json, tmp_path)
    assert not list(tmp_path.glob("*.lock"))
    check_disk(tmp_path / "disk.raw")
    assert [finding["rule"] for finding in first.json["findings"]] == ["IMS405"]
    assert 0 < first.json["data_bytes"] <= first.json["sent"] < first.json["size"] // 4
    again = imsprep("demo", "--dir", tmp_path, "--json")
    assert again.json == {**first.json, "sent": 0, "sent_before": first.json["sent"]}
    assert "from an earlier run" in again.err
    text = imsprep("demo", "--dir", tmp_path, "--quiet")
    assert text.err == ""
    assert f"images    {first.json['image_id']}" in text.out
    assert f"equal     yes, both: {first.json['digest']}" in text.out
    assert f"packed    {tmp_path}/packed/disk.raw, a link, and " in text.out
    files = first.json["files"]
    with open(files["imported"], "r+b") as file:
        file.seek(900 << 20)
        file.write(b"x")
    changed = imsprep("demo", "--dir", tmp_path)
    assert changed.code == 1
    assert "is not the disk that was imported" in changed.err


def test_an_imported_disk_that_differs_ends_it_with_an_error(tmp_path: Path) -> None:
    disk, same, other = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    disk.write_bytes(b"one" * 1000)
    same.write_bytes(b"one" * 1000)
    other.write_bytes(b"one" * 999 + b"onf")
    assert demo.compare(disk, same) == digest(disk)
    with pytest.raises(FormatError, match="is not the disk that was imported"):
        demo.compare(disk, other)


@need("mkfs.ext4")
def test_a_bitmap_that_does_not_hold_ends_the_demo_before_anything_is_sent(
    imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_prove = verify.prove
    monkeypatch.setattr(
        verify, "prove", lambda *a, **k: replace(really_prove(*a, **k), stale="is another's")
    )
    done = imsprep("demo", "--dir", tmp_path)
    assert done.code == 1
    assert "disk.mf is not proved to fit its image" in done.err
    assert not (tmp_path / "cloud/images/disk.raw").exists()


def test_a_file_that_is_not_its_own_is_left_alone(imsprep: Run, tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(b"somebody's disk")
    done = imsprep("demo", "--dir", tmp_path)
    assert done.code == 2
    assert "is not empty and not the demo's folder; choose another folder (--dir)" in done.err
    (tmp_path / ".demo.lock").touch()
    done = imsprep("demo", "--dir", tmp_path)
    assert done.code == 2
    assert "is not the demo's disk; choose another folder (--dir)" in done.err
    assert (tmp_path / "disk.raw").read_bytes() == b"somebody's disk"


def test_a_folder_that_is_not_the_demos_is_left_as_it_is(imsprep: Run, tmp_path: Path) -> None:
    kept = [tmp_path / ".demo.lock", tmp_path / ".film.part", tmp_path / "sub" / ".film.part"]
    (tmp_path / "sub").mkdir()
    for path in kept:
        path.write_text("somebody's")
    for _ in range(2):
        done = imsprep("demo", "--dir", tmp_path)
        assert done.code == 2
        assert "is not empty and not the demo's folder" in done.err
        assert [path.read_text() for path in kept if path.exists()] == ["somebody's"] * len(kept)
        kept.pop(0).unlink(missing_ok=True)  # the second time without a lock


def test_a_missing_program_is_named_with_its_package(
    imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_disk.shutil, "which", lambda *_, **__: None)
    done = imsprep("demo", "--dir", tmp_path)
    assert done.code == 2
    assert done.err.endswith("the demo needs mkfs.ext4: apt-get install e2fsprogs\n")
    assert [p.name for p in tmp_path.iterdir()] == [".demo.lock"]


def test_two_runs_in_one_folder_do_not_meet(imsprep: Run, tmp_path: Path) -> None:
    with demo_disk.claimed(tmp_path):
        done = imsprep("demo", "--dir", tmp_path)
    assert done.code == 2
    assert "another demo is running" in done.err


def test_a_folder_that_cannot_be_made_is_exit_code_3(imsprep: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert imsprep("demo", "--dir", tmp_path / "file" / "demo").code == 3


def finish(folder: Path) -> None:
    """Run the demo to its end and look at all that is there."""
    done = subprocess.run([*COMMAND, folder, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check_result(json.loads(done.stdout), folder)
    check_disk(folder / "disk.raw")


@pytest.mark.slow
@need("mkfs.ext4", "e2fsck")
def test_killed_while_the_disk_is_written_the_next_run_makes_it_anew(tmp_path: Path) -> None:
    programs, folder = tmp_path / "bin", tmp_path / "demo"
    programs.mkdir()
    deadly = programs / "mkfs.ext4"
    deadly.write_text("#!/bin/sh\nkill -9 $PPID\n")
    deadly.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    killed = subprocess.run([*COMMAND, folder], env=environment, capture_output=True)
    assert killed.returncode == -9
    assert list(folder.rglob("*.part"))
    finish(folder)


STEPS = ("disk", "check", "bitmap", "verify", "upload", "import", "compare")


@pytest.mark.slow
@need("mkfs.ext4", "e2fsck")
def test_killed_after_each_step_the_next_run_ends_well(tmp_path: Path) -> None:
    seen = []
    for step in STEPS:
        with subprocess.Popen([*COMMAND, tmp_path], stderr=subprocess.PIPE, text=True) as run:
            assert run.stderr is not None
            for line in run.stderr:
                if line.split()[0] == step:
                    seen.append(step)
                    run.kill()
                    break
    assert tuple(seen) == STEPS
    finish(tmp_path)


@pytest.mark.slow
@need("mkfs.ext4", "e2fsck")
def test_killed_at_random_instants_the_next_run_ends_well(tmp_path: Path) -> None:
    choice = random.Random(8)
    for number in range(int(os.environ.get("IMSPREP_KILLS", "1"))):
        folder = tmp_path / str(number)
        for _ in range(4):
            with subprocess.Popen([*COMMAND, folder, "--quiet"], stdout=subprocess.DEVNULL) as run:
                timer = threading.Timer(choice.uniform(0.3, 3.0), run.kill)
                timer.start()
                run.wait()
                timer.cancel()
        finish(folder)
