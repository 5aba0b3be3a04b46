"""The picture of a disk: its partitions above, what the file stores below, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from imsprep.units import format_size

WIDTH = 1000  # user units; the page scales them
_PARTITIONS_Y, _PARTITIONS_HEIGHT = 0, 84
_CELLS_Y, _CELLS_HEIGHT = 96, 44
_HEIGHT = 168
_NARROWEST = 5  # user units; so that an ESP on a large disk can still be seen


def picture(facts: Mapping[str, Any]) -> str:
    """Return the SVG, or nothing for a file without a disk in it."""
    size = facts.get("virtual_size") or facts.get("file_size") or 0
    if not size:
        return ""
    described = f"A disk of {format_size(size)}, format {facts.get('format', 'unknown')}"
    return (
        f"<svg viewBox='0 0 {WIDTH} {_HEIGHT}' role='img' preserveAspectRatio='none'"
        f" aria-label='{escape(described)}'>"
        f"<rect class='free' x='0' y='{_PARTITIONS_Y}' width='{WIDTH}' rx='8'"
        f" height='{_PARTITIONS_HEIGHT}'/>{''.join(_partitions(facts, size))}"
        f"{''.join(_cells(facts))}</svg>{_scale(size)}"
    )


def legend(facts: Mapping[str, Any]) -> str:
    """Return the meaning of the colours that were used."""
    scanned = any(cell[3] is not None for cell in facts.get("cells", []))
    names = ["data", "zeros", "hole"] if scanned else ["stored", "hole"]
    words = {"data": "data", "zeros": "zeros, stored", "stored": "stored", "hole": "hole"}
    items = "".join(f"<span><i class='{name}'></i>{words[name]}</span>" for name in names)
    free = "<span><i class='free'></i>no partition</span>" if facts.get("partitions") else ""
    hint = "" if scanned else "<span class='hint'>--scan tells data from zeros</span>"
    return f"<p class='legend'>{items}{free}{hint}</p>"


def _partitions(facts: Mapping[str, Any], size: int) -> Iterator[str]:
    for number, partition in enumerate(facts.get("partitions") or []):
        start = min(partition["start"], size)
        end = min(partition["start"] + partition["length"], size)
        x = start / size * WIDTH
        width = max(_NARROWEST, (end - start) / size * WIDTH)
        holds = partition["volume"] or partition["name"] or "partition"
        title = f"{partition['number']}: {holds}, {format_size(partition['length'])}"
        yield (
            f"<g><title>{escape(title)}</title><rect class='part p{number % 6}'"
            f" x='{min(x, WIDTH - width):.2f}' y='{_PARTITIONS_Y}' width='{width:.2f}'"
            f" height='{_PARTITIONS_HEIGHT}' rx='6'/></g>"
        )


def _cells(facts: Mapping[str, Any]) -> Iterator[str]:
    """Draw each cell as a column: data at the bottom, zeros on it, the hole above."""
    cells = facts.get("cells") or []
    total = sum(cell[1] for cell in cells)
    yield (
        f"<rect class='hole' x='0' y='{_CELLS_Y}' width='{WIDTH}' height='{_CELLS_HEIGHT}' rx='6'/>"
    )
    for start, length, stored, data in cells:
        x, width = start / total * WIDTH, length / total * WIDTH + 0.5
        bottom = _CELLS_Y + _CELLS_HEIGHT
        if data is None:
            yield from _column("stored", x, width, bottom, stored / length)
            continue
        full = min(1.0, data / length)
        yield from _column("zeros", x, width, bottom, max(full, stored / length))
        yield from _column("data", x, width, bottom, full)


def _column(kind: str, x: float, width: float, bottom: int, share: float) -> Iterator[str]:
    if share <= 0:
        return
    height = max(6.0, share * _CELLS_HEIGHT)
    yield (
        f"<rect class='{kind}' x='{x:.2f}' y='{bottom - height:.2f}' width='{width:.2f}'"
        f" height='{height:.2f}'/>"
    )


def _scale(size: int) -> str:
    marks = "".join(f"<span>{format_size(size * i // 4) if i else '0'}</span>" for i in range(5))
    return f"<div class='scale'>{marks}</div>"
