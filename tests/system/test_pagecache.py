"""The page cache: what is known of it, what is dropped, and hints that are taken back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.image.file import RawImage
from imsprep.scan.bench import figures as speed
from imsprep.system import pagecache
from imsprep.system.pagecache import without_readahead
from imsprep.units import MIB


def test_reads_go_ahead_again_after_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x")
    advice: list[int] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda f, start, length, what: advice.append(what))
    with RawImage.open(path) as image, pytest.raises(KeyError), without_readahead(image.fileno()):
        raise KeyError
    assert advice == [os.POSIX_FADV_RANDOM, os.POSIX_FADV_NORMAL]


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_runs_of_pages_cover_each_page_once(pages: list[bool], shortest: int) -> None:
    resident = bytes(pages)
    runs = list(pagecache.page_runs(resident, shortest))
    assert [page for first, last, _ in runs for page in range(first, last)] == list(
        range(len(pages))
    )
    for first, last, cached in runs:
        assert first < last
        if cached:  # nothing is called cached that is not, and no short run but the first
            assert all(pages[first:last])
            assert last - first >= shortest or first == 0


def test_a_range_is_cached_or_cold_as_the_file_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * 8 * MIB)
    answers = iter([True] * 8 + [False] * 24)
    monkeypatch.setattr("imsprep.system.pagecache.is_cached", lambda file, place: next(answers))
    with RawImage.open(path) as image:
        assert pagecache.in_cache(image.fileno(), [(0, MIB), (2 * MIB, 8 * MIB)]) == 0.25
        for answer, cold, cached in ((True, False, True), (False, True, False)):
            monkeypatch.setattr(
                "imsprep.system.pagecache.is_cached", lambda file, place, a=answer: a
            )
            assert pagecache.make_cold(image.fileno(), [(0, 8 * MIB)]) == cold
            assert speed.make_cached(image, [(0, 8 * MIB)], lambda count: None) == cached

        monkeypatch.setattr("imsprep.system.pagecache.is_cached", lambda file, place: None)
        assert not pagecache.make_cold(image.fileno(), [(0, 8 * MIB)])
        assert speed.make_cached(image, [(0, 8 * MIB)], lambda count: None)
