"""Draw a run's figures: `python -m benchmarks.draw RESULTS.json` writes docs/benchmarks.md.

One picture for each family, as SVG in docs/pictures; its colours can be read on white and black.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "imsprep",  # the same figures give the same file
        "font.size": 11,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), "#8a8f98"),
        **dict.fromkeys(("xtick.color", "ytick.color"), "#8a8f98"),
    }
)
import matplotlib.pyplot as plt  # noqa: E402 - after the backend is chosen

from benchmarks.harness import LIMIT, judged  # noqa: E402 - the same
from benchmarks.tables import costs, measured_on, table  # noqa: E402 - the same

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "pictures"
OURS, MISSED, TARGET, QUIET = "#2f81f7", "#d29922", "#e5534b", "#8a8f98"

TITLES = {
    "scan": "The scan",
    "container": "Checking a ZVHD2 file",
    "convert": "Converting to ZVHD2",
    "upload": "The upload",
    "stream": "Packing while sending",
    "guest": "The look inside",
    "growth": "How the cost of a scan grows",
}
HEAD = """\
# Measured results

Each figure compares imsprep with another program, the peer, that does the same work. Both are run
in turn on one machine: a ratio of 2 means that the peer takes twice as long. The median of the
ratios is compared with the target. Absolute times belong to the machine. `make bench` makes the
inputs and measures all of it again; `make bench-quick` takes some minutes and smaller inputs;
`python -m benchmarks scan` one family. Peak memory is that of all processes of a command together.
In a case that is called a limit (grey in the pictures) no imsprep runs: it says what memory, or the
library both use, allows.

The family `stream` needs the object store of `make e2e`, `aws`, `qemu-img` and `strace`. Its line
lets 20 or 125 MB pass in a second, to a bucket on loopback that receives, counts and keeps nothing:
what a real store hashes and writes takes no time of the machine that packs, but where both share
it. Only the import goes to a real store, since the service reads the object. `first_byte_s` is from
the start of the process to the first byte of a part on the line, `disk_mib` what was written to
files, `read_share` the bytes that were read from the image by those of its data, counted by strace
in a run of its own. Packing and sending at the same time is compared with the longer of both alone.
No run takes less than all processor time by the number of cores; a table says how much that is, and
what of it is the line's.

This page and its pictures are written by `python -m benchmarks.draw benchmarks/results.json`.
"""


def main() -> None:
    """Write the page and the pictures of one file of results."""
    run = json.loads(Path(sys.argv[1]).read_text())
    PICTURES.mkdir(parents=True, exist_ok=True)
    text = HEAD
    families = list(dict.fromkeys(result["family"] for result in run["results"]))
    for family in families:
        results = [result for result in run["results"] if result["family"] == family]
        draw = growth if family == "growth" else bars
        name = f"bench-{family}.svg"
        if draw(results, PICTURES / name):
            text += f"\n## {TITLES[family]}\n\n![{TITLES[family]}](pictures/{name})\n"
        else:
            text += f"\n## {TITLES[family]}\n"
        text += "\n" + "\n".join([*measured_on(results), "", *table(results)]) + "\n"
        if lines := costs(results):
            text += "\n" + "\n".join(lines) + "\n"
    PAGE.write_text(text)


def bars(results: list[dict[str, Any]], path: Path) -> bool:
    """Draw the ratio of every case that has a peer, with its target; False if there is none.

    The scale is logarithmic: twice as fast is as far from 1 as half as fast.
    """
    rows = [
        (result, next((g for g in result["goals"] if g["figure"] == "ratio"), None))
        for result in results
        if "ratio" in [figure for figure, _, _ in judged(result)]
    ]
    if not rows:
        return False
    figure, axes = plt.subplots(figsize=(9, 0.8 + 0.62 * len(rows)))
    axes.set_xscale("log")
    least, most = 0.5, 2.0
    for y, (result, goal) in enumerate(reversed(rows)):
        spread = result["figures"]["ratio"]
        value = spread["median"]
        error = [[value - spread["min"]], [spread["max"] - value]]
        colour = MISSED if goal and not goal["met"] else OURS
        if result["case"].startswith(LIMIT):
            colour = QUIET
        axes.barh(
            y, value - 1, left=1, height=0.5, color=colour, xerr=error, ecolor=QUIET, capsize=3
        )
        target = goal["value"] if goal else value
        if goal:
            axes.plot([target] * 2, [y - 0.36, y + 0.36], color=TARGET, linewidth=2)
        right = max(spread["max"], target, 1)
        axes.text(right * 1.06, y, f"{value:.2g}×", va="center")
        least, most = min(least, spread["min"]), max(most, right * 1.4)
    axes.set_xlim(least / 1.1, most)
    ticks = [tick for tick in (0.1, 0.25, 0.5, 1, 2, 4, 10, 20, 40) if least <= tick <= most]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(
        range(len(rows)), [f"{r['case']}\nagainst {r['peer']}" for r, _ in reversed(rows)]
    )
    axes.tick_params(axis="y", labelsize=9)
    axes.axvline(1, color=QUIET, linewidth=0.8)
    axes.set_xlabel("times as fast as the peer; the red mark is the target")
    _save(figure, axes, path)
    return True


def growth(results: list[dict[str, Any]], path: Path) -> bool:
    """Draw seconds over size, a line for each share of data, and memory below."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, height_ratios=[2, 1])
    lines: dict[float, list[tuple[float, float, float]]] = {}
    for result in results:
        median = {name: spread["median"] for name, spread in result["figures"].items()}
        point = (median["size_gib"], median["seconds"], median["memory_mib"])
        lines.setdefault(median["share"], []).append(point)
    for n, (share, points) in enumerate(sorted(lines.items())):
        sizes, seconds, memory = zip(*sorted(points), strict=True)
        colour = ("#2f81f7", "#3fb950", "#d29922", "#a371f7")[n % 4]
        label = f"{share:.2g} % data"
        above.plot(sizes, seconds, "o-", color=colour, label=label)
        below.plot(sizes, memory, "o-", color=colour)
    above.set_ylim(bottom=0)
    above.set_ylabel("seconds, cold cache")
    above.legend(frameon=False, labelcolor="linecolor")
    below.set_xscale("log", base=2)
    sizes = [4**n for n in range(6)]
    below.set_xticks(sizes, [str(size) for size in sizes])
    below.set_ylim(0, 160)
    below.axhline(150, color=TARGET, linewidth=1)
    below.set_ylabel("MiB of memory")
    below.set_xlabel("size of the image, GiB")
    for axes in (above, below):
        axes.grid(color=QUIET, alpha=0.2)
    _save(figure, below, path, above)
    return True


def _save(figure: Any, *rest: Any) -> None:
    path = next(item for item in rest if isinstance(item, Path))
    for axes in rest:
        if axes is not path:
            axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
