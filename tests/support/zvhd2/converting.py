"""Convert a file by its path."""

from __future__ import annotations

from pathlib import Path

from imsprep.zvhd2 import convert as conversion
from imsprep.zvhd2.convert import Converted, ConvertTask
from imsprep.zvhd2.source import OpenImage


def convert(source: Path, target: Path, task: ConvertTask) -> Converted:
    with OpenImage.open(source, jobs=task.packing.jobs) as image:
        return conversion.convert(image, target, task)
