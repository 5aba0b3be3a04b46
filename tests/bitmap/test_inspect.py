"""What is known of the bitmap beside an image, and whose word counts for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imsprep.bitmap.facts import BitmapFacts
from imsprep.bitmap.inspect import inspect_bitmap, read_bitmap
from imsprep.bitmap.layout import DEFAULT_LAYOUT, BitmapLayout, Bits
from imsprep.bitmap.sidecar import read_sidecar, sidecar_path
from imsprep.errors import ReadError
from imsprep.image.file import RawImage
from imsprep.units import MIB
from tests.support.running import Outcome

Run = Callable[..., Outcome]
OTHER = BitmapLayout(block_size=2 * MIB, body=Bits(data_bit=0), name="other")


@pytest.fixture
def disk(imsprep: Run, tmp_path: Path) -> Path:
    """A RAW disk of three blocks, the second of zeros, with its bitmap."""
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * (2 * MIB) + bytes(2 * MIB) + b"x" * (2 * MIB))
    assert imsprep("bitmap", path).code == 0
    return path


def look(disk: Path, layout: BitmapLayout | None = None) -> BitmapFacts:
    with RawImage.open(disk) as image:
        return inspect_bitmap(image, layout=layout)


def flags(facts: BitmapFacts) -> list[bool] | None:
    return None if facts.claimed is None else facts.claimed.flags().tolist()


def test_the_sidecar_says_the_layout_unless_another_is_given(disk: Path) -> None:
    facts = look(disk)
    assert (facts.layout, facts.stale, flags(facts)) == (DEFAULT_LAYOUT, None, [True, False, True])
    given = look(disk, OTHER)
    assert (given.layout, flags(given)) == (OTHER, [False, True, False])


def test_of_a_bitmap_that_the_sidecar_does_not_describe_the_layout_is_not_known(
    disk: Path,
) -> None:
    disk.with_suffix(".mf").write_bytes(b"\2")
    facts = look(disk)
    assert (facts.layout, facts.claimed) == (None, None)
    assert facts.stale == "is not the file that its sidecar describes"
    assert flags(look(disk, DEFAULT_LAYOUT)) == [False, True, False]


def test_a_bitmap_is_read_for_the_image_that_is_there(disk: Path) -> None:
    """As many bytes may be the bitmap of more blocks, or of fewer."""
    os.truncate(disk, 5 * 2 * MIB)
    facts = look(disk)
    assert facts.stale is not None
    assert "was made of an image of 6291456 bytes, this one has 10485760" in facts.stale
    assert flags(facts) == [True, False, True, False, False]


@pytest.mark.parametrize("later_ns", [-(10**9), -1, 1, 10**9])
def test_an_image_of_another_time_is_another_state_also_with_the_same_samples(
    disk: Path, later_ns: int
) -> None:
    """An older copy that was brought back differs where the fingerprint does not look.

    So does one that was written to again within the same second.
    """
    written_ns = disk.stat().st_mtime_ns + later_ns
    os.utime(disk, ns=(written_ns, written_ns))
    assert look(disk).stale == "was made before the image was last written"


def test_a_sidecar_whose_layout_does_not_fit_proves_nothing(disk: Path) -> None:
    """The image is a copy that kept its time, so only the content could tell."""
    bitmap = disk.with_suffix(".mf")
    sidecar = read_sidecar(bitmap)
    assert sidecar is not None
    moved = replace(
        sidecar, layout=BitmapLayout(block_size=512), identity=replace(sidecar.identity, inode=1)
    )
    sidecar_path(bitmap).write_text(json.dumps(moved.as_dict()))
    facts = look(disk)
    assert facts.stale is not None
    assert "does not have the layout of its sidecar" in facts.stale


def test_a_file_far_too_long_for_a_bitmap_is_not_read(disk: Path) -> None:
    bitmap = disk.with_suffix(".mf")
    os.truncate(bitmap, 512 * MIB + 1)
    with pytest.raises(ReadError, match="too large for a bitmap"):
        read_bitmap(bitmap)
    facts = look(disk)
    assert facts.misfit is not None
    assert (facts.length, facts.claimed) == (0, None)


@pytest.mark.parametrize("changed", [None, 0, 4 * MIB])
def test_a_copy_that_kept_its_time_is_the_same_state_if_its_samples_are(
    disk: Path, changed: int | None
) -> None:
    written_ns = disk.stat().st_mtime_ns
    content = bytearray(disk.read_bytes())
    if changed is not None:
        content[changed] ^= 1
    disk.unlink()
    disk.write_bytes(content)
    os.utime(disk, ns=(written_ns, written_ns))
    other = None if changed is None else "was made of an image with different content"
    assert look(disk).stale == other


def test_of_a_bitmap_that_is_not_there_nothing_is_known_but_the_layout_that_it_would_have(
    disk: Path,
) -> None:
    disk.with_suffix(".mf").unlink()
    facts = look(disk)
    assert (facts.length, facts.layout, facts.claimed) == (None, DEFAULT_LAYOUT, None)
    assert look(disk, OTHER).layout == OTHER
