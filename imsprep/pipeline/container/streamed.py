"""Pack while sending: a disk as a ZVHD2 that is in the bucket when it is packed, and never here.

`zvhd2.stream` makes the parts, `upload.stream` sends them; this module lets each speak of the
other: what is noted of a part, how long parts are, and what decides about the bytes.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TypedDict, cast

import numpy as np
import zstandard

from imsprep.image.disk import ByteExtent, Disk
from imsprep.image.file import RawImage
from imsprep.image.identity import Identity
from imsprep.options import ConvertOptions
from imsprep.scan.holes import believes_holes
from imsprep.store.contract import MAX_PART_NUMBER, MIN_PART_SIZE
from imsprep.units import MIB, ceil_div, round_up
from imsprep.upload.stream import MadePart, NotTheSameError
from imsprep.zvhd2.source import OpenImage, notes_of
from imsprep.zvhd2.stream import (
    ROW,
    ContainerStream,
    KnownPart,
    StaleError,
    check_known,
    longest_container,
)
from imsprep.zvhd2.writer import PackTask, Written

# The first parts are short, so that the line has work as soon as anything is packed. Those of the
# first 4 GiB are of 8 MiB: while the last parts of a container are sent nothing is left to pack.
_SHORT_PARTS, _MIDDLE_PARTS = 8, 512
_MIDDLE_SIZE = 8 * MIB
_SPARE_PARTS = _MIDDLE_PARTS + 32


@dataclass(frozen=True)
class StreamTask:
    """How to pack while sending."""

    packing: PackTask
    options: ConvertOptions
    dated: bool = True  # the packing has a date of its own; else it is the image's
    progress: Callable[[int], None] = lambda count: None  # bytes of the disk


class ContainerFacts(TypedDict):
    """What the manifest tells of a container that was sent; noted at the end of its upload."""

    digest: str | None  # of the disk
    data_bytes: int
    payload: int  # bytes of all packed blocks
    uuid: str  # hexadecimal digits
    blocks: int  # that are stored


_KINDS = {"digest": str, "data_bytes": int, "payload": int, "uuid": str, "blocks": int}


class DiskMaker:
    """The disk of an image as the maker of its container; see `upload.stream.Maker`."""

    def __init__(
        self,
        image: RawImage,
        disk: Disk,
        extents: Callable[[], Iterator[ByteExtent]],
        streaming: StreamTask,
    ) -> None:
        self._image, self._disk, self._extents = image, disk, extents
        self._streaming, packing = streaming, streaming.packing
        longest = longest_container(disk.size, packing.block_size)
        fewest = ceil_div(longest, MAX_PART_NUMBER - _SPARE_PARTS)
        self._part_size = max(streaming.options.part_size, round_up(fewest, MIB))
        self._pass: ContainerStream | None = None
        self._taken: ContainerFacts | None = None

    @property
    def identity(self) -> Identity:
        """The state of the image."""
        return self._image.identity

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._disk.size

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the image."""
        sharing = self._image.sharing
        note = sharing.note if sharing else None
        return (*notes_of(self._disk), *((note,) if note else ()))

    @property
    def plan(self) -> str:
        """A digest of what decides about the bytes; the codecs' versions, too."""
        packing = self._streaming.packing
        what = [
            "imsprep zvhd2 stream 2", self._disk.size, packing.method, packing.chosen_level,
            packing.block_size, packing.timestamp, packing.uuid.hex() if packing.uuid else None,
            self._part_size, list(zstandard.ZSTD_VERSION), zlib.ZLIB_RUNTIME_VERSION,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def least(self, number: int) -> int:
        """Return how long a part must be at least, in bytes."""
        if number <= _SHORT_PARTS:
            return MIN_PART_SIZE
        if number <= _MIDDLE_PARTS:
            return min(_MIDDLE_SIZE, self._part_size)
        return self._part_size

    def parts(self, uploaded: Mapping[int, dict[str, object]]) -> Generator[MadePart]:
        """Pack the disk and yield the container's parts."""
        found = (_known(number, note) for number, note in uploaded.items())
        known = check_known(part for part in found if part is not None)
        streaming = self._streaming
        self._pass = ContainerStream(
            self._disk, streaming.packing, self.least, known, verify=streaming.options.proves_blocks
        )
        chunks = self._pass.chunks(self._extents(), streaming.progress)
        try:
            with contextlib.closing(chunks):
                for part, data, release in chunks:
                    yield MadePart(part.number, part.length, data, _note(part), release)
                    del data, release  # or they would outlive its sending
        except StaleError as error:
            raise NotTheSameError(str(error)) from error

    @property
    def written(self) -> Written:
        """What is known of the container, once all parts were made."""
        assert self._pass is not None
        assert self._pass.written is not None
        return self._pass.written

    @property
    def packed(self) -> int:
        """Blocks that were packed in the last pass."""
        return self._pass.packed if self._pass else 0

    def facts(self) -> ContainerFacts:
        """Return what the manifest tells of the container."""
        if self._taken is not None:
            return self._taken
        written = self.written
        return {
            "digest": written.digest,
            "data_bytes": written.block_map.data_bytes,
            "payload": written.payload,
            "uuid": written.footer.uuid.hex(),
            "blocks": written.block_map.allocated,
        }

    def take_facts(self, facts: Mapping[str, object]) -> bool:
        """Take what an earlier run noted at its end."""
        if set(facts) != set(_KINDS) or any(type(facts[k]) is not _KINDS[k] for k in _KINDS):
            return False
        self._taken = cast(ContainerFacts, dict(facts))
        return True

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the image is not as it was."""
        self._image.check_unchanged()
        self._disk.check_unchanged()


def maker_of(image: OpenImage, streaming: StreamTask) -> DiskMaker:
    """Return the disk in an image for packing; raises what `OpenImage.disk` raises."""
    file, disk = image.file, image.disk(streaming.options.from_format)
    file.refuse_writers(force=streaming.options.force_share)

    def extents() -> Iterator[ByteExtent]:
        if disk is file and not believes_holes(file, streaming.options.holes):
            return iter([(0, disk.size, True)])
        return disk.extents()

    return DiskMaker(file, disk, extents, streaming)


def _note(part: KnownPart) -> dict[str, object]:
    """Return what is noted of a part, as JSON has it."""
    return {
        "start": part.start,
        "length": part.length,
        "rows": base64.b64encode(part.rows.tobytes()).decode(),
        "digest": part.digest,
        "uuid": part.uuid,
    }


def _known(number: int, note: Mapping[str, object]) -> KnownPart | None:
    """Return the part of a note, or None if it is none."""
    start, length, packed = note.get("start"), note.get("length"), note.get("rows")
    if not (isinstance(start, int) and isinstance(length, int) and isinstance(packed, str)):
        return None
    try:
        rows = np.frombuffer(base64.b64decode(packed, validate=True), ROW)
        return KnownPart(number, start, length, rows, str(note["digest"]), str(note["uuid"]))
    except (KeyError, ValueError):
        return None
