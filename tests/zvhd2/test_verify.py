"""Unpacking every block: all of them are looked at, and whoever stops it stops it."""

from __future__ import annotations

import threading
import zlib

import pytest

from imsprep.zvhd2 import records, verify
from imsprep.zvhd2.examine import Container, Read, examine
from imsprep.zvhd2.faults import Kind
from imsprep.zvhd2.verify import check_payloads
from tests.support.zvhd2.files import build, reading

MIB = 1 << 20
BUILT = build({n: bytes([n]) for n in range(1, 200)}, 200 * MIB, block_size=MIB)


def opened(data: bytes) -> tuple[Container, Read]:
    read = reading(data)
    return examine(read, len(data)).container_or_raise(), read


@pytest.mark.parametrize("jobs", [0, 1, 2, 7])
def test_every_block_is_unpacked_and_told_once(jobs: int) -> None:
    container, read = opened(BUILT.data)
    seen: list[int] = []
    lock = threading.Lock()

    def noting(offset: int, length: int) -> bytes:
        with lock:
            seen.append(offset)
        return read(offset, length)

    done: list[int] = []
    assert check_payloads(container, noting, jobs=jobs, progress=done.append) == []
    assert sorted(seen) == sorted(BUILT.entries["offset"].tolist())
    assert sum(done) == container.stored_size


@pytest.mark.parametrize("jobs", [1, 4])
def test_the_first_bad_block_is_told_for_any_number_of_jobs(jobs: int) -> None:
    data = bytearray(BUILT.data)
    for number in (150, 40, 77):
        at = int(BUILT.entries["offset"][number])
        data[at + records.BLOCK_HEADER_SIZE] ^= 0xFF
    container, read = opened(bytes(data))
    (fault,) = check_payloads(container, read, jobs=jobs)
    assert fault.kind is Kind.PAYLOAD
    assert fault.offset == BUILT.entries["offset"][40]
    assert fault.message.startswith("block 41 cannot be unpacked")
    assert fault.message.endswith(", and 2 more blocks")


@pytest.mark.parametrize("blocks", [1, 31, 32, 33, 64, 65])
def test_a_bad_last_block_is_told_however_many_stand_before_it(blocks: int) -> None:
    built = build({n: bytes([n + 1]) for n in range(blocks)}, blocks * MIB, block_size=MIB)
    data = bytearray(built.data)
    data[int(built.entries["offset"].max()) + records.BLOCK_HEADER_SIZE] ^= 0xFF
    container, read = opened(bytes(data))
    (fault,) = check_payloads(container, read)
    assert fault.message.startswith(f"block {blocks - 1} cannot be unpacked")


def test_what_progress_raises_ends_it() -> None:
    container, read = opened(BUILT.data)

    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_payloads(container, read, jobs=1, progress=stop)
    assert not [t for t in threading.enumerate() if "ThreadPoolExecutor" in t.name]


def test_an_error_of_reading_ends_it() -> None:
    container, _ = opened(BUILT.data)

    def broken(offset: int, length: int) -> bytes:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        check_payloads(container, broken)


def test_the_blocks_are_given_to_the_digest_at_their_places() -> None:
    container, read = opened(BUILT.data)
    given: dict[int, bytes] = {}

    class Tree:
        def add(self, offset: int, data: bytes) -> None:
            given[offset] = data

    assert check_payloads(container, read, tree=Tree()) == []
    assert given == {n * MIB: bytes([n]).ljust(MIB, b"\0") for n in range(1, 200)}


def test_without_a_number_of_jobs_the_usable_cpus_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(verify, "usable_cpus", lambda: 3)
    monkeypatch.setattr(verify, "unpacking_threads", lambda size, jobs: asked.append(jobs) or 1)
    container, read = opened(BUILT.data)
    check_payloads(container, read)
    check_payloads(container, read, jobs=5)
    assert asked == [3, 5]


@pytest.mark.parametrize(
    ("bad", "words"), [(1, ""), (2, ", and 1 more blocks"), (3, ", and 2 more blocks")]
)
def test_one_fault_is_told_and_the_number_of_the_others(bad: int, words: str) -> None:
    built = build({n: b"x%d" % n for n in range(4)}, 8 << 20, block_size=1 << 20)
    data = built.data
    for n in range(bad):
        at = int(built.entries["offset"][n]) + records.BLOCK_HEADER_SIZE
        data = data[:at] + b"\xff\xff" + data[at + 2 :]
    read = reading(data)
    container = examine(read, len(data)).container_or_raise()
    (fault,) = check_payloads(container, read, progress=lambda count: None)
    assert "block 0 cannot be unpacked" in fault.message
    assert fault.message.endswith(words) if words else "more blocks" not in fault.message


def test_what_cannot_be_unpacked_comes_before_what_one_reader_alone_refuses() -> None:
    """The first fault is the one that whoever reads the container raises."""
    built = build({0: b"", 1: b"one"}, 2 * MIB, block_size=MIB, method=records.ZLIB)
    first, second = (int(offset) for offset in built.entries["offset"])
    payload = zlib.compress(bytes(MIB), 1)  # with an end marker
    data = bytearray(built.data)
    data[first + 12 : first + 16] = len(payload).to_bytes(4, "little")
    at = first + records.BLOCK_HEADER_SIZE
    data[at : at + len(payload)] = payload
    data[second + records.BLOCK_HEADER_SIZE] ^= 0xFF
    container, read = opened(bytes(data))
    faults = check_payloads(container, read)
    assert [(fault.kind, fault.offset) for fault in faults] == [
        (Kind.PAYLOAD, second), (Kind.FINISHED, first),
    ]  # fmt: skip
