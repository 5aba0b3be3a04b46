"""The ZVHD2 that an import keeps of an image, and uses again for as long as it fits.

`disk.raw` becomes `disk.zvhd2`, next to it or in a work folder. A *sidecar*, `disk.zvhd2.json`,
says which file that is, of which state of which image it was made, and how. An older container goes
before a new one is begun, and the sidecar is written before the new one gets its name: so a crash
at any instant leaves a container that its sidecar describes, or none. Another was put there by
another program, and is not replaced.

The same image and options give the same bytes: the container's date is the image's, and its id is
made of the content.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from imsprep import __version__
from imsprep.errors import ReadError, UsageError, show_path
from imsprep.image import formats
from imsprep.image.file import RawImage
from imsprep.image.identity import Identity
from imsprep.system import ownership, statefile
from imsprep.system.locking import locked
from imsprep.system.regular import file_name
from imsprep.units import SECTOR
from imsprep.zvhd2 import records
from imsprep.zvhd2.convert import ConvertTask, convert
from imsprep.zvhd2.source import OpenImage
from imsprep.zvhd2.writer import PackTask, Written

SCHEMA = 1
SUFFIX = ".zvhd2"
_NS = 10**9


@dataclass(frozen=True)
class ContainerSidecar:
    """What is known of a container that was made here."""

    image: str  # the source's file name
    source: Identity
    options: Mapping[str, object]  # how it was packed, as far as that changes its bytes
    uuid: str  # of the container, in hex
    container: Identity  # as it was before it got its name, which changes the change time
    imsprep: str = __version__
    digest: str | None = None  # of the disk

    def __post_init__(self) -> None:
        """Raise ValueError unless the image is named as a file of the same folder."""
        file_name(self.image)

    @classmethod
    def read(cls, container: Path) -> ContainerSidecar | None:
        """Return the sidecar of a container, or None if there is none that imsprep wrote."""
        return statefile.find(sidecar_path(container), cls, schema=SCHEMA)

    def write(self, container: Path) -> None:
        """Write the sidecar of the container; raises ReadError."""
        statefile.save(sidecar_path(container), asdict(self), schema=SCHEMA)

    def is_of(self, container: Path) -> bool:
        """Return whether this is the very file that was made, unchanged; raises OSError."""
        return Identity.of(container).renamed_from(self.container)


def place_for(image: Path, folder: Path | None = None) -> Path:
    """Return where the container of an image belongs: next to it, or in a work folder."""
    return (folder or image.parent) / (image.stem + SUFFIX)


def sidecar_path(container: Path) -> Path:
    """Return the path of a container's sidecar."""
    return container.with_name(container.name + ".json")


def dated(packing: PackTask, image: RawImage) -> PackTask:
    """Return how to pack an image so that the same bytes come again: with its own date."""
    seconds = image.identity.mtime_ns // _NS - records.EPOCH
    return replace(packing, timestamp=min(max(0, seconds), 2**32 - 1), uuid=None)


def check_folder(place: Path) -> None:
    """Raise ReadError if the folder that the container belongs into is not there."""
    if not place.parent.is_dir():
        what = "is not a folder" if place.parent.exists() else "does not exist"
        raise ReadError(
            f"the work folder {show_path(place.parent)} {what}; make it, or name another",
            remedies=("work_dir",),
        )


def check_place(image: Path, place: Path) -> None:
    """Raise UsageError if the container would replace what is not known to be of our making.

    Raises ReadError where there is no folder for it.
    """
    check_folder(place)
    sidecar = ContainerSidecar.read(place)
    how = ownership.Advice(
        "rename it, import it by itself, or name another work folder", ("work_dir",)
    )
    for path in (place, sidecar_path(place)):
        ownership.check_apart(path, image, what="the ZVHD2", advice=how)
    if sidecar is None and sidecar_path(place).exists():
        raise UsageError(f"{show_path(sidecar_path(place))} was not written by imsprep; {how.text}")
    if place.exists() and (sidecar is None or _uuid(place) != sidecar.uuid):
        raise UsageError(f"{show_path(place)} was not made by an import; {how.text}")
    # Also if the other image is gone: then this may be all that is left of its disk.
    if sidecar is not None and place.exists() and _is_of_another(sidecar, image):
        how = how._replace(text="rename one of them, or name another work folder")
        other = image.with_name(sidecar.image)
        raise ownership.served_by_both(place, other, what="the ZVHD2", advice=how)


def _is_of_another(sidecar: ContainerSidecar, image: Path) -> bool:
    """Return whether a container was made of another file, and not of this one by its old name."""
    if sidecar.image == image.name:
        return False
    same = Identity.of_image(image).renamed_from(sidecar.source)
    return image.with_name(sidecar.image).exists() or not same


def fits(image: RawImage, place: Path, packing: PackTask) -> bool:
    """Return whether the container that is there is the one that packing the image would give."""
    sidecar = ContainerSidecar.read(place)
    try:
        return (
            sidecar is not None
            and sidecar.image == image.path.name
            and sidecar.source.same_content_as(image.identity)
            and dict(sidecar.options) == _options(packing)
            and sidecar.is_of(place)
            and _uuid(place) == sidecar.uuid
        )
    except OSError:
        return False


def pack(image: OpenImage, place: Path, task: ConvertTask) -> bool:
    """Have the container of an image at `place`; return whether it had to be made.

    One process at a time makes it. Raises UsageError for a place that is not ours, TransferError if
    another process works on it, ReadError if it has no folder, and what `convert` raises.
    """
    what = f"the ZVHD2 of {show_path(image.path.name)}"
    check_folder(place)  # before the lock, which lies in it
    with locked(place.with_name(place.name + ".lock"), what):
        check_place(image.path, place)
        if fits(image.file, place, task.packing):
            return False

        def sidecar(file: int, source: RawImage, written: Written) -> None:
            options = _options(task.packing)
            uuid, made = written.footer.uuid.hex(), Identity.of(file)
            name, digest = image.path.name, written.digest
            ContainerSidecar(name, source.identity, options, uuid, made, digest=digest).write(place)

        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise ReadError.from_os(error, "cannot replace", place) from error
        options = replace(task.options, to_format=formats.ZVHD2)
        made = replace(task, options=options, on_whole=sidecar, with_digest=True)
        convert(image, place, made)
        image.file.check_unchanged()
    return True


def _options(packing: PackTask) -> dict[str, object]:
    """Return what changes the bytes of a container, as JSON gives it back."""
    return {
        "compression": records.METHODS[packing.method],
        "level": packing.chosen_level,
        "block_size": packing.block_size,
        "timestamp": packing.timestamp,
    }


def _uuid(container: Path) -> str:
    """Return the id in a container's final footer, or "" if there is none."""
    try:
        with open(container, "rb") as file:
            file.seek(-records.FOOTER_LENGTH, os.SEEK_END)
            return records.unpack_footer(file.read(SECTOR)).uuid.hex()
    except OSError:
        return ""
