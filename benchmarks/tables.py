"""The tables of a run's figures, as lines of Markdown."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import judged


def table(results: list[dict[str, Any]]) -> list[str]:
    """Return the rows of a family's table, a line for each goal."""
    lines = ["| case | against | figure | target | min | median | max | |", "|---" * 8 + "|"]
    for result in results:
        for figure, target, verdict in judged(result):
            spread = result["figures"][figure]
            numbers = " | ".join(f"{spread[key]:.3g}" for key in ("min", "median", "max"))
            words = f"{result['case']} | {result['peer']} | {figure.replace('_', ' ')}"
            lines.append(f"| {words} | {target} | {numbers} | {verdict} |")
    return lines


def measured_on(results: list[dict[str, Any]]) -> list[str]:
    """Return a line that names the machine; where there are several, which cases are of which."""
    cases: dict[str, list[str]] = {}
    for result in results:
        machine = result["machine"]
        words = (
            f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB,"
            f" {machine['system']}, Python {machine['python']}"
        )
        cases.setdefault(words, []).append(result["case"])
    if len(cases) == 1:
        return [f"Measured on {next(iter(cases))}."]
    return [
        f"- {'; '.join(dict.fromkeys(named))}: on {machine}." for machine, named in cases.items()
    ]


def costs(results: list[dict[str, Any]]) -> list[str]:
    """Return a table of the processor time in the cases whose line is on the machine.

    Seconds, medians: of the program, a real store if there is one, and the line, in our run and in
    the peer's.
    """
    shares = ("cpu_s", "store_cpu_s", "line_cpu_s")
    lines = []
    for result in results:
        medians = {name: spread["median"] for name, spread in result["figures"].items()}
        sides = [[medians.get(side + name) for name in shares] for side in ("", "peer_")]
        if "line_cpu_s" in medians:
            words = [" + ".join(f"{s:.3g}" for s in side if s is not None) for side in sides]
            lines.append(f"| {result['case']} | {words[0]} | {result['peer']} | {words[1]} |")
    head = (
        "| processor time in seconds: program, store if any, line | imsprep | against | the peer |"
    )
    return [head, "|---" * 4 + "|", *lines] if lines else []
