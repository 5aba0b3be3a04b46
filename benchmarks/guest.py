"""How long does `imsprep check --guest` take, and how much memory?

    python benchmarks/guest.py build/guest-images/debian-full.raw [--runs 5]

Prints for each image the median of the wall clock and the largest resident set of any process of
the run (the child that inspects included). The first run is not counted: it warms the page cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


def measure(command: list[str]) -> tuple[float, int]:
    """Run a command; return seconds and the largest resident set in bytes."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.monotonic() - started, usage.ru_maxrss * 1024


def child_peak(image: Path) -> int:
    """Return the largest resident set of the inspecting child alone, in bytes."""
    command = [sys.executable, "-m", "imsprep.guest.child", str(image), str(1 << 30)]
    return measure(command)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    print("| image | seconds | RSS of the command | RSS of the child |\n|---|---|---|---|")
    for image in arguments.images:
        command = [sys.executable, "-m", "imsprep", "check", "--guest", str(image)]
        measure(command)
        runs = [measure(command) for _ in range(arguments.runs)]
        seconds = statistics.median(seconds for seconds, _ in runs)
        peaks = (max(peak for _, peak in runs), child_peak(image))
        shown = " | ".join(f"{peak / (1 << 20):.0f} MiB" for peak in peaks)
        print(f"| {image.name} | {seconds:.2f} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
