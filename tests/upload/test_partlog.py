"""The log of the parts of a streamed upload."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imsprep.errors import ReadError, UsageError
from imsprep.upload.partlog import Line, PartLog

LINES = [
    Line(number, 5 << 20, "0" * 32, f"etag-{number}", {"start": number}) for number in (1, 2, 3)
]


@pytest.fixture
def log(tmp_path: Path) -> PartLog:
    made = PartLog.for_upload(tmp_path / "disk.raw", "upload-1")
    for line in LINES:
        made.add(line)
    return made


def test_what_was_added_is_read_by_number_and_the_last_line_counts(log: PartLog) -> None:
    again = Line(2, 1, "1" * 32, "other", {})
    log.add(again)
    assert log.read() == {1: LINES[0], 2: again, 3: LINES[2]}
    assert log.path.name == "disk.raw.upload.parts"


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert PartLog.for_upload(tmp_path / "disk.raw", "u").read() == {}


def test_the_lines_of_another_upload_count_as_none(log: PartLog) -> None:
    for other in ("upload-2", "upload-12", "upload-", ""):
        assert PartLog(log.path, other).read() == {}


def test_after_any_cut_the_whole_lines_are_read_and_the_log_goes_on(log: PartLog) -> None:
    whole = log.path.read_bytes()
    for cut in range(len(whole)):
        log.path.write_bytes(whole[:cut])
        read = log.read()
        assert list(read) == list(range(1, len(read) + 1)), cut
        log.add(LINES[2])
        assert log.read() == {**read, 3: LINES[2]}, cut


@pytest.mark.parametrize("at", [0, 10, 70, 100])
def test_a_line_with_a_byte_changed_counts_as_none(log: PartLog, at: int) -> None:
    whole = bytearray(log.path.read_bytes())
    whole[1 + at] ^= 0x01
    log.path.write_bytes(whole)
    assert sorted(log.read()) == [2, 3]


def test_a_foreign_file_in_its_place_is_kept(tmp_path: Path) -> None:
    log = PartLog.for_upload(tmp_path / "disk.raw", "u")
    log.check_replaceable()
    log.path.write_text("my own notes\n")
    with pytest.raises(UsageError, match="was not written by imsprep"):
        log.check_replaceable()
    log.path.unlink()
    log.add(LINES[0])
    log.check_replaceable()
    log.path.write_bytes(log.path.read_bytes()[:9])  # torn in its first line
    log.check_replaceable()


def test_a_log_that_is_removed_is_forgotten(log: PartLog) -> None:
    log.remove()
    log.remove()
    assert log.read() == {}


def test_of_a_log_that_breaks_off_the_whole_lines_are_believed(log: PartLog) -> None:
    whole = log.path.read_bytes()
    ends = [at for at, byte in enumerate(whole) if byte == ord("\n") and at][::2]
    for cut in range(len(whole)):
        log.path.write_bytes(whole[:cut])
        assert list(log.read()) == [n for n, end in enumerate(ends, 1) if end <= cut], cut
        log.check_replaceable()


@pytest.mark.parametrize("theirs", [b"parts\n", b"0123 spare parts\n", b"0" * 65])
def test_what_only_resembles_a_log_is_kept(tmp_path: Path, theirs: bytes) -> None:
    log = PartLog.for_upload(tmp_path / "disk.raw", "u")
    log.path.write_bytes(theirs)
    assert log.read() == {}
    with pytest.raises(UsageError, match=r"disk\.raw\.upload\.parts was not written by imsprep"):
        log.check_replaceable()


def test_a_log_that_cannot_be_written_or_read_says_so(tmp_path: Path) -> None:
    log = PartLog.for_upload(tmp_path / "none" / "disk.raw", "u")
    with pytest.raises(ReadError, match="cannot write"):
        log.add(LINES[0])
    log = PartLog.for_upload(tmp_path / "disk.raw", "u")
    os.mkfifo(log.path)
    assert log.read() == {}
    with pytest.raises(ReadError):
        log.check_replaceable()


def test_a_log_is_no_link_and_has_the_mode_of_any_file(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"")
    log = PartLog.for_upload(tmp_path / "disk.raw", "u")
    log.path.symlink_to(elsewhere)
    assert log.read() == {}
    with pytest.raises(ReadError, match="cannot write"):
        log.add(LINES[0])
    assert elsewhere.read_bytes() == b""
    log.remove()
    log.path.symlink_to(log.path)
    with pytest.raises(ReadError, match="cannot read"):
        log.check_replaceable()
    log.remove()
    log.add(LINES[0])
    assert log.path.stat().st_mode == elsewhere.stat().st_mode
