"""What a folder's images are, read while no emulator runs over it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from imsprep.emulator.kept import KeptImages
from imsprep.errors import ReadError
from imsprep.ims.listed import CloudImage
from imsprep.ims.region import RegionFacts, look_at_region
from tests.support.pipeline.import_place import Place


@pytest.mark.slow
def test_it_answers_as_the_emulator_that_made_the_images(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.emulator() as go:
        made = go()
        served = look_at_region(place.service, "d")
        for name in ("d", place.prepared.request.name):
            listed = place.service.images(name, limit_s=math.inf)
            assert KeptImages(tmp_path / "state").images(name, limit_s=0) == listed
    assert [one.image_id for one in listed] == [made.image_id]
    kept = look_at_region(KeptImages(tmp_path / "state"), "d")
    assert (kept.quota, kept.images, kept.refusal) == (served.quota, served.images, "")


def test_a_folder_without_an_emulator_has_no_image_and_gets_nothing(tmp_path: Path) -> None:
    facts = look_at_region(KeptImages(tmp_path / "none"), "web01")
    assert facts == RegionFacts(quota=(0, 50))
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_is_being_made_counts_and_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    record = '{"image_id": "i", "status": "queued", "created_at": "", "body": %s}'
    (tmp_path / "images/i.json").write_text(record % '{"name": "web01", "image_url": "b:k"}')
    found = KeptImages(tmp_path).images("web01", limit_s=0)
    assert found == [CloudImage("i", "web01", "queued", "file,b:k")]
    (tmp_path / "images/j.json").write_text("{")
    with pytest.raises(ReadError, match=r"j\.json is not a record of the emulator"):
        KeptImages(tmp_path).image_quota(limit_s=0)
