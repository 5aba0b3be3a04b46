"""Memory that is used again."""

from __future__ import annotations

import mmap
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.system.buffers import Buffers


def test_what_was_released_is_used_again_and_what_was_not_is_not() -> None:
    buffers = Buffers()
    kept, given_back = buffers.take(8192), buffers.take(8192)
    kept[:4] = b"kept"
    buffers.release(given_back)
    assert buffers.take(8192) is given_back
    assert buffers.take(8192) not in (kept, given_back)
    assert kept[:4] == b"kept"


@given(st.lists(st.tuples(st.sampled_from([4096, 8192, 12288]), st.booleans())))
def test_no_memory_is_used_twice_at_a_time(steps: list[tuple[int, bool]]) -> None:
    buffers, in_use = Buffers(), list[mmap.mmap]()
    for size, release in steps:
        memory = buffers.take(size)
        assert len(memory) == size
        assert all(memory is not other for other in in_use)
        in_use.append(memory)
        if release:
            buffers.release(in_use.pop(0))


def test_memory_that_is_released_while_another_size_is_asked_for_is_not_given_out() -> None:
    class Slow(list[mmap.mmap]):
        """A list to which another thread comes before something is added."""

        def append(self, memory: mmap.mmap) -> None:
            buffers.take(8192)
            super().append(memory)

    buffers = Buffers()
    for size in (4096, 12288):
        memory = buffers.take(size)
        buffers._free = Slow()
        buffers.release(memory)
        assert len(buffers.take(8192)) == 8192


def test_threads_never_share_memory() -> None:
    buffers, mixed = Buffers(), []

    def work(number: int) -> None:
        mark = bytes([number]) * 4096
        for _ in range(300):
            memory = buffers.take(4096)
            memory[:] = mark
            if memory[:] != mark:
                mixed.append(number)
            buffers.release(memory)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not mixed


def test_where_memory_cannot_be_private_it_is_taken_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(mmap, "MAP_PRIVATE")
    assert len(Buffers().take(8192)) == 8192
