"""Learn from files: make the probe image, and match images with another tool's bitmaps."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imsprep.bitmap.inspect import read_bitmap
from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.layout_json import load_layout, save_layout, to_plain
from imsprep.bitmap.learn.constants import doubt
from imsprep.bitmap.learn.probe import DATA, FIRST_SIZE, MIN_SIZE, sector_content, sectors
from imsprep.bitmap.learn.search import Learned, Sample, learn
from imsprep.errors import ReadError, UsageError, show_path
from imsprep.image.file import RawImage
from imsprep.options import LearnOptions, ScanOptions
from imsprep.progress import SCAN, counting
from imsprep.scan.scan import scan
from imsprep.system import atomic
from imsprep.units import SECTOR, TIB, exact_size

LEARN = LearnOptions()
LAYOUT_SUFFIX = ".layout.json"
_MAX_BLOCKS = 1 << 26  # blocks of a map that is kept in memory, one byte each


@dataclass(frozen=True)
class LearnedFromFiles(Learned):
    """What was learned of files, and where it is kept."""

    saved: Path | None = None

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "outcome": self.outcome,
            "layouts": [to_plain(layout) for layout in self.layouts],
            "reached": self.reached,
            "second_probe": self.second_probe,
            "saved": self.saved and str(self.saved),
        }


def write_probe(
    path: Path, *, size: int = FIRST_SIZE, kind: str = DATA, force: bool = False
) -> int:
    """Write the probe image, sparse, and return how many bytes of it hold data.

    Raises UsageError for an impossible size, or if the file exists and `force` is not given.
    """
    if not MIN_SIZE <= size <= TIB or size % SECTOR:
        raise UsageError(
            f"a probe has from {exact_size(MIN_SIZE)} to 1 TiB in whole sectors, not {size} bytes"
        )
    if path.exists() and not force:
        raise UsageError(
            f"{show_path(path)} exists; name another file, or allow it to be replaced",
            remedies=("force",),
        )
    numbers = sectors(size, kind).tolist()
    with atomic.writing(path) as file:
        os.truncate(file.fileno(), size)
        for number in numbers:
            file.seek(number * SECTOR)
            file.write(sector_content(number))
    return len(numbers) * SECTOR


def learn_files(
    pairs: Sequence[tuple[Path, Path]],
    options: LearnOptions = LEARN,
) -> LearnedFromFiles:
    """Return the layouts that reproduce each bitmap from its image.

    Raises ReadError, ImageChangedError.
    """
    size = sum(image.stat().st_size for image, _ in pairs if image.is_file())
    progress = counting(options.progress, SCAN, size)
    scanning = options.scanning(jobs=options.jobs)
    learned = learn([_sample(image, bitmap, scanning, progress) for image, bitmap in pairs])
    if learned.layouts:
        why = _doubt(learned.layouts[0], pairs)
        if why is not None:
            reached = f"header or trailer may be others for the next image: {why}"
            return LearnedFromFiles(**{**vars(learned), "layouts": (), "reached": reached})
    name = f"learned from {pairs[0][1].name}"
    named = tuple(replace(layout, name=name) for layout in learned.layouts)
    return LearnedFromFiles(**{**vars(learned), "layouts": named})


def _doubt(layout: BitmapLayout, pairs: Sequence[tuple[Path, Path]]) -> str | None:
    files = [path.absolute() for pair in pairs for path in pair]
    names = {
        os.fsencode(name)
        for path in files
        for name in (path.stem, path.name, path.parent, path.parent.name, path)
    }
    return doubt(
        layout, [*sorted(names), *_of_this_machine()], [path.stat().st_mtime for path in files]
    )


def _of_this_machine() -> Iterator[bytes]:
    """Yield the names of machine and user, which the next image may not have."""
    yield socket.gethostname().encode()
    with contextlib.suppress(KeyError, OSError):  # a user without a name
        yield getpass.getuser().encode()


def save_learned(path: Path, layout: BitmapLayout) -> None:
    """Write a layout; UsageError if the file exists and is something else."""
    if path.exists():
        try:
            load_layout(str(path.absolute()))  # a file, also if its name is a known layout's
        except (UsageError, ReadError) as error:
            raise UsageError(
                f"not replaced, name another file: {error}", remedies=("output",)
            ) from error
    save_layout(path, layout)


def _sample(
    image: Path, bitmap: Path, scanning: ScanOptions, progress: Callable[[int], None]
) -> Sample:
    data = read_bitmap(bitmap)
    with RawImage.open(image) as opened:
        block_size = SECTOR
        while opened.size // block_size > _MAX_BLOCKS:
            block_size *= 2
        found = scan(opened, replace(scanning, block_size=block_size), progress)
        return Sample(found.block_map, data)
