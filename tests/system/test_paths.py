"""Paths as callers give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.errors import UsageError
from imsprep.system.paths import optional_path, path_of


def test_text_and_paths_are_paths_and_nothing_is_none() -> None:
    assert path_of("a/b") == path_of(Path("a/b")) == Path("a/b")
    assert optional_path(None) is None
    assert optional_path("x") == Path("x")


def test_an_empty_name_is_not_the_current_folder() -> None:
    with pytest.raises(UsageError, match="empty"):
        path_of("")


@pytest.mark.parametrize("value", [5, None, b"disk.raw", ["disk.raw"]])
def test_what_is_no_path_is_wrong_usage(value: object) -> None:
    with pytest.raises(UsageError, match="is no path"):
        path_of(value)  # type: ignore[arg-type]  # what is tested
