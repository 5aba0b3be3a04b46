"""Found: what one possible loader comes to; which of several is started is not known by then."""

from __future__ import annotations

from typing import NamedTuple

from imsprep.guest.chain.values import BootEntry


class Found(NamedTuple):
    """What one possible loader comes to."""

    loader: str
    steps: tuple[str, ...]
    entries: tuple[BootEntry, ...] = ()
    default: int | None = None
    broken: str | None = None
    unknown: str | None = None
    waits: str | None = None
    reads: tuple[str, ...] | None = None  # features of ext2/3/4, as in Route

    @property
    def works(self) -> bool:
        """Return whether it comes to an entry that its loader can start."""
        return self.default is not None and not self.entries[self.default].broken
