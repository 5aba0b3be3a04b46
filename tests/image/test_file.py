"""An open image: a program that may write to it is noticed before it is read, and after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imsprep.errors import ImageInUseError
from imsprep.image.file import RawImage
from imsprep.system import lease
from imsprep.system.lease import NONE, SOME, UNKNOWN, Writers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of one page."""
    (tmp_path / "disk.raw").write_bytes(bytes(4096))
    return tmp_path / "disk.raw"


def say(monkeypatch: pytest.MonkeyPatch, *answers: Writers) -> None:
    """Let the system give these answers, one after the other."""
    left = list(answers)
    monkeypatch.setattr(lease, "writers", lambda file: left.pop(0))


def test_a_writer_is_refused_before_the_image_is_read(path: Path) -> None:
    with RawImage.open(path) as image, open(path, "r+b"):
        with pytest.raises(ImageInUseError, match=r"open for writing by .*process"):
            image.refuse_writers()
        image.check_unchanged()  # it was not to be read as a whole


def test_a_writer_that_came_meanwhile_is_refused_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, Writers(NONE), Writers(NONE), Writers(SOME, "qemu (process 7)"))
    with RawImage.open_whole(path) as image:
        image.check_unchanged()
        with pytest.raises(ImageInUseError, match=r"by qemu \(process 7\)"):
            image.check_unchanged()


def test_a_writer_that_came_meanwhile_is_kept_in_mind_where_writers_are_allowed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, Writers(NONE), Writers(SOME, "qemu (process 7)"), Writers(NONE))
    with RawImage.open_whole(path, force_share=True) as image:
        assert image.sharing is not None
        assert image.sharing.note is None
        image.check_unchanged()
        image.check_unchanged()
        assert image.sharing.as_dict() == {"writers": "allowed", "why": "qemu (process 7)"}
        assert "qemu (process 7)" in (image.sharing.note or "")


def test_what_is_not_known_is_said_and_refuses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, Writers(UNKNOWN, "nfs4 does not tell"), Writers(NONE))
    with RawImage.open_whole(path) as image:
        image.check_unchanged()
        assert image.sharing is not None
        assert "nfs4 does not tell" in (image.sharing.note or "")


def test_writing_changes_the_times_and_is_noticed_without_a_lease(path: Path) -> None:
    from imsprep.errors import ImageChangedError

    with RawImage.open_whole(path) as image:
        with open(path, "r+b") as file:
            file.write(b"x")
            os.fsync(file.fileno())
        with pytest.raises(ImageChangedError):
            image.check_unchanged()
