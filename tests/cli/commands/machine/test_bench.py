"""`imsprep bench`: one image or files of its own, and not both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name an IMAGE to estimate, or give --synthetic, not both"),
        (("disk.raw", "--synthetic"), "not both"),
        (("disk.raw", "--dir", "."), "--dir and --size are for --synthetic"),
        (("--synthetic", "--bandwidth", "1m"), "--bandwidth is for an IMAGE"),
        (("--synthetic", "--size", "1k"), ""),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    imsprep: Run, words: tuple[str, ...], said: str
) -> None:
    done = imsprep("bench", *words)
    assert done.code == 2
    assert said in done.err


def test_an_image_is_estimated_and_not_changed(imsprep: Run, tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(b"data" * (1 << 18))
    before = image.stat()
    value = imsprep("bench", image, "--runs", 1, "--bandwidth", "10m", "--json").json
    assert value["schema"] == "imsprep.bench/1"
    assert image.stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]
