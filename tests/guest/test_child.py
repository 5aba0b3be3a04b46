"""The process that looks inside: what it tells, line by line, and when it is interrupted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imsprep.guest import child, sandbox
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.model import Entry, Guest
from imsprep.guest.sandbox import MEMORY_LIMIT, inspect_image
from imsprep.guest.tree import Budget
from tests.support.guest.disks import make_filesystem, write_tree
from tests.support.guest.rules import check_guest as check
from tests.support.guest.trees import debian
from tests.support.running import need


def loop() -> None:
    while True:
        pass


def test_python_code_that_loops_is_interrupted_and_nothing_more_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "CPU_ENOUGH_S", 0.05)
    budget = Budget()
    with pytest.raises(UnreadableError, match="processor time"), child.ended_in_time(budget):
        loop()
    with pytest.raises(UnreadableError, match="processor time"):
        budget.take(lookups=1)


@pytest.mark.slow
@need("mkfs.ext4")
def test_wherever_an_answer_is_cut_off_what_is_left_of_it_is_true(tmp_path: Path) -> None:
    pytest.importorskip("pyfsext")
    files = {**debian(), "/etc/shadow": "root::19000:0:99999:7:::\n", "/etc/machine-id": "0" * 32}
    write_tree(tmp_path / "tree", files)
    make_filesystem("ext4", tmp_path / "tree", tmp_path / "fs.img")
    command = [sys.executable, "-m", "imsprep.guest.child", tmp_path / "fs.img", str(MEMORY_LIMIT)]
    answer = subprocess.run(command, check=True, capture_output=True).stdout
    whole = sandbox.guest_of(answer, "fs.img", None)
    assert whole == inspect_image(tmp_path / "fs.img")
    found = {f.rule: f.message for f in check(whole)[0]}
    assert len(found) == 2
    kept = set()
    ends = [match.end() for match in re.finditer(b"\n", answer)]
    for end in [*ends[:-1], *range(0, ends[-2], 97)]:
        guest = sandbox.guest_of(answer[:end], "fs.img", "killed")
        assert guest.unread == ("killed",)
        assert "killed" in guest.gaps.values() or not guest.volumes
        assert guest.files.items() <= whole.files.items()
        findings, skipped = check(guest)
        part = {f.rule: f.message for f in findings}
        assert part.items() <= found.items()
        assert found.keys() <= part.keys() | {s.rule for s in skipped}
        kept.add(len(part))
    assert kept == {0, 1, 2}


def test_files_of_a_system_that_could_not_be_read_are_not_another_systems(
    capsys: pytest.CaptureFixture[str],
) -> None:
    teller = child.Teller()
    one, other = {"/etc/fstab": Entry("file")}, {"/etc/issue": Entry("file")}
    teller.tell(Guest(system="linux", root="partition 1", files=one))
    teller.tell(Guest(system="linux", root="partition 1", files=other))
    last = Guest(system="linux", root="partition 1", files={**other, **one})
    teller.tell(last)
    lines = capsys.readouterr().out.encode().split(b"\n\n")
    for number, files in enumerate([one, other, last.files], 1):
        assert sandbox.guest_of(b"\n\n".join(lines[:number]), "", None).files == files


def test_a_line_has_what_is_new_since_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    teller, one = child.Teller(), {"/etc/fstab": Entry("file")}
    teller.tell(Guest(table="gpt"))
    teller.tell(Guest(table="gpt", files=one))
    teller.tell(Guest(table="gpt", system="linux", files={**one, "/etc/issue": Entry("file")}))
    first, second, third = map(json.loads, capsys.readouterr().out.split("\n\n"))
    assert (first["table"], first["system"], first["files"]) == ("gpt", None, {})
    assert (second.keys(), list(second["files"])) == ({"files"}, ["/etc/fstab"])
    assert (third["system"], list(third["files"])) == ("linux", ["/etc/issue"])
    assert third.keys() == {"system", "files"}


def test_after_the_end_of_the_block_nothing_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "CPU_ENOUGH_S", 0.02)
    budget = Budget()
    with child.ended_in_time(budget):
        pass
    start = time.process_time()
    while time.process_time() - start < 0.06:
        pass
    assert not budget.spent
