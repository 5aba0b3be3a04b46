"""Draw a session as a picture of a terminal: SVG, in the reader's colours, light or dark.

What is drawn stands in a page as text too, and the tests see that it happens so. The terminal is
narrow, so that it can be read on a telephone; paragraphs are wrapped again for it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from html import escape

from imsprep.checks.reporters.text import WIDTH

COLUMNS = 60
_FONT, _LINE, _MARGIN, _BAR = 13, 18, 16, 34  # pixels
_WIDTH = 0.602  # of a letter of a monospaced font, as a share of its size

_FAMILY = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"
_STYLE = """\
  text { fill: #24292f; white-space: pre }
  .window { fill: #f6f8fa; stroke: #d0d7de }
  .prompt { fill: #116329; font-weight: bold }
  .command { font-weight: bold }
  @media (prefers-color-scheme: dark) {
    text { fill: #d1d7e0 }
    .window { fill: #151b23; stroke: #3d444d }
    .prompt { fill: #57ab5a }
  }
"""


def picture(session: str, title: str) -> str:
    """Return a session, commands behind `$ ` and what they print, as SVG."""
    lines = [row for line in _unwrapped(session) for row in _rows(*line)]
    width = round(COLUMNS * _FONT * _WIDTH) + 2 * _MARGIN
    height = _BAR + len(lines) * _LINE + _MARGIN
    dots = "".join(
        f'<circle cx="{_MARGIN + 6 + 20 * n}" cy="{_BAR // 2}" r="6" fill="{colour}"/>\n'
        for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    texts = "".join(
        f'<text x="{_MARGIN}" y="{_BAR + _LINE * n + _FONT}">{_marked(line)}</text>\n'
        for n, line in enumerate(lines)
        if line
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img">\n<title>{escape(title)}</title>\n'
        f"<style>\n{_STYLE}</style>\n"
        f'<rect class="window" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>\n'
        f'{dots}<g font-family="{_FAMILY}" font-size="{_FONT}" xml:space="preserve">\n{texts}</g>\n'
        "</svg>\n"
    )


def _unwrapped(session: str) -> Iterator[tuple[str, str]]:
    """Yield each line or paragraph, and the indentation of its further lines."""
    whole, indent, last = "", "", ""
    for number, line in enumerate(session.rstrip("\n").splitlines()):
        if _goes_on(last, line):
            whole, indent = f"{whole} {line.strip()}", _indent(line)
        else:
            if number:
                yield whole, indent
            whole, indent = line, f"{_indent(line)}    "
        last = line
    yield whole, indent


def _goes_on(last: str, line: str) -> bool:
    """Return whether a report was wrapped here: the first word did not fit into `last`."""
    word = (line.split(maxsplit=1) or [""])[0]
    full = len(last) <= WIDTH < len(last) + 1 + len(word)
    return full and bool(word) and _indent(line).startswith(_indent(last)) and last[:2] != "$ "


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _rows(line: str, indent: str) -> list[str]:
    """Break a line where a terminal of COLUMNS would have to, at a space if there is one."""
    return textwrap.wrap(
        line, COLUMNS, subsequent_indent=indent, drop_whitespace=True, replace_whitespace=False,
        break_on_hyphens=False,
    ) or [""]  # fmt: skip


def _marked(line: str) -> str:
    if line.startswith("$ "):
        return f'<tspan class="prompt">$</tspan> <tspan class="command">{escape(line[2:])}</tspan>'
    return escape(line)
