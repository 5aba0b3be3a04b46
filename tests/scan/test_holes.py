"""Holes are believed where that is asked for, and elsewhere on file systems that are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.image.file import RawImage
from imsprep.scan import holes
from imsprep.scan.holes import AUTO, TRUST, VERIFY, believes_holes


@pytest.mark.parametrize(("name", "known"), [("ext4", True), ("nfs4", False), ("", False)])
def test_only_known_file_systems_are_believed_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, known: bool
) -> None:
    monkeypatch.setattr(holes, "file_system", lambda file: name)
    (tmp_path / "disk.raw").write_bytes(bytes(512))
    with RawImage.open(tmp_path / "disk.raw") as image:
        assert believes_holes(image, AUTO) is known
        assert believes_holes(image, TRUST) is True
        assert believes_holes(image, VERIFY) is False
