"""What an import works with: the bucket is opened once, for the questions and for the upload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import imsprep
from imsprep.pipeline import import_task as importing
from imsprep.store.directory import DirectoryStore
from imsprep.store.target import open_store

pytest.importorskip("werkzeug", reason="not installed: werkzeug")

MIB = 1 << 20


def test_the_bucket_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def counted(*arguments: Any, **options: Any) -> Any:
        opened.append(open_store(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(importing, "open_store", counted)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"\xeb" + bytes(509) + b"\x55\xaa" + bytes(4 * MIB - 512))
    done = imsprep.import_image(
        disk,
        to=f"local:{tmp_path}/cloud",
        name="web01",
        type="DataImage",
        min_disk=40,
        poll_s=0.05,
    )
    [store] = opened
    assert isinstance(store, DirectoryStore)
    assert store.head("disk.zvhd2") is not None
    assert done.sent > 0


def test_each_import_opens_its_own(tmp_path: Path) -> None:
    options = imsprep.ImportOptions(to=f"local:{tmp_path}/cloud")
    first, second = importing.opening(options), importing.opening(options)
    assert first() is first()
    assert first() is not second()
