"""A range of an image as a file."""

from __future__ import annotations

from imsprep.units import MIB
from imsprep.upload.parts.body import window
from tests.support.store.suite import pattern


def test_a_window_is_a_file_over_its_range() -> None:
    data = pattern(5 * MIB)

    def read_into(offset: int, view: memoryview) -> None:
        view[:] = data[offset : offset + len(view)]

    file = window(read_into, 100, 3 * MIB)
    assert file.read() == data[100 : 100 + 3 * MIB]
    assert (file.seek(-10, 2), file.read(100)) == (3 * MIB - 10, data[3 * MIB + 90 : 3 * MIB + 100])
    assert (file.seek(5), file.read(3), file.tell()) == (5, data[105:108], 8)
