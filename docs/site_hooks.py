"""Hooks of mkdocs: what lies outside docs/ is shown as its path, for the site has no such page."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page without links to files of the sources."""
    return _OUTSIDE.sub(r"\1", markdown)
