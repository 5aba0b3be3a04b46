"""The picture of a disk: what is partitioned, and what the file stores, each bar with its label."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from imsprep.report import FactValues, PartitionValues, disk_size
from imsprep.units import format_size

WIDTH = 1000  # user units; the page scales them
_PARTITIONS_HEIGHT, _CELLS_HEIGHT = 60, 44
_NARROWEST = 5  # user units; so that an ESP on a large disk can still be seen
# A hole is hatched, what has no partition plain: the one is of the file, the other of the disk.
_HATCH = (
    "<defs><pattern id='hatch' width='8' height='8' patternUnits='userSpaceOnUse'"
    " patternTransform='rotate(45)'><rect class='hole' width='8' height='8'/>"
    "<rect class='hatch' width='2' height='8'/></pattern></defs>"
)


def picture(facts: FactValues) -> object:
    """Return the two bars as HTML, or nothing for a file without a disk in it."""
    from markupsafe import Markup

    size = disk_size(facts)
    if not size:
        return ""
    parts = []
    if facts.get("partitions"):
        shown = "".join(_partitions(facts, size))
        free = f"<rect class='free' width='{WIDTH}' height='{_PARTITIONS_HEIGHT}'/>"
        bar = _bar("Partitions", _PARTITIONS_HEIGHT, free + shown, _partition_legend(facts))
        parts.append(bar + _scale(size))
    if facts.get("cells"):
        whole = f"<rect fill='url(#hatch)' width='{WIDTH}' height='{_CELLS_HEIGHT}'/>"
        drawn = _HATCH + whole + "".join(_cells(facts))
        bar = _bar("What the file stores", _CELLS_HEIGHT, drawn, _cell_legend(facts))
        start, length = facts["cells"][-1][:2]  # of a container they divide the file, not the disk
        parts.append(bar + _scale(start + length))
    if not parts:
        return ""
    return Markup("<div class='picture'>" + "".join(parts) + "</div>")


def _bar(label: str, height: int, inside: str, legend: str) -> str:
    return (
        f"<div class='bar'><h3>{label}</h3>{legend}<svg viewBox='0 0 {WIDTH} {height}' role='img'"
        f" preserveAspectRatio='none' style='height:{height}px' aria-label='{label}'>{inside}</svg>"
        "</div>"
    )


def _partition_legend(facts: FactValues) -> str:
    items = [
        f"<span><i class='part p{number % 6}'></i>{escape(_named(partition))}</span>"
        for number, partition in enumerate(facts["partitions"])
    ]
    return f"<p class='legend'>{''.join(items)}<span><i class='free'></i>no partition</span></p>"


def _named(partition: PartitionValues) -> str:
    holds = partition["volume"] or partition["name"] or "partition"
    return f"{partition['number']}: {holds}, {format_size(partition['length'])}"


def _cell_legend(facts: FactValues) -> str:
    scanned = any(cell[3] is not None for cell in facts["cells"])
    names = ["data", "zeros", "hole"] if scanned else ["stored", "hole"]
    words = {"data": "data", "zeros": "zeros, stored", "stored": "stored", "hole": "hole"}
    items = "".join(f"<span><i class='{name}'></i>{words[name]}</span>" for name in names)
    hint = "" if scanned else "<span class='hint'>a scan tells data from zeros</span>"
    return f"<p class='legend'>{items}{hint}</p>"


def _partitions(facts: FactValues, size: int) -> Iterator[str]:
    for number, partition in enumerate(facts["partitions"]):
        start = min(partition["start"], size)
        end = min(partition["start"] + partition["length"], size)
        x = start / size * WIDTH
        width = max(_NARROWEST, (end - start) / size * WIDTH)
        yield (
            f"<g><title>{escape(_named(partition))}</title><rect class='part p{number % 6}'"
            f" x='{min(x, WIDTH - width):.2f}' y='0' width='{width:.2f}'"
            f" height='{_PARTITIONS_HEIGHT}'/></g>"
        )


def _cells(facts: FactValues) -> Iterator[str]:
    """Draw each cell as a column: data at the bottom, zeros on it, the hole above."""
    cells = facts["cells"]
    total = sum(cell[1] for cell in cells)
    for start, length, stored, data in cells:
        x, width = start / total * WIDTH, length / total * WIDTH + 0.5
        if data is None:
            yield from _column("stored", x, width, stored / length)
            continue
        full = min(1.0, data / length)
        yield from _column("zeros", x, width, max(full, stored / length))
        yield from _column("data", x, width, full)


def _column(kind: str, x: float, width: float, share: float) -> Iterator[str]:
    if share <= 0:
        return
    height = max(6.0, share * _CELLS_HEIGHT)
    yield (
        f"<rect class='{kind}' x='{x:.2f}' y='{_CELLS_HEIGHT - height:.2f}' width='{width:.2f}'"
        f" height='{height:.2f}'/>"
    )


def _scale(size: int) -> str:
    marks = "".join(f"<span>{format_size(size * i // 4) if i else '0'}</span>" for i in range(5))
    return f"<div class='scale'>{marks}</div>"
