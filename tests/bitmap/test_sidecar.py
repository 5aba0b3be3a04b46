"""The sidecar: written so that a crash is recognised, and a hash of what was scanned."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imsprep.bitmap import sidecar
from imsprep.bitmap.write import make_bitmap
from imsprep.errors import ReadError
from imsprep.image.blockmap import BlockMap
from imsprep.image.identity import Identity
from imsprep.system import atomic
from tests.support.image.raw_disk import BLOCK, make_disk, write_byte
from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_disk(tmp_path / "disk.raw")


class Killed(BaseException):
    """Stands for the process's end: nothing of ours runs after it but `finally`."""


@pytest.mark.parametrize("step", range(4))
def test_a_run_that_is_killed_between_the_two_files_is_told_and_run_again(
    imsprep: Run, disk: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    imsprep("bitmap", disk)
    write_byte(disk, 6 * BLOCK)
    steps = 0
    replace, unlink = os.replace, Path.unlink

    def counted(do: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > step:
                raise Killed
            return do(*args, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", counted(replace))
        patch.setattr(Path, "unlink", counted(unlink))
        if step == 3:
            make_bitmap(disk)
        else:
            with pytest.raises(Killed):
                make_bitmap(disk)
    assert steps == min(step + 1, 3)
    proof = imsprep("verify", disk)
    assert (proof.code == 0) is (step == 3), proof
    assert imsprep("bitmap", disk).code == 0
    assert imsprep("verify", disk).code == 0
    assert not list(disk.parent.glob(".*.part"))


def test_a_second_run_leaves_equal_files_alone(imsprep: Run, disk: Path) -> None:
    imsprep("bitmap", disk)
    before = [Identity.of(p) for p in sorted(disk.parent.glob("disk.mf*"))]
    assert json.loads((disk.parent / "disk.mf.json").read_text())["schema"] == 1
    imsprep("bitmap", disk)
    assert [Identity.of(p) for p in sorted(disk.parent.glob("disk.mf*"))] == before


def test_a_bitmap_that_cannot_be_read_is_not_taken_for_none(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, **_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    theirs = disk.with_suffix(".mf")
    theirs.write_bytes(b"theirs")
    monkeypatch.setattr(sidecar, "read_plain", broken)
    with pytest.raises(ReadError, match=r"cannot read .*disk\.mf: Input/output error"):
        make_bitmap(disk)
    assert theirs.read_bytes() == b"theirs"


@pytest.mark.parametrize("count", [1, 2, 3, 64, 65, 1000])
def test_the_fingerprint_looks_at_the_first_and_the_last_block_with_data(count: int) -> None:
    flags = np.zeros(count + 2, dtype=bool)
    flags[1:-1] = True
    found = BlockMap.from_flags(len(flags) * BLOCK - 512, BLOCK, flags)
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(offset // BLOCK)
        return bytes(length)

    plain = sidecar.fingerprint(found, read)
    assert (asked[0], asked[-1]) == (1, count)
    assert len(set(asked)) == len(asked) == min(64, count)
    for block in {1, count}:
        marked = sidecar.fingerprint(
            found, lambda o, n, at=block * BLOCK: bytes([o == at]) + bytes(n - 1)
        )
        assert marked != plain


@pytest.mark.parametrize("blocks", [[1], [0, 1], [1, 3], [2, 3]])
def test_the_same_content_at_other_places_has_another_fingerprint(blocks: list[int]) -> None:
    """Of a disk of the same size, with data in as many blocks."""

    def taken(places: list[int]) -> str:
        flags = np.isin(np.arange(5), places)
        return sidecar.fingerprint(
            BlockMap.from_flags(5 * BLOCK, BLOCK, flags), lambda offset, length: b"x" * length
        )

    assert taken(blocks) == taken(blocks)
    others = {taken([place + 1 for place in blocks]), taken([4]), taken([0, 4]), taken([])}
    assert taken(blocks) not in others
