"""A program: go every way to the bytes of `disk.raw` and `disk.raw.xz` in the current folder.

    python -m tests.support.system.all_ways linux|macos|windows

What was found is printed as JSON; it has to be the same on each system.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.support.system.other_systems import MACOS, WINDOWS, become

_BLOCK = 2 << 20
_REQUEST = {"type": "DataImage", "min_disk": 10}


def main(system: str) -> None:
    """Print what each way finds."""
    if system in (MACOS, WINDOWS):
        become(system)
    sys.stdout.write(
        json.dumps({"reader": _reader() if system != WINDOWS else None, **_answers()}) + "\n"
    )


def _reader() -> list[int]:
    """Return the blocks with data as the process that reads for a scan finds them."""
    from imsprep.scan.worker import Reader

    file = os.open("disk.raw", os.O_RDONLY)
    reader = Reader(file, block_size=_BLOCK, past_cache=True, keep_cache=False)
    return reader.blocks_with_data([(0, os.path.getsize("disk.raw"))])


def _answers() -> dict[str, Any]:
    import imsprep
    from imsprep import api

    imsprep.make_bitmap("disk.raw", output="disk.mf")
    imsprep.verify_bitmap("disk.raw", bitmap="disk.mf")
    imsprep.convert("disk.raw", "disk.zvhd2", uuid=bytes(16), timestamp=1_700_000_000)
    imsprep.convert("disk.zvhd2", "back.raw")
    report = imsprep.check("disk.zvhd2", deep=True, **_REQUEST)
    packed = imsprep.import_image("disk.raw", to="local:./cloud", name="packed", **_REQUEST)
    raw = imsprep.import_image(
        "disk.raw", to="local:./cloud", name="raw", via="raw", key="again.raw", **_REQUEST
    )
    machine = api.look_at_machine(".", None, log=lambda text: None)
    return {
        "bitmap": Path("disk.mf").read_bytes().hex(),
        "container": Path("disk.zvhd2").read_bytes().hex(),
        "digests": [imsprep.digest(name) for name in ("disk.raw", "disk.raw.xz", "back.raw")],
        "rules": sorted(finding.rule for finding in report.findings),
        "packed": [packed.sent, packed.data_bytes],
        "raw": [raw.sent, raw.copied],
        "machine": [item.name for item in machine if item.state == "failed"],
        "left": sorted(path.name for path in Path().rglob("*.part")),
    }


if __name__ == "__main__":
    main(sys.argv[1])
