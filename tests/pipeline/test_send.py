"""One artefact is sent: its sum is kept if asked for, and another file than planned is not sent."""

from __future__ import annotations

import json

import jsonschema
import pytest

from imsprep.errors import (
    ImageChangedError,
)
from tests.support.ims.imscloud import sha256
from tests.support.pipeline.import_place import Place, schema


@pytest.mark.slow
def test_the_sum_of_each_file_is_kept_if_asked_for(place: Place) -> None:
    with place.emulator() as go:
        done = go(with_sha256=True)
    written = json.loads(done.manifest.read_text())
    jsonschema.validate(written, schema())
    assert [sent["sha256"] for sent in written["objects"]] == [
        sha256(path.read_bytes()) for path in done.files
    ]


@pytest.mark.parametrize("name", ["disk.raw", "disk.mf"])
def test_a_file_that_changed_after_it_was_checked_is_not_sent(place: Place, name: str) -> None:
    path = place.folder / "local" / name
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with (
        place.emulator() as go,
        pytest.raises(ImageChangedError, match="changed after it was checked"),
    ):
        go()
    assert place.jobs == []
