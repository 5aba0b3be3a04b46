"""A folder that is named as an image is called what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import Outcome

Imsprep = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("clonezilla-img", "Clonezilla"), ("sda1.ext4-ptcl-img.gz.aa", "Clonezilla"),
        ("oci-layout", "container image"), ("bands", "sparse bundle"), ("web.vmx", "VMware"),
        ("web.raw", "name a file in it"), ("disk", "no name in it ends as that of a disk image"),
    ],
)  # fmt: skip
def test_a_folder_is_called_what_it_is(
    entry: str, said: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    folder = tmp_path / "disk.img"
    folder.mkdir()
    (folder / entry).write_bytes(b"")
    outcome = imsprep("convert", folder, tmp_path / "out.zvhd2")
    assert outcome.code == 3
    assert "it is a folder" in outcome.err
    assert said in outcome.err


@pytest.mark.parametrize("command", ["check", "info"])
def test_an_empty_folder_holds_no_images(command: str, imsprep: Imsprep, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    outcome = imsprep(command, tmp_path / "build")
    assert outcome.code == 3
    assert "build: it is a folder that holds no images" in outcome.err + outcome.out
    assert "name a file" not in outcome.err + outcome.out
