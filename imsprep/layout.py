"""BitmapLayout: how a block map lies in a bitmap file, as a value that is saved as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imsprep.errors import UsageError
from imsprep.units import MIB, SECTOR


@dataclass(frozen=True)
class BitmapLayout:
    """How a block map lies in a file: one bit per block, least significant first, 1 = data."""

    block_size: int  # bytes
    name: str = ""

    def __post_init__(self) -> None:
        """Raise UsageError for a block size that no disk has."""
        if self.block_size <= 0 or self.block_size % SECTOR:
            raise UsageError(f"a block of {self.block_size} bytes is no whole number of sectors")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"name": self.name, "block_size": self.block_size}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> BitmapLayout:
        """Return what `as_dict` gave."""
        return cls(name=value["name"], block_size=value["block_size"])


DEFAULT_LAYOUT = BitmapLayout(name="zvhd2", block_size=2 * MIB)
