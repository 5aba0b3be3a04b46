"""What is known of the bitmap that belongs to a RAW image: a part of the facts.

Apart from the others, so that making a bitmap does not load them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from imsprep.bitmap.layout import BitmapLayout
    from imsprep.image.blockmap import BlockMap


class BitmapFacts(NamedTuple):
    """What is known of the bitmap that belongs to a RAW image; `inspect` gathers it."""

    name: str  # the bitmap's file name, for messages
    length: int | None  # bytes; None: there is no such file
    layout: BitmapLayout | None  # None: made elsewhere, and not described
    stale: str | None = None  # why it is of another image or an older state, after its name
    misfit: str | None = None  # why it does not have the layout
    claimed: BlockMap | None = None  # what it says
    found: BlockMap | None = None  # what a scan says, in the same blocks; only after a scan
    to_be_made: bool = False  # whatever is there now is going to be replaced
