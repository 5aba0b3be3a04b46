"""A file to upload, as a transfer sees one."""

from __future__ import annotations

import os
from pathlib import Path

from imsprep.errors import ImageChangedError
from imsprep.image.identity import Identity


class File:
    """A source that is a file, as transfer sees one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = Identity.of(path)
        self.size = self.identity.size

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        with open(self.path, "rb") as file:
            assert os.preadv(file.fileno(), [buffer], offset) == len(buffer)

    def check_unchanged(self) -> None:
        if Identity.of(self.path) != self.identity:
            raise ImageChangedError("the image changed")
