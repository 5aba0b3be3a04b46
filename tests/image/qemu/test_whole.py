"""An image is converted to its disk, byte for byte, or refused: cut short, or with a field changed.

`make damage` does the same with more of each; docs/damage.md has what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.image.damage import KINDS, Damage, Kind, changes, cuts, make, write_disk
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]
pytestmark = need("qemu-img", "qemu-nbd")

CUTS, CHANGES = 2, 5
SEED = 7


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "disk.raw"
    write_disk(path)
    return path


def disk_or_refused(
    kind: Kind, damage: Damage, imsprep: Imsprep, folder: Path
) -> tuple[bytes | None, str]:
    """Return the disk that the image became, or None; and what was said."""
    image, target = folder / f"image.{kind.suffix}", folder / "out.raw"
    image.write_bytes(damage.data)
    outcome = imsprep("convert", image, target, "--force")
    assert "json:" not in outcome.err
    assert "Traceback" not in outcome.err
    if outcome.code == 0:
        return target.read_bytes(), outcome.err
    assert outcome.code == 1, (damage.name, outcome.err)
    assert [p.name for p in folder.iterdir()] == [image.name]
    return None, outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_an_image_that_is_cut_short_is_refused(
    name: str, raw: Path, imsprep: Imsprep, tmp_path: Path
) -> None:
    kind = KINDS[name]
    make(kind, raw, tmp_path / "image")
    data = (tmp_path / "image").read_bytes()
    (tmp_path / "image").unlink()
    for damage in cuts(data, CUTS + 2, SEED):
        found, _ = disk_or_refused(kind, damage, imsprep, tmp_path)
        assert found in (None, raw.read_bytes()), damage.name
        (tmp_path / "out.raw").unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_field_that_is_changed_is_noticed_or_of_no_consequence(
    name: str, raw: Path, imsprep: Imsprep, tmp_path: Path
) -> None:
    kind = KINDS[name]
    make(kind, raw, tmp_path / "image")
    data = (tmp_path / "image").read_bytes()
    (tmp_path / "image").unlink()
    for place, damage in changes(kind, data, CHANGES, SEED):
        found, _ = disk_or_refused(kind, damage, imsprep, tmp_path)
        assert found in (None, raw.read_bytes()) or place.name in kind.unknowable, damage.name
        (tmp_path / "out.raw").unlink(missing_ok=True)
