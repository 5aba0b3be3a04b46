"""The benchmarks' harness: its figures and goals. Nothing is timed here."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="not installed: psutil")

from benchmarks.__main__ import FAMILIES, keep, rows
from benchmarks.harness import MIB, Case, Goal, Result, run_case
from benchmarks.inputs import Inputs
from benchmarks.measure import command, peak_memory, timed


def reporting(seconds: float, **figures: float) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"import json; print(json.dumps({dict(seconds=seconds, **figures)!r}))",
    ]


def made(*goals: Goal, ours: float = 1.0, peer: float = 3.0) -> Result:
    case = Case(
        "a case", command(*reporting(ours, wire=5), reports=True),
        command(*reporting(peer), reports=True), "a peer", goals, runs=3, memory=False,
    )  # fmt: skip
    return run_case("family", case)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_that_is_offered_has_cases(family: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{family}").cases)


def test_a_ratio_is_the_peers_time_by_ours() -> None:
    result = made(Goal("ratio", ">=", 2.5), Goal("wire", "<=", 4))
    assert result.median("ratio") == 3.0
    assert [goal["met"] for goal in result.as_dict()["goals"]] == [True, False]
    assert rows(result) == [
        "| a case | a peer | ratio | ≥ 2.5 | 3 | 3 | 3 | met |",
        "| a case | a peer | wire | ≤ 4 | 5 | 5 | 5 | **missed** |",
    ]


def test_a_ratio_without_a_goal_is_shown_and_not_judged() -> None:
    shown = "| a case | a peer | ratio |  | 3 | 3 | 3 |  |"
    assert rows(made()) == [shown]
    assert shown not in rows(made(Goal("wire", "<=", 5)))


def test_what_both_made_is_compared() -> None:
    case = Case(
        "a case", command(*reporting(1), reports=True), command(*reporting(1), reports=True),
        "a peer", (Goal("size_ratio", "<=", 1),), runs=1, memory=False,
        after_ours=lambda: {"size": 30.0}, after_peer=lambda: {"size": 40.0},
    )  # fmt: skip
    assert run_case("family", case).median("size_ratio") == 0.75


def test_the_figures_of_a_case_take_the_place_of_its_older_ones(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for family, case, seconds in [
        ("upload", "a", 1), ("scan", "b", 2), ("scan", "c", 3), ("upload", "a", 4), ("scan", "b", 5),
    ]:  # fmt: skip
        keep(path, {"family": family, "case": case, "peer": "p", "seconds": seconds})
    results = json.loads(path.read_text())["results"]
    found = [(one["family"], one["case"], one["seconds"]) for one in results]
    assert found == [("scan", "b", 5), ("scan", "c", 3), ("upload", "a", 4)]


def test_a_command_that_fails_stops_the_run() -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        timed(command(sys.executable, "-c", "raise SystemExit(3)"))


def test_memory_counts_the_children() -> None:
    hold = "import time; held = bytearray(64 << 20); time.sleep(0.4)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}], check=True)"
    assert peak_memory(command(sys.executable, "-c", parent)) > 64 * MIB


def test_inputs_hold_what_their_names_say(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path)
    zeros, random = inputs.zeros(MIB), inputs.random(MIB)
    assert zeros.read_bytes() == bytes(MIB)
    assert zeros.stat().st_blocks * 512 >= MIB  # written, no hole
    assert len(set(random.read_bytes())) == 256
    assert inputs.zeros(MIB).stat().st_ino == zeros.stat().st_ino  # made once
    quarter = inputs.share(128 * MIB, 25)
    assert quarter.stat().st_blocks * 512 == 32 * MIB
    extents = inputs.extents(64 * MIB, 4, MIB)
    assert extents.stat().st_blocks * 512 == MIB
