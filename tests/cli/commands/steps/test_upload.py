from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from imsprep.errors import ServiceError
from imsprep.store.directory import DirectoryStore
from imsprep.units import MIB
from tests.support.running import Outcome
from tests.support.store.suite import pattern

Run = Callable[..., Outcome]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with open(path, "wb") as file:
        file.write(pattern(12 * MIB))
        file.seek(200 * MIB)
        file.write(pattern(20 * MIB + 512, 2))
        file.truncate(300 * MIB)
    return path


@pytest.mark.slow
def test_an_upload_copies_the_zeros_and_says_so(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    done = imsprep("upload", disk, "--to", f"local:{tmp_path}/cloud", "--json")
    assert done.code == 0
    assert done.json["sent"] < 34 * MIB
    assert done.json["sent"] + done.json["copied"] == 300 * MIB
    assert (tmp_path / "cloud/images/disk.raw").read_bytes() == disk.read_bytes()
    again = imsprep("upload", disk, "--to", f"local:{tmp_path}/cloud")
    assert again.code == 0
    assert "is there already" in again.out


@pytest.mark.slow
def test_without_copies_everything_travels(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    done = imsprep(
        "upload", disk, "--to", f"local:{tmp_path}/cloud", "--no-copy", "--key", "a/b", "--json"
    )
    assert done.json["sent"] == 300 * MIB
    assert (tmp_path / "cloud/images/a/b").read_bytes() == disk.read_bytes()


def test_a_dry_run_sends_nothing(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    shown = imsprep("upload", disk, "--to", f"local:{tmp_path}/cloud", "--dry-run")
    assert shown.code == 0
    assert "of zeros to copy" in shown.out
    assert not (tmp_path / "cloud").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nothing.raw", "--to", "local:cloud"], 3),
        (["disk.raw", "--to", "s3:bucket"], 2),
        (["disk.raw", "--to", "obs:No_Bucket"], 2),
        (["disk.raw", "--to", "obs:bucket"], 2),  # no region
        (["disk.raw", "--to", "local:cloud", "--part-size", "1m"], 2),
        (["empty.raw", "--to", "local:cloud"], 2),
    ],
)
def test_what_cannot_be_uploaded_ends_with_one_sentence(
    imsprep: Run, disk: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.chdir(disk.parent)
    (disk.parent / "empty.raw").touch()
    ended = imsprep("upload", *arguments)
    assert ended.code == code
    assert ended.err.count("\n") == 1


def test_what_was_left_is_listed_and_aborted(imsprep: Run, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "images")
    upload_id = store.create("disk.raw", {})
    zeros = "imsprep-zeros/" + "0a" * 16
    for key in (zeros, f"{zeros}-3", "imsprep-zeros/notes.txt"):
        store.put(key, bytes(10))
    to = ("--to", f"local:{tmp_path}")
    heading, first, *rest = imsprep("uploads", "list", *to).out.splitlines()
    assert heading.split() == ["kind", "begun", "upload", "id", "object", "or", "file"]
    assert first.index(upload_id) == heading.index("upload id")
    assert [line.split() for line in rest] == [["zeros", zeros], ["zeros", f"{zeros}-3"]]
    assert imsprep("uploads", "abort", *to).code == 2
    assert imsprep("uploads", "abort", *to, "--key", "other").out == "nothing to clean up\n"
    assert imsprep("uploads", "abort", *to, "--all", "--json").json["zero_objects"] == [
        zeros,
        f"{zeros}-3",
    ]
    assert store.head("imsprep-zeros/notes.txt") is not None
    assert imsprep("uploads", "list", *to).out == "nothing to clean up\n"


@pytest.mark.slow
def test_another_part_size_starts_anew_and_says_why(
    imsprep: Run, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise ServiceError("403 not today", code="AccessDenied")

    to = ("--to", f"local:{tmp_path}/cloud")
    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, "complete", refuse)
        ended = imsprep("upload", disk, *to, "--no-copy")
    assert (ended.code, ended.err.count("403 not today")) == (6, 1)
    done = imsprep("upload", disk, *to, "--no-copy", "--part-size", "10m", "-q")
    assert done.err == (
        "imsprep: disk.raw was started from the beginning: the plan of its parts is another one\n"
    )
    store = DirectoryStore(tmp_path / "cloud" / "images")
    assert store.read("disk.raw", 0, 301 * MIB) == disk.read_bytes()
    assert store.list_uploads() == []


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("slow", ["a limit", "a server that does not answer"])
def test_an_interruption_ends_it_at_once_and_says_how_to_go_on(
    sent: signal.Signals, code: int, slow: str, disk: Path, tmp_path: Path
) -> None:
    with silent_server() as url:
        to = [f"local:{tmp_path}/cloud", "--limit-rate", "1k"]
        if slow != "a limit":
            to = ["obs:bucket", "--region", "x", "--endpoint", url]
        keys = {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "SK"}
        process = subprocess.Popen(
            [sys.executable, "-m", "imsprep", "upload", str(disk), "--to", *to],
            env={**os.environ, **keys}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            time.sleep(3)
            process.send_signal(sent)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == code
    assert "run the same command again to continue" in said
    assert "Traceback" not in said


def test_progress_tells_what_travelled_from_what_was_copied(
    imsprep: Run, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.cli.progress.bars.LINE_S", 0.0)
    done = imsprep("upload", disk, "--to", f"local:{tmp_path}/cloud", "--jobs", "1")
    last = [line for line in done.err.splitlines() if line.startswith("upload: ")][-1]
    assert re.fullmatch(r"upload: \d+%; .*/3.* MiB sent, .*; .*/26.* MiB copied, .*", last), last


@pytest.mark.parametrize("option", ["--limit-rate", "--part-size"])
@pytest.mark.parametrize("value", ["0", "-1", "nan"])
def test_a_size_that_makes_no_sense_is_a_usage_error(
    imsprep: Run, disk: Path, option: str, value: str
) -> None:
    assert imsprep("upload", disk, "--to", f"local:{disk.parent}/c", option, value).code == 2


@pytest.mark.slow
def test_killed_at_random_instants_it_continues_with_the_same_object(
    disk: Path, tmp_path: Path
) -> None:
    kills = int(os.environ.get("IMSPREP_KILLS", "6"))
    random = Random(1)
    command = [sys.executable, "-m", "imsprep", "upload", str(disk), "--part-size", "10m", "-q"]
    for round_ in range(kills):
        to = ["--to", f"local:{tmp_path}/cloud{round_}"]
        process = subprocess.Popen([*command, *to], stdout=subprocess.DEVNULL)
        try:
            process.wait(random.uniform(0.2, 1.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run([*command, *to], check=True, stdout=subprocess.DEVNULL)
        assert (tmp_path / f"cloud{round_}/images/disk.raw").read_bytes() == disk.read_bytes()
        store = DirectoryStore(tmp_path / f"cloud{round_}/images")
        assert [o.key for o in store.list_objects()] == ["disk.raw"]


@pytest.mark.slow
def test_an_object_of_somebody_else_is_replaced_only_when_asked(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "cloud/images/disk.raw"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("somebody's")
    arguments = ("upload", disk, "--to", f"local:{tmp_path}/cloud")
    for more in ((), ("--dry-run",), ("--force",)):
        done = imsprep(*arguments, *more)
        assert done.code == 2
        assert "imsprep did not make it: it is not replaced" in done.err
        assert "--replace replaces it" in done.err
        assert theirs.read_text() == "somebody's"
    assert imsprep(*arguments, "--replace").code == 0
    assert theirs.read_bytes() == disk.read_bytes()


@pytest.mark.slow
def test_a_changed_target_names_the_command_that_clears_the_old_one(
    imsprep: Run, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise ServiceError("403 not today", code="AccessDenied")

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, "complete", refuse)
        imsprep("upload", disk, "--to", f"local:{tmp_path}/a b?bucket=one", "--no-copy")
    done = imsprep("upload", disk, "--to", f"local:{tmp_path}/c", "--no-copy", "-q")
    (line,) = [line for line in done.err.splitlines() if "uploads abort" in line]
    command = shlex.split(line.partition("upload left: imsprep ")[2])
    old = DirectoryStore(tmp_path / "a b" / "one")
    assert len(old.list_uploads()) == 1
    assert imsprep(*command).code == 0
    assert old.list_uploads() == []


def test_nothing_is_left_of_zeros_and_files_of_a_killed_command_are_found(
    imsprep: Run, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    to = ("--to", f"local:{tmp_path}/cloud")
    assert imsprep("upload", disk, *to).code == 0
    assert sorted(os.listdir(tmp_path / "cloud/images")) == [".objects", ".uploads", "disk.raw"]
    left = [
        tmp_path / f".disk.zvhd2.{'a' * 16}.part",
        tmp_path / f"cloud/images/.x.{'b' * 16}.part",
    ]
    for path in left:
        path.write_bytes(b"half")
    shown = imsprep("uploads", "list", *to)
    assert [shown.out.count(path.name) for path in left] == [1, 1]
    assert imsprep("uploads", "abort", *to, "--all").code == 0
    assert not any(path.exists() for path in left)
    assert imsprep("uploads", "list", *to).out == "nothing to clean up\n"
