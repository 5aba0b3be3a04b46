"""A package that is called passes the call to the front door's function of its name."""

from __future__ import annotations

import inspect
from pathlib import Path

import imsprep
from imsprep import api


def test_a_package_is_called_as_its_function(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"x" * 4096)
    assert imsprep.scan(tmp_path / "a.raw").block_map.allocated == 1
    assert inspect.signature(imsprep.scan) == inspect.signature(api.scan)
    assert imsprep.scan.__name__ == "imsprep.scan"
