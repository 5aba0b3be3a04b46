"""Where imsprep keeps files of an image."""

from __future__ import annotations

from pathlib import Path

import pytest

import imsprep
from imsprep.pipeline.kept_files import kept_files


def test_all_that_is_kept_of_an_image_is_named(tmp_path: Path) -> None:
    assert {path.name for path in kept_files(tmp_path / "disk.raw")} == {
        "disk.mf", "disk.mf.json", "disk.zvhd2", "disk.zvhd2.json", "disk.imsprep.json",
        "disk.raw.upload.json", "disk.mf.upload.json", "disk.zvhd2.upload.json",
    }  # fmt: skip
    assert {path.parent for path in kept_files(tmp_path / "disk.raw")} == {tmp_path}


@pytest.mark.parametrize("via", ["raw", "zvhd2"])
def test_what_an_import_leaves_next_to_its_image_is_among_them(tmp_path: Path, via: str) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(b"data" * 1024)
    imsprep.import_image(
        image, to=f"local:{tmp_path}/cloud", name="data", type="DataImage", os_type="Linux",
        min_disk=40, fail_on="never", via=via,
    )  # fmt: skip
    made = {path for path in tmp_path.iterdir() if path.is_file()} - {image}
    assert made
    assert made <= {*kept_files(image), tmp_path / "disk.imsprep.lock"}


def test_a_folder_has_none() -> None:
    assert kept_files(Path()) == []
