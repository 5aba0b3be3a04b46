"""A summary with an image in each state, and hostile text wherever text may stand."""

from __future__ import annotations

import pytest

from imsprep.pipeline.batch.values import DONE, FAILED, REFUSED, WAITING, BatchSummary, Outcome
from imsprep.report import Finding, Severity

NASTY = "<script>alert('&')</script>"


@pytest.fixture
def nasty() -> BatchSummary:
    finding = Finding("IMS101", Severity.WARNING, "disk", NASTY, NASTY)
    return BatchSummary(
        f"{NASTY}.yaml",
        (
            Outcome(NASTY, NASTY, DONE, image_id=NASTY, size=5 << 30, sent=1 << 30, seconds=125),
            Outcome("b.raw", "b", REFUSED, message=NASTY, exit_code=1, findings=(finding,)),
            Outcome("c.raw", "c", FAILED, message=f"{NASTY}\nsecond line", exit_code=6, kind="S"),
            Outcome("d.raw", "d", WAITING, findings=(finding,)),
            Outcome("e.raw", "e", DONE, image_id="i-5", earlier=True),
        ),
    )
