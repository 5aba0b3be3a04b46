"""The harness: cases with their targets, run side by side with the peer, as figures.

A *case* is one of our commands, the peer's command for the same work, and the goals. Both are run
in turn, `runs` times, so that a slow minute of a shared machine hits both; a ratio is taken within
each turn, and the median of the ratios is what a goal is held against. Peak memory is looked at in
a run of its own. A family of cases is a module of this package with a generator `cases(bench)`;
what its cases need, such as a server, it starts before the first and ends after the last.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.measure import Command, Run, peak_memory, timed

MIB = 1 << 20


@dataclass(frozen=True)
class Goal:
    """What a figure has to be: `Goal("ratio", ">=", 2.0)`.

    Figures that every case has: `ratio` (the peer's seconds by ours), `above_s` (ours less the
    peer's), `seconds`, `cpu_s`, `disk_mib` (what was written to files) and `memory_mib` of ours;
    `peer_seconds` and so on of the peer. Of what was made on both sides, such as `size`, there is
    also the ratio, ours by the peer's: `size_ratio`.
    """

    figure: str
    sense: str  # >= or <=
    value: float

    def met(self, got: float) -> bool:
        """Return whether a figure reaches the goal."""
        return got >= self.value if self.sense == ">=" else got <= self.value

    def __str__(self) -> str:
        return f"{self.figure} {self.sense} {self.value:g}"


def _nothing() -> None:
    pass


def _no_figures() -> Mapping[str, float]:
    return {}


@dataclass(frozen=True)
class Case:
    """One comparison. `before` is called before every run, of ours and of the peer's."""

    name: str
    ours: Command
    peer: Command | None
    peer_name: str
    goals: tuple[Goal, ...]
    before: Callable[[], None] = _nothing
    after_ours: Callable[[], Mapping[str, float]] = _no_figures  # figures of what was made
    after_peer: Callable[[], Mapping[str, float]] = _no_figures
    runs: int = 5
    memory: bool = True  # look at peak memory too
    quick: bool = False  # also in `make bench-quick`


@dataclass(frozen=True)
class Bench:
    """What a family makes its cases with: inputs, a folder for outputs, and how much to do."""

    inputs: Inputs
    folder: Path
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """Return the size in bytes that an input has in this run."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Result:
    """The figures of a case: each a list of one value per run."""

    family: str
    case: Case
    figures: dict[str, list[float]] = field(default_factory=dict)

    def median(self, figure: str) -> float:
        """Return the median of a figure."""
        return statistics.median(self.figures[figure])

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with each goal and whether it was met."""
        return {
            "family": self.family,
            "case": self.case.name,
            "peer": self.case.peer_name,
            "goals": [
                {
                    "figure": goal.figure,
                    "sense": goal.sense,
                    "value": goal.value,
                    "got": round(self.median(goal.figure), 4),
                    "met": goal.met(self.median(goal.figure)),
                }
                for goal in self.case.goals
            ],
            "figures": {
                name: {
                    "min": round(min(values), 4),
                    "median": round(statistics.median(values), 4),
                    "max": round(max(values), 4),
                }
                for name, values in sorted(self.figures.items())
            },
        }


# How the name of a case begins in which no imsprep runs: what the machine, or a library, allows.
LIMIT = "the limit: "


def judged(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return figure, target and verdict for each goal of a result of `Result.as_dict`.

    A ratio to a peer is shown without a goal too, unless the case is about another figure.
    """
    lines = [
        (
            goal["figure"],
            f"{ {'>=': '≥', '<=': '≤'}[goal['sense']] } {goal['value']:.3g}",
            "met" if goal["met"] else "**missed**",
        )
        for goal in result["goals"]
    ]
    if "ratio" in result["figures"] and {figure for figure, _, _ in lines} <= {"memory_mib"}:
        lines.insert(0, ("ratio", "", ""))
    return lines


def run_case(family: str, case: Case, *, runs: int | None = None) -> Result:
    """Run one case and return its figures."""
    result = Result(family, case)
    for _ in range(runs or case.runs):
        case.before()
        ours, made = timed(case.ours), case.after_ours()
        _note(result, "", ours, made)
        if case.peer is not None:
            case.before()
            peer, peers = timed(case.peer), case.after_peer()
            _note(result, "peer_", peer, peers)
            for name in sorted(made.keys() & peers.keys()):
                result.figures.setdefault(f"{name}_ratio", []).append(made[name] / peers[name])
            result.figures.setdefault("ratio", []).append(peer.seconds / ours.seconds)
            result.figures.setdefault("above_s", []).append(ours.seconds - peer.seconds)
    if case.memory:
        case.before()
        result.figures["memory_mib"] = [peak_memory(case.ours) / MIB]
        if case.peer is not None:
            case.before()
            result.figures["peer_memory_mib"] = [peak_memory(case.peer) / MIB]
    return result


def _note(result: Result, prefix: str, run: Run, made: Mapping[str, float]) -> None:
    figures = {"seconds": run.seconds, "cpu_s": run.cpu_s, "disk_mib": run.written / MIB}
    figures |= {**run.reported, **made}
    for name, value in figures.items():
        result.figures.setdefault(prefix + name, []).append(value)


def drop_caches() -> None:
    """Make every file cold: flush, and let the kernel forget (needs root)."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def warm(path: Path) -> None:
    """Read a file once, so that it lies in the page cache; holes are skipped."""
    file = os.open(path, os.O_RDONLY)
    try:
        for start, stop in data_ranges(file):
            for offset in range(start, stop, 8 * MIB):
                os.pread(file, min(8 * MIB, stop - offset), offset)
    finally:
        os.close(file)


def data_ranges(file: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of bytes of a file that is no hole."""
    end, offset = os.fstat(file).st_size, 0
    while offset < end:
        try:
            start = os.lseek(file, offset, os.SEEK_DATA)
        except OSError:
            return
        offset = os.lseek(file, start, os.SEEK_HOLE)
        yield start, offset
