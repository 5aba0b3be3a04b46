"""Whole: proof that an image in another program's format is all there, before its disk is read.

The tables are read by the format's own module in `tables`. What no table names may still hold data:
then an entry was lost. Where the format counts its clusters, `qemu-img check` compares the counts.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from imsprep.errors import FormatError, MissingExtraError, show_path
from imsprep.image import formats
from imsprep.image.file import RawImage
from imsprep.image.qemu.foreign import DRIVERS, description
from imsprep.image.qemu.split import SplitImage, descriptor_of, open_pieces
from imsprep.image.tables import (
    bochs,
    cloop,
    dmg,
    parallels,
    qcow,
    qcow2,
    qed,
    vdi,
    vhd,
    vhdx,
    vmdk,
)
from imsprep.image.tables.survey import Read, Survey, SurveyError
from imsprep.units import MIB, counted

PROGRAM, PACKAGE = "qemu-img", "qemu-utils"
_STEP = MIB
_COUNTS_CLUSTERS = ("qcow2", "qed")  # of these a leak says that an entry was lost

SURVEYS: dict[str, Callable[[Read, int], Survey]] = {
    "qcow2": qcow2.survey,
    "qcow": qcow.survey,
    "qed": qed.survey,
    "vdi": vdi.survey,
    "vhdx": vhdx.survey,
    "parallels": parallels.survey,
    "bochs": bochs.survey,
    "cloop": cloop.survey,
    "dmg": dmg.survey,
    formats.VMDK: vmdk.survey,
    formats.VHD_DYNAMIC: vhd.survey,
    formats.VHD_FIXED: vhd.survey,
}


class Stored(Protocol):
    """An open file, or a part of one, that is an image."""

    @property
    def path(self) -> Path: ...  # noqa: D102 - of the file that is named in messages

    @property
    def size(self) -> int: ...  # noqa: D102 - bytes

    def pread(self, offset: int, length: int) -> bytes:
        """Return what lies at `offset`."""

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the file is not as it was."""

    def as_node(self) -> dict[str, object]:
        """Return the file as a node of QEMU's block layer, which opens this and nothing else."""


def check_whole(image: Stored, format_: str) -> Survey:
    """Return what the image's tables say; FormatError if the image is not whole by itself.

    Raises MissingExtraError if the format can be checked and `qemu-img` is not there.
    """
    try:
        found = image.survey() if isinstance(image, SplitImage) else survey(image, format_)
        _check_gaps(image, found)
        if found.has_check:
            _check_counts(image, format_)
    except SurveyError as error:
        raise explained(image.path, format_, error) from error
    return found


@contextlib.contextmanager
def all_of(image: Stored, format_: str) -> Iterator[Stored]:
    """Open what else belongs to an image: the files that a VMDK's descriptor names.

    Raises FormatError if one of them may not be read.
    """
    described = format_ == formats.VMDK and image.pread(0, min(1, image.size)) == b"#"
    if not described or not isinstance(image, RawImage):
        yield image
        return
    with contextlib.ExitStack() as stack:
        try:
            pieces = stack.enter_context(open_pieces(image))
        except SurveyError as error:
            raise explained(image.path, format_, error) from error
        yield pieces


def survey(image: Stored, format_: str) -> Survey:
    """Read the tables alone; raises SurveyError, whose message does not name the file."""

    def read(offset: int, length: int) -> bytes:
        return image.pread(offset, min(length, image.size - offset)) if offset < image.size else b""

    return SURVEYS[format_](read, image.size)


def explained(path: Path, format_: str, error: SurveyError) -> FormatError:
    """Return the error with the file's name, and the command that helps."""
    driver = DRIVERS.get(format_, format_)
    advice = error.advice.replace("{driver}", driver)
    advice = advice.replace("{image}", shlex.quote(show_path(path)))
    if "{descriptor}" in advice:
        found = descriptor_of(path)
        named = show_path(found) if found else "a text of a few hundred bytes, usually disk.vmdk"
        advice = advice.replace("{descriptor}", named)
    name = f"{show_path(path)} ({format_}) is refused: {error}"
    return FormatError(f"{name}; {advice}" if advice else name)


def _check_gaps(image: Stored, found: Survey) -> None:
    """Raise SurveyError if data lies where no table names it, and none says that it was freed."""
    if found.least_gap is None:
        return
    freed = found.freed
    for start, length in found.ledger.gaps(found.least_gap):
        if (at := _first_data(image, start, length)) is None:
            continue
        if freed < length:
            raise SurveyError(
                f"it holds data at byte {at} that none of its tables names: an entry of them was"
                " lost, or its writer was interrupted",
                "compare its checksum with that of the source; if the file is as it was written,"
                " and its disk is whole without that data, copy the disk: qemu-img convert"
                " -f {driver} -O qcow2 {image} copy.qcow2",
            )
        freed -= length


def _first_data(image: Stored, start: int, length: int) -> int | None:
    """Return the place of the first byte in a range that is not zero."""
    for at in range(start, start + length, _STEP):
        data = image.pread(at, min(_STEP, start + length - at))
        if rest := data.lstrip(b"\0"):
            return at + len(data) - len(rest)
    return None


def _check_counts(image: Stored, format_: str) -> None:
    """Have `qemu-img check` compare what the tables name with what the image counts."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingExtraError(
            f"checking a {format_} needs {PROGRAM}; on Debian or Ubuntu: apt install {PACKAGE}"
        )
    named = description(image.as_node(), format_, {})
    argv = [program, "check", "--output=json", named]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    text = done.stdout.decode(errors="replace")
    try:
        counts = json.loads(text[text.index("{\n") :])
    except ValueError:
        counts = {"check-errors": 1}
    image.check_unchanged()
    wrong = [counts.get(name) or 0 for name in ("corruptions", "check-errors", "leaks")]
    if wrong[0] or wrong[1]:
        found = counted(wrong[0], "error") if wrong[0] else "that its tables cannot be read"
        raise SurveyError(
            f"it is damaged: qemu-img check finds {found} in its tables",
            "download or copy it again, and compare its checksum; see what is wrong with: qemu-img"
            " check {image}",
        )
    if wrong[2] and format_ in _COUNTS_CLUSTERS:
        raise SurveyError(
            f"it counts {counted(wrong[2], 'cluster')} as used that none of its tables names (a"
            " leak of qemu-img check): an entry of them was lost, or its writer was interrupted",
            "compare its checksum with that of the source; if the file is as it was written:"
            " qemu-img check -r leaks {image}",
        )
