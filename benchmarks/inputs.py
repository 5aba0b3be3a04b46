"""The images that the benchmarks read, made once, kept in a folder and named by their content.

zeros        written zeros: no hole, nothing but zeros
random       data that no compressor shrinks
halves       runs of 64 MiB of data and of written zeros in turn
ext4         an ext4 file system with files: text, programs, data, as on a server
extents      a sparse image with its data in many small extents
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

MIB, GIB = 1 << 20, 1 << 30
_STEP = 64 * MIB


class Inputs:
    """The folder of images; what is there already is not made again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def zeros(self, size: int) -> Path:
        """Return an image of written zeros."""
        return self._image(f"zeros-{size}", lambda path: _fill(path, size, bytes))

    def random(self, size: int) -> Path:
        """Return an image of random data."""
        return self._image(f"random-{size}", lambda path: _fill(path, size, os.urandom))

    def halves(self, size: int) -> Path:
        """Return an image of data and written zeros in turn, in runs of 64 MiB."""
        turn = iter(range(1 << 30))

        def content(length: int) -> bytes:
            return os.urandom(length) if next(turn) % 2 else bytes(length)

        return self._image(f"halves-{size}", lambda path: _fill(path, size, content))

    def ext4(self, size: int, files: int) -> Path:
        """Return an ext4 image with about `files` bytes of files."""
        return self._image(f"ext4-{size}-{files}", lambda path: _ext4(path, size, files))

    def extents(self, size: int, count: int, data: int) -> Path:
        """Return a sparse image with `data` bytes in `count` extents, spread evenly."""

        def make(path: Path) -> None:
            block = os.urandom(data // count)
            with open(path, "wb") as file:
                file.truncate(size)
                for n in range(count):
                    os.pwrite(file.fileno(), block, n * (size // count))

        return self._image(f"extents-{size}-{count}-{data}", make)

    def share(self, size: int, percent: int) -> Path:
        """Return a sparse image of which `percent` % is data, in runs of 16 MiB."""

        def make(path: Path) -> None:
            with open(path, "wb") as file:
                file.truncate(size)
                for n, offset in enumerate(range(0, size, 16 * MIB)):
                    if n * percent // 100 != (n + 1) * percent // 100:
                        os.pwrite(file.fileno(), os.urandom(16 * MIB), offset)

        return self._image(f"share-{size}-{percent}", make)

    def _image(self, name: str, make: Callable[[Path], None]) -> Path:
        path = self._folder / f"{name}.raw"
        if not path.exists():
            part = path.with_suffix(".part")
            make(part)
            part.rename(path)
        return path


def _fill(path: Path, size: int, content: Callable[[int], bytes]) -> None:
    with open(path, "wb") as file:
        for offset in range(0, size, _STEP):
            file.write(content(min(_STEP, size - offset)))


def _ext4(path: Path, size: int, files: int) -> None:
    """Fill a file system with what every machine with Python has: its library and its programs."""
    with tempfile.TemporaryDirectory(dir=path.parent) as tree:
        made = copies = 0
        while made < files:
            made += _copy_some(Path(tree, f"copy{copies}"), files - made)
            copies += 1
        with open(path, "wb") as file:
            file.truncate(size)
        mkfs = shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        subprocess.run([mkfs or "mkfs.ext4", "-q", "-F", "-d", tree, path], check=True)


def _copy_some(folder: Path, most: int) -> int:
    """Copy files of this machine until there are `most` bytes; a copy shares no block."""
    made = 0
    for source in (sysconfig.get_path("stdlib"), "/usr/lib", "/usr/bin", "/usr/share"):
        for parent, _, names in os.walk(source):
            for name in names:
                path = Path(parent, name)
                if path.is_symlink() or not path.is_file():
                    continue
                target = folder / path.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                made += target.stat().st_size
                if made >= most:
                    return made
    return made
