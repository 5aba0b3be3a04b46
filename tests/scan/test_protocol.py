"""What goes through the pipes between a scan and its readers arrives whole, or not at all."""

from __future__ import annotations

import io

import pytest

from imsprep.scan import protocol

RANGES = [(0, 1), (5, 1 << 40)]
BLOCKS = [0, 7, 1 << 33]


def test_what_is_sent_is_what_arrives_one_message_behind_the_other() -> None:
    questions = io.BytesIO(protocol.task(RANGES) + protocol.task([]) + protocol.task(RANGES[1:]))
    assert [protocol.read_task(questions.read) for _ in range(4)] == [
        RANGES, [], RANGES[1:], None,
    ]  # fmt: skip
    answers = io.BytesIO(protocol.answer(BLOCKS) + protocol.answer([]))
    assert [protocol.read_answer(answers.read) for _ in range(3)] == [BLOCKS, [], None]


@pytest.mark.parametrize("cut", range(1, 8 + 3 * 8))
def test_a_message_that_breaks_off_counts_as_none(cut: int) -> None:
    assert protocol.read_answer(io.BytesIO(protocol.answer(BLOCKS)[:cut]).read) is None
    assert protocol.read_task(io.BytesIO(protocol.task(RANGES)[:cut]).read) is None
