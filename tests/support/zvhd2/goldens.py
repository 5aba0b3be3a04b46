"""The golden ZVHD2 files, and the disks that they hold."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

from tests.support.paths import FIXTURES

FACTS: dict[str, dict[str, Any]] = json.loads((FIXTURES / "zvhd2" / "facts.json").read_text())
NAMES = tuple(FACTS)

_spec = importlib.util.spec_from_file_location("golden_raws", FIXTURES / "golden_raws.py")
assert _spec is not None
assert _spec.loader is not None
golden_raws = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden_raws)


def golden(name: str) -> bytes:
    """Return the bytes of a golden file."""
    return gzip.decompress((FIXTURES / "zvhd2" / f"{name}.zvhd2.gz").read_bytes())


def runs(name: str) -> list[tuple[int, bytes]]:
    """Return offset and bytes of each run of data on a golden's disk; the rest is zeros."""
    case = Path(FACTS[name]["made_from"]).stem
    return [(at, golden_raws.pattern(at, length)) for at, length in golden_raws.CASES[case][1]]


def disk_bytes(name: str, offset: int, length: int) -> bytes:
    """Return a range of a golden's disk, computed from the pattern."""
    found = bytearray(length)
    for at, data in runs(name):
        low, high = max(at, offset), min(at + len(data), offset + length)
        if low < high:
            found[low - offset : high - offset] = data[low - at : high - at]
    return bytes(found)
