"""Info: one screen about a RAW or ZVHD2 file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.cli.commands.imports import info
from imsprep.units import MIB
from tests.support.running import Outcome
from tests.support.zvhd2.goldens import FACTS, golden

Imsprep = Callable[..., Outcome]


def test_a_container_is_told_in_one_screen(imsprep: Imsprep, tmp_path: Path) -> None:
    path = tmp_path / "disk.zvhd2"
    path.write_bytes(golden("scattered_zlib"))
    said = imsprep("info", path, "--json").json
    facts = FACTS["scattered_zlib"]
    assert (said["format"], said["virtual_size"]) == ("zvhd2", facts["virtual_size"])
    assert said["file_size"] == facts["zvhd2_size"]
    packed = said["packed"]
    assert packed["stored_blocks"] == len(facts["nonzero_blocks"])
    assert (packed["blocks"], packed["block_size"]) == (facts["blocks"], facts["block_size"])
    assert (packed["compression"], packed["creator"]) == ("zlib", "tap 1.4")
    assert packed["data_bytes"] == 6 * 2 * MIB
    assert packed["ratio"] > 1
    text = imsprep("info", path).out
    assert packed["uuid"] in text
    assert len(text.splitlines()) <= 24


def test_what_it_cannot_tell_is_refused(imsprep: Imsprep, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(golden("one_block")[:-4096])
    assert imsprep("info", path).code == 1
    path.write_bytes(b"\x1f\x8b\x08" + bytes(4096))
    outcome = imsprep("info", path)
    assert (outcome.code, "gzip" in outcome.err) == (1, True)
    assert imsprep("info", tmp_path / "none").code == 3


def test_what_shows_more_is_named_on_a_terminal_alone(
    imsprep: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(1 << 20))
    assert imsprep("info", image).err == ""
    monkeypatch.setattr(info, "is_terminal", lambda stream: True)
    assert "--guest: how it boots; imsprep check: partitions" in imsprep("info", image).err
    assert imsprep("info", image, "--json").err == imsprep("info", image, "-q").err == ""
