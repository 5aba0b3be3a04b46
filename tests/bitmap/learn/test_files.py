"""Learning from files: the probe on disk, pairs of image and bitmap, and the layout that is kept."""

from __future__ import annotations

import getpass
import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest

from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.layout_json import load_layout, save_layout
from imsprep.bitmap.learn.files import learn_files, save_learned, write_probe
from imsprep.bitmap.learn.probe import MIN_SIZE, probe_map, sector_content, sectors
from imsprep.errors import ReadError, UsageError
from imsprep.image.blockmap import BlockMap
from imsprep.options import LearnOptions
from imsprep.progress import Event
from imsprep.units import MIB, SECTOR, TIB

B = 4096


def tool(of: BlockMap, head: bytes = b"BITS") -> bytes:
    """What a tool of another vendor writes: a head, the number of blocks, a bit for each."""
    return head + struct.pack("<I", len(of)) + np.packbits(of.flags(), bitorder="little").tobytes()


def pair(folder: Path, size: int, head: bytes = b"BITS") -> tuple[Path, Path]:
    """A probe and its bitmap, as old as no other test's."""
    image, made = folder / f"{size}.raw", folder / f"{size}.mf"
    write_probe(image, size=size)
    made.write_bytes(tool(probe_map(size, B), head))
    for path in (image, made):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return image, made


def test_the_probe_on_disk_is_the_one_that_was_planned(tmp_path: Path) -> None:
    path = tmp_path / "probe.raw"
    assert write_probe(path, size=MIN_SIZE) == len(sectors(MIN_SIZE)) * SECTOR
    data = path.read_bytes()
    assert len(data) == MIN_SIZE
    planned = probe_map(MIN_SIZE, SECTOR)
    for number in range(MIN_SIZE // SECTOR):
        wanted = sector_content(number) if planned[number] else bytes(SECTOR)
        assert data[number * SECTOR : (number + 1) * SECTOR] == wanted


def test_a_file_that_is_no_layout_is_kept_and_a_layout_is_replaced(tmp_path: Path) -> None:
    notes, saved = tmp_path / "notes.txt", tmp_path / "a.layout.json"
    notes.write_text("mine")
    with pytest.raises(UsageError, match="not replaced"):
        save_learned(notes, BitmapLayout(B))
    assert notes.read_text() == "mine"
    save_layout(saved, BitmapLayout(B))
    save_learned(saved, BitmapLayout(2 * B))
    assert load_layout(str(saved)).block_size == 2 * B


@pytest.mark.parametrize("of", [(socket, "gethostname"), (getpass, "getuser")])
def test_the_names_of_the_machine_and_of_the_user_are_no_constants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: tuple[object, str]
) -> None:
    monkeypatch.setattr(*of, lambda: "builder7")
    sizes = (MIN_SIZE, MIN_SIZE + 9 * MIB + 5 * SECTOR)
    pairs = [pair(tmp_path, size, b"by BUILDER7 ") for size in sizes]
    learned = learn_files(pairs)
    assert learned.outcome == "none"
    assert "names 'builder7'" in learned.reached
    monkeypatch.setattr(*of, lambda: "other")
    assert learn_files(pairs).outcome == "one"


def test_a_user_without_a_name_is_none_to_look_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr(getpass, "getuser", nameless)
    sizes = (MIN_SIZE, MIN_SIZE + 9 * MIB + 5 * SECTOR)
    assert learn_files([pair(tmp_path, size) for size in sizes]).outcome == "one"


@pytest.mark.parametrize("size", [MIN_SIZE - SECTOR, TIB + SECTOR, MIN_SIZE + 1])
def test_a_probe_of_an_impossible_size_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(UsageError, match=f"in whole sectors, not {size} bytes"):
        write_probe(tmp_path / "probe.raw", size=size)
    assert list(tmp_path.iterdir()) == []


def test_a_probe_replaces_a_file_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "probe.raw"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="allow it to be replaced") as told:
        write_probe(path, size=MIN_SIZE)
    assert told.value.remedies == ("force",)
    assert path.read_bytes() == b"mine"
    write_probe(path, size=MIN_SIZE, force=True)
    assert path.stat().st_size == MIN_SIZE


def test_two_pairs_give_a_layout_with_the_name_of_the_first_bitmap(tmp_path: Path) -> None:
    pairs = [pair(tmp_path, size) for size in (MIN_SIZE, MIN_SIZE + 9 * MIB + 5 * SECTOR)]
    events: list[Event] = []
    learned = learn_files(pairs, LearnOptions(progress=events.append))
    (layout,) = learned.layouts
    assert (learned.outcome, layout.name) == ("one", f"learned from {MIN_SIZE}.mf")
    assert [m.length for m in layout.matched] == [made.stat().st_size for _, made in pairs]
    sizes = sum(image.stat().st_size for image, _ in pairs)
    assert (sum(e.count for e in events), {e.total for e in events}) == (sizes, {sizes})
    shown = learned.as_dict()
    assert (shown["outcome"], shown["saved"], len(learned.layouts)) == ("one", None, 1)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_file_of_a_pair_that_is_missing_is_named(tmp_path: Path, missing: int) -> None:
    one = pair(tmp_path, MIN_SIZE)
    one[missing].unlink()
    with pytest.raises(ReadError, match=one[missing].name):
        learn_files([one])
