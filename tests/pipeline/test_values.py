"""How long an import took, and what was expected of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imsprep.image.blockmap import BlockMap
from imsprep.pipeline.upload_formats import Comparison, FormatEstimate, Sample
from imsprep.pipeline.values import Took
from tests.support.pipeline.import_place import Place


def test_how_long_it_took_stands_beside_what_was_expected(place: Place) -> None:
    ticks = iter(range(10, 1000, 10))
    expected = FormatEstimate("raw", 1, 0, scan_s=1.0, pack_s=0.0, send_s=2.0)
    nothing = BlockMap.from_flags(1, 1 << 20, np.zeros(1, np.bool_))
    comparison = Comparison((expected,), Sample(0.0, 1.0, 0), nothing, 1e6, "raw")
    place.prepared = replace(place.prepared, seconds=7.0, comparison=comparison)
    with place.emulator() as go:
        first = go(clock=lambda: float(next(ticks))).took
        # Ten seconds for the upload and ten for the job, of which the estimate knows nothing.
        assert (first.seconds, first.waited_s, first.compared_s) == (27.0, 10.0, 17.0)
        assert first.estimated_s == 3.0
        again = go().took
    assert again.estimated_s is None  # nothing was sent that could have taken its time
    expected = replace(expected, wait_s=5.0)
    known = replace(comparison, formats=(expected,))
    took = Took.of(replace(place.prepared, comparison=known), (), 1.0, 4.0)
    assert (took.compared_s, took.seconds, took.with_wait) == (11.0, 11.0, True)
