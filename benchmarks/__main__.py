"""Run the benchmarks: `python -m benchmarks [FAMILY...] [--quick]`.

Each family is a module with `cases(bench)`. A table goes to stdout, the figures to a JSON file. A
target that is missed stands in the table as missed; the exit code is 0 all the same, since these
figures belong to the machine as much as to the program.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, Result, judged, run_case
from benchmarks.inputs import Inputs

FAMILIES = ("scan", "container", "convert", "upload", "stream", "guest", "growth")
QUICK_RUNS = 3
HEAD = "| case | peer | figure | target | min | median | max | |\n" + "|---" * 8 + "|"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)}")
    parser.add_argument("--quick", action="store_true", help="smaller inputs, the quick cases")
    parser.add_argument("--runs", type=int, help="instead of each case's own number")
    parser.add_argument("--only", default="", help="cases whose NAME | PEER holds this text")
    parser.add_argument("--folder", type=Path, default=Path("bench-run"), help="room for 60 GiB")
    parser.add_argument(
        "--output", type=Path, help="put the figures here, as JSON, in the place of older ones"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.families) - set(FAMILIES)
    if unknown:
        parser.error(f"no such family: {', '.join(sorted(unknown))}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(Inputs(arguments.folder / "inputs"), arguments.folder, arguments.quick)
    print(HEAD, flush=True)
    for family in arguments.families or FAMILIES:
        for case in importlib.import_module(f"benchmarks.{family}").cases(bench):
            chosen = arguments.only in f"{case.name} | {case.peer_name}"
            if chosen and (case.quick or not arguments.quick):
                few = min(case.runs, QUICK_RUNS) if arguments.quick else None
                result = run_case(family, case, runs=arguments.runs or few)
                print(*rows(result), sep="\n", flush=True)
                if arguments.output:
                    keep(arguments.output, result.as_dict())


def keep(path: Path, result: dict[str, Any]) -> None:
    """Put one case's figures and the machine into a file: each case once, family by family."""
    result = {**result, "machine": machine()}
    run = json.loads(path.read_text()) if path.exists() else {"results": []}

    def place(one: dict[str, Any]) -> tuple[str, str, str]:
        return one["family"], one["case"], one["peer"]

    results = [result if place(one) == place(result) else one for one in run["results"]]
    if result not in results:
        results.append(result)
    results.sort(key=lambda one: FAMILIES.index(one["family"]))
    path.write_text(json.dumps({"results": results}, indent=1) + "\n")


def rows(result: Result) -> list[str]:
    """Return the lines of the table for one case: one for each goal, or one for its ratio."""
    made, case = result.as_dict(), result.case
    lines = []
    for figure, target, verdict in judged(made):
        spread = made["figures"][figure]
        numbers = " | ".join(f"{spread[key]:.3g}" for key in ("min", "median", "max"))
        words = f"{case.name} | {case.peer_name} | {figure}"
        lines.append(f"| {words} | {target} | {numbers} | {verdict} |")
    return lines


def machine() -> dict[str, Any]:
    """Return what the figures depend on, without the machine's name."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)),
    }


if __name__ == "__main__":
    sys.exit(main())
