"""Which change of an image, or of a file in which its disk lies, is one, in this run and later."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imsprep.image.file import RawImage
from imsprep.image.identity import Identity

HEAD = "# Disk DescriptorFile\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "disk.raw"
    made.write_bytes(bytes(4096))
    return made


def test_a_file_under_another_name_is_the_same_and_another_size_or_time_is_not(path: Path) -> None:
    before = Identity.of(path)
    moved = path.rename(path.with_name("moved.raw"))
    assert Identity.of(moved).renamed_from(before)
    os.utime(moved, ns=(1, 1))
    assert not Identity.of(moved).renamed_from(before)
    other = path.with_name("other.raw")
    other.write_bytes(bytes(4096))
    assert not Identity.of(other).renamed_from(before)


@pytest.mark.parametrize(
    "change", ["written", "time set back", "older time", "another file", "removed"]
)
@pytest.mark.parametrize("name", ["a", "b"])
def test_what_happens_to_a_piece_changes_the_identity(
    name: str, change: str, tmp_path: Path
) -> None:
    disk, piece = tmp_path / "disk.vmdk", tmp_path / name
    disk.write_text(HEAD + 'RW 1 FLAT "a" 0\nRW 1 FLAT "b" 0\n')
    for number, other in enumerate("ab"):
        (tmp_path / other).write_bytes(b"x" * 512)
        os.utime(tmp_path / other, (number, number))
    with RawImage.open(disk) as image:
        before = image.identity
    assert before == Identity.of_image(disk)
    if change in ("written", "time set back"):
        piece.write_bytes(b"y" * 512)
        if change == "time set back":
            os.utime(piece, ("ab".index(name),) * 2)
    elif change == "older time":
        os.utime(piece, (0, 0))
    elif change == "another file":
        (tmp_path / "new").write_bytes(b"y" * 512)
        os.utime(tmp_path / "new", (9, 9))
        (tmp_path / "new").rename(piece)
    else:
        piece.unlink()
    assert not Identity.of_image(disk).same_content_as(before)
