"""Progress: bytes become events of one step."""

from __future__ import annotations

from imsprep.progress import SCAN, Event, counting, silent


def test_bytes_become_events() -> None:
    seen: list[Event] = []
    count = counting(seen.append, SCAN, 10)
    count(4)
    count(6)
    assert seen == [Event("scan", 4, 10), Event("scan", 6, 10)]
    assert silent(seen[0]) is None
