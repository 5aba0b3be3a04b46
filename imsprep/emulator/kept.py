"""What the emulator of a folder would answer about its images, read of its files while it is off.

Reads only: neither a folder is made nor a job begun again, as starting the emulator would.
"""

from __future__ import annotations

from pathlib import Path

from imsprep.emulator.jobs import IMAGE_QUOTA, Image, read_images
from imsprep.ims.listed import CloudImage


class KeptImages:
    """The images below an emulator's folder; a `RegionService`, see `ims.region`.

    Raises ReadError for a record that is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def images(self, name: str, tag: str | None = None, *, limit_s: float) -> list[CloudImage]:
        """Return the images of this name; no tag is compared."""
        return [_listed(one) for one in read_images(self._folder) if one.body.get("name") == name]

    def image_quota(self, *, limit_s: float) -> tuple[int, int]:
        """Return how many images there are and how many there may be."""
        return len(read_images(self._folder)), IMAGE_QUOTA

    def os_versions(self, *, limit_s: float) -> list[str]:
        """Return none: over a folder every value is taken."""
        return []


def _listed(image: Image) -> CloudImage:
    origin = f"file,{image.body.get('image_url')}"
    return CloudImage(image.image_id, str(image.body["name"]), image.status, origin)
