"""An open image: a program that may write to it is noticed before it is read, and after."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from imsprep.errors import FormatError, ImageChangedError, ImageInUseError, ReadError
from imsprep.image import file as image_file
from imsprep.image.file import ALLOWED, RawImage
from imsprep.image.identity import Identity
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
    with RawImage.open_whole(path) as image:
        with open(path, "r+b") as file:
            file.write(b"x")
            os.fsync(file.fileno())
        with pytest.raises(ImageChangedError):
            image.check_unchanged()


def test_a_change_whose_time_was_set_back_is_noticed(path: Path) -> None:
    with RawImage.open(path) as image:
        before = image.identity
        path.write_bytes(b"x" * 4096)
        os.utime(path, ns=(before.mtime_ns, before.mtime_ns))
        assert Identity.of(path).mtime_ns == before.mtime_ns
        with pytest.raises(ImageChangedError):
            image.check_unchanged()
    assert not Identity.of(path).same_content_as(before)


def test_another_file_of_the_same_name_is_noticed(tmp_path: Path) -> None:
    """Of the open one nothing changes: its folder has another name."""
    path = tmp_path / "a" / "disk.raw"
    path.parent.mkdir()
    path.write_bytes(bytes(4096))
    with RawImage.open(path) as image:
        path.parent.rename(tmp_path / "b")
        with pytest.raises(ImageChangedError, match="was removed"):
            image.check_unchanged()
        path.parent.mkdir()
        path.write_bytes(bytes(4096))
        with pytest.raises(ImageChangedError, match="changed"):
            image.check_unchanged()


@pytest.mark.parametrize(("age_s", "waits_s"), [(0.0, 0.02), (0.015, 0.005), (0.02, 0), (-1, 0)])
def test_a_file_is_read_when_another_write_would_change_its_times(
    path: Path, monkeypatch: pytest.MonkeyPatch, age_s: float, waits_s: float
) -> None:
    """They are those of the kernel's last tick: a write that follows at once may leave them."""
    os.utime(path, (0, 0))  # its change time is that of now
    waited: list[float] = []
    monkeypatch.setattr("time.time", lambda: os.stat(path).st_ctime + age_s)
    monkeypatch.setattr("time.sleep", waited.append)
    with RawImage.open(path):
        assert sum(waited) == pytest.approx(waits_s, abs=1e-4)


