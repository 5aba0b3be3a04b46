"""Files of configuration, an image that they count for, and what a check says of it."""

from __future__ import annotations

from pathlib import Path

from tests.support.running import Outcome


def write(folder: Path, text: str, name: str = "imsprep.toml") -> Path:
    """Write a file of configuration, of any bytes, and return its path."""
    path = folder / name
    path.write_text(text, errors="surrogateescape")
    return path


def small_image(folder: Path) -> Path:
    """Make a small image with one warning (IMS209)."""
    path = folder / "disk.raw"
    path.write_bytes(b"x" * 4096)
    return path


def rules(outcome: Outcome) -> dict[str, str | None]:
    """Return the rules of a check's findings, with the reasons of their waivers."""
    (found,) = outcome.json["images"]
    return {f["rule"]: f.get("waived") for f in found["findings"]}
