"""Run one command and measure it: seconds, processor time, peak memory of it and its children."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

_SAMPLE_S = 0.01  # between two looks at the memory


@dataclass(frozen=True)
class Command:
    """A command line to measure.

    With `reports`, the command measures itself: the last line that it prints is JSON with
    `seconds` (and anything else, which becomes a figure of the case). It is for what has no whole
    process of its own, such as one pass of a reduction over memory.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[int, ...] = (0,)  # exit codes that count as done
    reports: bool = False


@dataclass(frozen=True)
class Run:
    """How one run went; memory in bytes, None if it was not looked at."""

    seconds: float
    cpu_s: float
    written: int = 0  # bytes into files on a disk
    memory: int | None = None
    reported: Mapping[str, float] = field(default_factory=dict)


def command(*argv: object, **options: object) -> Command:
    """Make a Command of words and paths."""
    return Command(tuple(str(word) for word in argv), **options)  # type: ignore[arg-type]  # by name


def timed(command: Command) -> Run:
    """Run a command and nothing else; SystemExit if it fails."""
    start = time.perf_counter()
    process = _start(command, subprocess.PIPE if command.reports else subprocess.DEVNULL)
    output = b""
    if process.stdout:
        with process.stdout:
            output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    _check(process.returncode, command)
    reported = json.loads(output.splitlines()[-1]) if command.reports else {}
    seconds = reported.pop("seconds", seconds)
    cpu_s, written = usage.ru_utime + usage.ru_stime, usage.ru_oublock * 512
    return Run(seconds, cpu_s, written, reported=reported)


def peak_memory(command: Command) -> int:
    """Return the largest resident memory of a command and its children together, in bytes.

    Pages that two of them share count twice, so the figure is rather too high than too low. The
    looking costs time, so that this run is not one that is timed.
    """
    process = _start(command, subprocess.DEVNULL)
    family, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        resident = 0
        try:
            members = [family, *family.children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        for member in members:
            try:
                resident += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, resident)
        time.sleep(_SAMPLE_S)
    _check(process.wait(), command)
    return peak


def _start(command: Command, stdout: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command.argv,
        env={**_environment(), **command.env},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=None if os.environ.get("BENCH_STDERR") else subprocess.DEVNULL,
    )


def _environment() -> dict[str, str]:
    """Return the environment, with Python's bytecode kept: an installed program has it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _check(code: int, command: Command) -> None:
    if code not in command.codes:
        words = " ".join(command.argv)
        raise SystemExit(f"{words} ended with {code} (BENCH_STDERR=1 shows what it said)")
