"""Draw the way of an image through imsprep: SVG, in the reader's colours, light or dark.

Values stand in boxes, what makes the next one next to the arrow, and to the right the files that a
step leaves next to the image. It is high and narrow, so that it can be read on a telephone too.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple


class Value(NamedTuple):
    """A value on the way, the modules that make it, and the files that keep it."""

    words: str
    made_by: str = ""
    kept: tuple[str, ...] = ()


# What `pipeline.prepare` does, then what `pipeline.ship` does.
STEPS = (
    (
        "prepare: nothing leaves the machine",
        (
            Value("disk.raw"),
            Value("facts, block map", "checks/gather_facts, scan/"),
            Value("findings", "checks/"),
            Value(
                "bitmap or container",
                "bitmap/, zvhd2/",
                ("disk.mf, disk.mf.json", "disk.zvhd2, disk.zvhd2.json"),
            ),
        ),
    ),
    (
        "ship: goes on where it stopped",
        (
            Value("objects in the bucket", "upload/", ("disk.raw.upload.json: journal",)),
            Value("import job", "ims/submit", ("disk.imsprep.json: manifest",)),
            Value("image", "ims/wait"),
        ),
    ),
)

WIDTH = 500
_BOX_X, _BOX_WIDTH, _BOX_HEIGHT = 32, 190, 34  # pixels, like all that follow
_FILES_X = 254
_STEP = 66  # from one box to the next
_HEAD, _GAP = 44, 12  # above the first box of a step, and between two steps

_STYLE = """\
  text { fill: #24292f; font: 13px ui-sans-serif, system-ui, sans-serif }
  .step { fill: #f6f8fa; stroke: #d0d7de }
  .value { fill: #ddf4ff; stroke: #54aeff }
  .title { font-weight: bold }
  .module, .file { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
  .arrow, .kept { fill: none; stroke: #656d76; stroke-width: 1.5 }
  .kept { stroke-dasharray: 3 3 }
  .head { fill: #656d76 }
  @media (prefers-color-scheme: dark) {
    text { fill: #d1d7e0 }
    .step { fill: #151b23; stroke: #3d444d }
    .value { fill: #121d2f; stroke: #316dca }
    .arrow, .kept { stroke: #9198a1 }
    .head { fill: #9198a1 }
  }
"""


def picture() -> str:
    """Return the picture as SVG."""
    pieces: list[str] = []
    top = 1
    for title, values in STEPS:
        height = _HEAD + (len(values) - 1) * _STEP + _BOX_HEIGHT + 16
        pieces.append(
            f'<rect class="step" x="1" y="{top}" width="{WIDTH - 2}" height="{height}" rx="8"/>\n'
            f'<text class="title" x="{WIDTH - 16}" y="{top + 24}" text-anchor="end">'
            f"{escape(title)}</text>\n"
        )
        for number, value in enumerate(values):
            y = top + _HEAD + number * _STEP
            # Into the first box of a step the arrow comes from the step before.
            above = _STEP - _BOX_HEIGHT if number else _HEAD + _GAP + 16
            pieces.append(_value(value, y, above))
        top += height + _GAP
    height = top - _GAP + 1
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img">\n<title>The way of an image through imsprep</title>\n'
        f"<style>\n{_STYLE}</style>\n{''.join(pieces)}</svg>\n"
    )


def _value(value: Value, y: int, above: int) -> str:
    """Return a box whose top is at `y`, the arrow of length `above` into it, and its files."""
    middle, centre = _BOX_X + _BOX_WIDTH // 2, y + _BOX_HEIGHT // 2
    text = (
        f'<rect class="value" x="{_BOX_X}" y="{y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}"'
        f' rx="6"/>\n<text x="{middle}" y="{centre + 5}" text-anchor="middle">'
        f"{escape(value.words)}</text>\n"
    )
    if value.made_by:
        text += (
            f'<path class="arrow" d="M{middle} {y - above}V{y - 6}"/>\n'
            f'<path class="head" d="M{middle - 4} {y - 8}h8l-4 8z"/>\n'
            f'<text class="module" x="{middle + 12}" y="{y - 11}">{escape(value.made_by)}</text>\n'
        )
    for number, name in enumerate(value.kept):
        at = centre + 18 * number - 9 * (len(value.kept) - 1)
        text += f'<text class="file" x="{_FILES_X + 6}" y="{at + 4}">{escape(name)}</text>\n'
    if value.kept:
        text += f'<path class="kept" d="M{_BOX_X + _BOX_WIDTH} {centre}H{_FILES_X}"/>\n'
    return text
