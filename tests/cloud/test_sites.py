"""Sites: a proposal that no page forbids."""

from __future__ import annotations

import pytest

from imsprep.cloud.sites import MAX_MIN_DISK, SITES, Site
from imsprep.units import GIB, TIB


@pytest.mark.parametrize("site", SITES.values(), ids=lambda site: site.key)
@pytest.mark.parametrize(
    ("size", "windows", "wanted"),
    [
        (GIB, False, 10),
        (10 * GIB - 1, False, 10),
        (10 * GIB, False, 11),
        (GIB, True, 20),
        (40 * GIB, False, 41),
        (TIB, False, MAX_MIN_DISK),
    ],
)
def test_the_proposed_min_disk_breaks_no_page(
    site: Site, size: int, windows: bool, wanted: int
) -> None:
    least = site.min_disk_from(data_disk=False, windows=windows)
    proposed = site.min_disk_for(size, data_disk=False, windows=windows)
    assert proposed == max(wanted, least)
