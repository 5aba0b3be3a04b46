"""A proof counts what is marked, and names what would be lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.verify import Proof, prove
from imsprep.bitmap.write import make_bitmap
from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap
from imsprep.options import VerifyOptions
from imsprep.scan.scan import Coverage

MIB = 1 << 20


def test_a_proof_counts_what_is_marked_and_names_what_would_be_lost(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    runs = [1, 0] * 7  # blocks with data and without, in turn
    disk.write_bytes(b"".join((b"x" if one else b"\0") + bytes(2 * MIB - 1) for one in runs))
    bitmap = tmp_path / "other.mf"
    bitmap.write_bytes(b"\x00\x00")
    proof = prove(disk, VerifyOptions(bitmap=str(bitmap)))
    told = proof.as_dict()
    assert (told["blocks"], told["marked_data"], told["marked_empty"]) == (14, 0, 14)
    assert [lost["offset"] // (2 * MIB) for lost in told["data_marked_empty"]] == [*range(0, 14, 2)]
    assert told["layout_assumed"]
    assert not told["holds"]
    assert _runs_named(str(proof)) == 7
    layout = BitmapLayout(2 * MIB)
    assert not prove(disk, VerifyOptions(bitmap=str(bitmap), layout=layout)).assumed
    make_bitmap(disk)
    sound = prove(disk)
    assert sound.holds
    assert not sound.assumed
    assert sound.as_dict()["marked_empty"] == 7
    assert json.loads((tmp_path / "disk.mf.json").read_text())["schema"] == 1


@pytest.mark.parametrize("layout", [None, BitmapLayout(2 * MIB)])
@pytest.mark.parametrize(("before", "now"), [(b"x", b"y"), (b"\0", b"\0"), (b"x", b"\0")])
def test_a_bitmap_of_another_state_does_not_hold_though_nothing_is_lost(
    tmp_path: Path, layout: BitmapLayout | None, before: bytes, now: bytes
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(before + bytes(4 * MIB - 1))
    make_bitmap(disk)
    disk.write_bytes(now + bytes(4 * MIB - 1))
    proof = prove(disk, VerifyOptions(layout=layout))
    assert (proof.lost.allocated, proof.wasted.allocated) == (0, before != b"\0" == now)
    assert proof.stale is not None
    assert not proof.holds
    assert "proved" in str(proof)
    assert "make it again" in str(proof)


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 5, 6])
def test_no_more_runs_are_counted_than_there_are(tmp_path: Path, lost: int) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes((b"x" + bytes(4 * MIB - 1)) * lost)
    (tmp_path / "other.mf").write_bytes(bytes(-(-2 * lost // 8)))
    text = str(prove(disk, VerifyOptions(bitmap=str(tmp_path / "other.mf"))))
    assert _runs_named(text) == lost
    assert " and 0 more" not in text


@pytest.mark.slow
def test_a_proof_says_whether_a_program_could_write_meanwhile(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"x" + bytes(4 * MIB - 1))
    make_bitmap(disk)
    before = prove(disk)
    assert before.sharing is not None
    assert before.as_dict()["sharing"] == before.sharing.as_dict()
    with open(disk, "r+b"):
        proof = prove(disk, VerifyOptions(force_share=True))
    assert proof.as_dict()["sharing"]["writers"] == "allowed"
    assert "open for writing" in str(proof)
    assert "open for writing" not in str(before)


@pytest.mark.parametrize("given", [False, True])
def test_a_file_that_is_no_bitmap_of_the_image_proves_nothing(tmp_path: Path, given: bool) -> None:
    disk, bitmap = tmp_path / "disk.raw", tmp_path / "other.mf"
    disk.write_bytes(b"x" + bytes(4 * MIB - 1))
    bitmap.write_bytes(bytes(2))
    layout = BitmapLayout(2 * MIB) if given else None
    with pytest.raises(FormatError, match=r"other\.mf is not a bitmap of this image") as caught:
        prove(disk, VerifyOptions(bitmap=str(bitmap), layout=layout))
    assert caught.value.remedies == (() if given else ("layout",))
    assert ("was taken to be zvhd2" in str(caught.value)) != given


def _runs_named(text: str) -> int:
    """Return how many runs a proof names and counts."""
    more = re.search(r" and (\d+) more runs", text)
    return text.count("bytes at") + (int(more[1]) if more else 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_what_is_lost_is_told_block_by_block_and_not_by_how_many(
    blocks: list[tuple[bool, bool]],
) -> None:
    """As many may be marked as hold data, and others."""
    size = len(blocks) * 4096
    claimed, found = (
        BlockMap.from_flags(size, 4096, np.array([pair[n] for pair in blocks])) for n in (0, 1)
    )
    proof = Proof(Path("disk.mf"), claimed, found, None, Coverage(0, 0, size))
    assert proof.lost.flags().tolist() == [data and not marked for marked, data in blocks]
    assert proof.wasted.flags().tolist() == [marked and not data for marked, data in blocks]
    assert proof.holds == all(marked or not data for marked, data in blocks)