@pytest.mark.parametrize("most", [1000, 4096])
def test_a_range_is_read_whole_or_not_at_all(
    path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    content = os.urandom(5000)
    path.write_bytes(content)
    monkeypatch.setattr(
        image_file, "read_at", lambda file, length, at: os.pread(file, min(length, most), at)
    )
    monkeypatch.setattr(
        image_file, "read_into", lambda file, view, at: os.preadv(file, [view[:most]], at)
    )
    with RawImage.open(path) as image:
        for offset, length in ((0, 5000), (1, 4999), (4999, 1), (10, 0)):
            assert image.pread(offset, length) == content[offset : offset + length]
            buffer = bytearray(length)
            image.pread_into(offset, memoryview(buffer))
            assert buffer == content[offset : offset + length]
        for offset in (1, 5000):
            with pytest.raises(ImageChangedError, match="nothing at byte 5000"):
                image.pread(offset, 5000)
            with pytest.raises(ImageChangedError, match="nothing at byte 5000"):
                image.pread_into(offset, memoryview(bytearray(5000)))


def test_extents_are_all_of_a_file_in_order(tmp_path: Path) -> None:
    path = tmp_path / "holes.raw"
    step = 1 << 20
    with path.open("wb") as file:
        file.truncate(5 * step)
        for at in (1, 2, 4):
            os.pwrite(file.fileno(), b"x" * step, at * step)
    with RawImage.open(path) as image:
        found = list(image.extents())
        assert [(at, length) for at, length in image.data()] == [
            (step, 3 * step),
            (4 * step, 5 * step),
        ]
    assert found == [
        (0, step, False), (step, 2 * step, True), (3 * step, step, False), (4 * step, step, True),
    ]  # fmt: skip
    with path.open("r+b") as file:
        file.truncate(6 * step)
    with RawImage.open(path) as image:
        assert list(image.extents())[-1] == (5 * step, step, False)
    path.write_bytes(b"")
    with RawImage.open(path) as image:
        assert list(image.extents()) == []


@pytest.mark.slow
def test_a_piece_of_an_image_is_asked_after_and_compared_with_it(path: Path) -> None:
    place = path.with_name("disk-flat.vmdk")
    place.write_bytes(bytes(4096))
    with RawImage.open(path) as image, RawImage.open(place) as piece:
        with image.joined(piece):
            image.check_unchanged()
            with (
                open(place, "r+b"),
                pytest.raises(ImageInUseError, match=r"disk-flat\.vmdk is open"),
            ):
                image.refuse_writers()
            image.refuse_writers()
            with open(place, "r+b"), pytest.raises(ImageInUseError, match=r"disk-flat\.vmdk"):
                image.check_unchanged()
            image.check_unchanged()
            os.truncate(place, 512)
            with pytest.raises(ImageChangedError, match=r"disk-flat\.vmdk changed"):
                image.check_unchanged()
        image.check_unchanged()  # it is no piece any more


@pytest.mark.slow
def test_a_piece_that_joins_later_is_asked_at_once(path: Path) -> None:
    place = path.with_name("piece")
    place.write_bytes(bytes(4096))
    with open(place, "r+b"), RawImage.open(place) as piece:
        with (
            RawImage.open_whole(path) as image,
            pytest.raises(ImageInUseError, match="piece is open"),
            image.joined(piece),
        ):
            pass
        with RawImage.open_whole(path, force_share=True) as image, image.joined(piece):
            assert image.sharing is not None
            assert image.sharing.writers == ALLOWED


def test_a_piece_is_compared_also_where_nobody_asked_for_writers(path: Path) -> None:
    place = path.with_name("piece")
    place.write_bytes(bytes(4096))
    with RawImage.open(path) as image, RawImage.open(place) as piece, image.joined(piece):
        os.utime(place, (1, 1))
        with pytest.raises(ImageChangedError, match="piece changed"):
            image.check_unchanged()


def test_the_worst_that_is_known_of_the_pieces_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawImage.open(path) as image, RawImage.open(path) as piece, image.joined(piece):
        for answers, state in (
            ((NONE, NONE), NONE), ((NONE, UNKNOWN), UNKNOWN), ((NONE, NONE), UNKNOWN),
            ((SOME, UNKNOWN), ALLOWED), ((NONE, NONE), ALLOWED),
        ):  # fmt: skip
            say(monkeypatch, *(Writers(answer) for answer in answers))
            assert image.refuse_writers(force=True).writers == state


def test_that_it_changed_explains_why_it_cannot_be_read(path: Path) -> None:
    with pytest.raises(FormatError, match="the stream ends"), RawImage.open(path):
        raise FormatError("the stream ends")

    def read_what_changes() -> None:
        with RawImage.open(path):
            os.truncate(path, 512)
            raise FormatError("the stream ends")

    with pytest.raises(ImageChangedError, match="changed while it was read"):
        read_what_changes()


@pytest.mark.parametrize("is_device", [True, False])
def test_a_device_that_was_mounted_meanwhile_is_refused_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_device: bool
) -> None:
    """Its times say nothing of what a file system writes to it."""
    real, mounted = os.open, list[bool]()

    def exclusively(name: Path, flags: int, *mode: int) -> int:
        if flags & os.O_EXCL and mounted:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return real(name, flags, *mode)

    with RawImage.open(path) as image:
        image.is_device = is_device
        monkeypatch.setattr(os, "open", exclusively)
        mounted.append(True)
        image.check_unchanged()  # it was not to be read as a whole
        mounted.clear()
        image.refuse_writers()
        image.check_unchanged()
        mounted.append(True)
        if is_device:
            with pytest.raises(ReadError, match="it is mounted or part of another device"):
                image.check_unchanged()
        else:
            image.check_unchanged()


def test_each_piece_of_an_image_is_compared(path: Path) -> None:
    places = [path.with_name(name) for name in ("first", "second", "third")]
    for place in places:
        place.write_bytes(bytes(4096))
    with (
        RawImage.open(path) as image,
        RawImage.open(places[0]) as first,
        RawImage.open(places[1]) as second,
        RawImage.open(places[2]) as third,
        image.joined(first),
        image.joined(second),
        image.joined(third),
    ):
        image.check_unchanged()
        os.utime(places[2], (1, 1))
        with pytest.raises(ImageChangedError, match="third changed"):
            image.check_unchanged()


def test_a_piece_that_is_not_open_is_compared_too(tmp_path: Path) -> None:
    path, piece = tmp_path / "disk.vmdk", tmp_path / "disk-flat.vmdk"
    piece.write_bytes(b"x" * 512)
    path.write_text('# Disk DescriptorFile\nRW 1 FLAT "disk-flat.vmdk" 0\n')
    with RawImage.open(path) as image:
        assert image.pieces == [piece]
        image.check_unchanged()
        piece.write_bytes(b"y" * 513)
        with pytest.raises(ImageChangedError):
            image.check_unchanged()
