from __future__ import annotations

import pytest


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every file forgotten when asked to, whatever file system is under the tests."""
    monkeypatch.setattr("imsprep.scan.bench.synthetic.make_cold", lambda image, ranges: True)
    monkeypatch.setattr("imsprep.scan.bench.scan_estimate.make_cold", lambda image, ranges: True)
