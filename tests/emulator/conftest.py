from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ims.imscloud import cloud


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with cloud(tmp_path) as (_, url, _):
        yield url
