import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imsprep.system.positioned import read_at, read_into, write_at

_CALLS = ("pread", "preadv", "pwritev")


@pytest.fixture(params=["calls", "no calls"])
def file(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """An open file of 256 bytes, where the calls are there and where they are not."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)))
    opened = os.open(path, os.O_RDWR)
    if request.param == "no calls":
        for name in _CALLS:
            monkeypatch.delattr(os, name)
    yield opened
    os.close(opened)


def test_a_range_is_read(file: int) -> None:
    assert read_at(file, 3, 200) == bytes([200, 201, 202])
    assert read_at(file, 10, 254) == bytes([254, 255])
    assert read_at(file, 10, 300) == b""
    buffer = bytearray(4)
    assert read_into(file, memoryview(buffer), 253) == 3
    assert buffer == bytes([253, 254, 255, 0])


def test_pieces_are_written_one_behind_the_other(file: int) -> None:
    write_at(file, [b"ab", b"", memoryview(b"cde")], 100)
    assert read_at(file, 7, 99) == b"\x63abcde\x69"


@pytest.mark.parametrize("most", [1, 2, 3])
def test_what_was_written_in_part_is_gone_on_with(
    file: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(pieces: list[memoryview]) -> bytes:
        return b"".join(pieces)[:most]

    if hasattr(os, "pwritev"):
        write = os.pwrite
        monkeypatch.setattr(os, "pwritev", lambda f, p, o: write(f, some(p), o))
    else:
        write_some = os.write
        monkeypatch.setattr(os, "write", lambda f, p: write_some(f, some([p])))
    write_at(file, [b"abc", b"", b"defg"], 10)
    assert read_at(file, 9, 9) == b"\x09abcdefg\x11"


def test_threads_do_not_move_one_another(file: int) -> None:
    def work(value: int) -> None:
        for _ in range(200):
            write_at(file, [bytes([value])], value)
            wrong.update({value} - set(read_at(file, 1, value)))

    wrong: set[int] = set()
    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
