"""What imsprep keeps next to an image: what it makes of it, with the sidecars, and journals.

Nothing else may be written there: a file of these names may hold the state of an import.
"""

from __future__ import annotations

from pathlib import Path

from imsprep.bitmap import sidecar as bitmap_sidecar
from imsprep.bitmap.bits import bitmap_path
from imsprep.pipeline import manifest
from imsprep.pipeline.container import kept
from imsprep.upload.journal import Journal


def kept_files(image: Path) -> list[Path]:
    """Return where imsprep keeps files of an image; none of them has to be there."""
    if not image.name:  # a folder, as "."
        return []
    bitmap, container = made = bitmap_path(image), kept.place_for(image)
    sidecars = [bitmap_sidecar.sidecar_path(bitmap), kept.sidecar_path(container)]
    journals = [Journal.for_file(path).path for path in (image, *made)]
    return [*made, *sidecars, manifest.path_for(image), *journals]
