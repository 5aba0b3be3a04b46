"""All rules applied: what is found, passed and skipped, and in which order."""

from __future__ import annotations

from imsprep.checks import registry
from imsprep.checks.facts import Zeros
from imsprep.image.formats import Match
from imsprep.image.not_a_disk import Kind
from tests.support.checks.rules import SIZE, image

QCOW2 = Match("qcow2", Kind.DISK, 0, 8)


def test_a_rule_that_cannot_tell_is_skipped_and_not_passed() -> None:
    report = registry.run(image(disk=None, matches=(QCOW2,)))
    skipped = {s.rule for s in report.skipped}
    assert "IMS204" in skipped
    assert not skipped & set(report.passed)
    assert not skipped & {f.rule for f in report.findings}


def test_what_an_earlier_report_settled_stands_and_what_it_skipped_is_applied() -> None:
    first = registry.run(image(zeros=None))
    assert first.skips("IMS110")
    second = registry.run(image(zeros=Zeros(None, True, SIZE), file_size=0), earlier=first)
    assert [f.rule for f in second.of("IMS110")] == []  # an empty file is another rule's
    third = registry.run(image(zeros=Zeros(None, True, SIZE)), earlier=first)
    assert len(third.of("IMS110")) == 1
    assert not third.skips("IMS110")
    changed = registry.run(image(name="disk.qcow2"), earlier=first)
    assert changed.of("IMS104") == first.of("IMS104")  # it passed, and is not applied again
    assert set(first.passed) <= set(changed.passed)
