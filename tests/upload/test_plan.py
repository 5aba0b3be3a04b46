from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsprep.errors import UsageError
from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, KIB, MIB, TIB, ceil_div
from imsprep.upload.plan import (
    MAX_OBJECT_SIZE,
    ZERO_LENGTHS,
    PartPlan,
    plan_growth,
    plan_parts,
    plan_plain,
)

MIN, MAX = 5 * MIB, 5 * GIB


@st.composite
def block_maps(draw: st.DrawFn) -> BlockMap:
    """Disks of up to 2 TiB, from runs of blocks; every size of run is likely."""
    block_size = draw(st.sampled_from([64 * KIB, MIB, 2 * MIB, 32 * MIB]))
    runs = draw(st.lists(st.integers(0, 14).flatmap(lambda n: st.integers(1, 1 << n)), min_size=1, max_size=40))  # fmt: skip
    state = draw(st.booleans())
    flags = np.concatenate([np.full(run, state ^ bool(i % 2)) for i, run in enumerate(runs)])
    size = len(flags) * block_size - draw(st.integers(0, block_size - 1))
    return BlockMap.from_flags(size, block_size, flags)


def check_plan(plan: PartPlan) -> None:
    """The promises of every plan."""
    position = 0
    for number, part in enumerate(plan.parts, 1):
        assert (part.number, part.offset) == (number, position)
        position += part.length
    assert position == plan.size
    assert 1 <= len(plan.parts) <= 10_000
    assert all(MIN <= part.length <= MAX for part in plan.parts[:-1])
    assert 1 <= plan.parts[-1].length <= MAX
    zero_size = plan.zero_size
    for part in plan.parts:
        assert part.zeros <= zero_size
        assert 0 <= part.zeros <= part.length
        assert part.zeros in (0, part.length) or part.zeros >= MIN
        if len(plan.parts) < 5000 and part.zeros not in (0, part.length):
            # Filled up with as few zeros as make two parts of what is there.
            assert part.zeros < 2 * MIN
            assert part.sent < MIN
        # Its MD5 is known in advance, or soon computed.
        assert part.zeros <= GIB or part.zeros in ZERO_LENGTHS
    assert plan.sent + plan.copied == plan.size


@given(block_maps(), st.sampled_from([10 * MIB, 32 * MIB, 5 * GIB]))
def test_parts_cover_every_byte_once_within_the_limits(bm: BlockMap, part_size: int) -> None:
    check_plan(plan_parts(bm, part_size=part_size))


@given(block_maps())
def test_no_data_is_ever_copied_from_zeros(bm: BlockMap) -> None:
    flags = bm.flags()
    for part in plan_parts(bm).parts:
        if part.zeros:
            first, last = part.offset // bm.block_size, ceil_div(part.offset + part.zeros, bm.block_size)  # fmt: skip
            assert not flags[first:last].any()


@given(block_maps())
def test_just_as_many_parts_as_are_needed_are_enough(bm: BlockMap) -> None:
    plan = plan_parts(bm)
    if len(plan.parts) < 5000:  # or gaps were joined for it
        assert plan_parts(bm, most_parts=len(plan.parts)) == plan


@given(block_maps())
def test_what_travels_beside_the_data_is_bounded_by_the_gaps_in_it(bm: BlockMap) -> None:
    """Every run of zeros long enough for two parts is copied but for a part's length at its edges."""
    plan = plan_parts(bm)
    if len(plan.parts) > 5000:
        return  # sizes were doubled to stay within the limit
    gaps = [bm.byte_range(e.start, e.count)[1] for e in bm.extents() if not e.allocated]
    most = sum(length if length < 2 * MIN else MIN for length in gaps)
    assert plan.sent <= bm.data_bytes + most


@given(block_maps())
def test_without_copies_everything_is_sent(bm: BlockMap) -> None:
    plan = plan_parts(bm, copy_zeros=False)
    check_plan(plan)
    assert plan.sent == plan.size
    assert plan.zero_size == 0


@given(st.integers(1, MAX_OBJECT_SIZE))
def test_a_plain_file_is_covered(size: int) -> None:
    check_plan(plan_plain(size))


@pytest.mark.slow
@given(st.integers(1, 4 * TIB // KIB), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_the_worst_pattern_still_fits(count: int, spread: int) -> None:
    # Every other block holds data, with gaps just long enough for a part of their own.
    blocks = min(count, 300_000)
    flags = np.arange(blocks) % (spread + 4) == 0
    check_plan(plan_parts(BlockMap.from_flags(blocks * 4 * MIB, 4 * MIB, flags)))


@pytest.mark.parametrize("size", [0, MAX_OBJECT_SIZE + 1])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="cannot upload"):
        plan_plain(size)


def test_a_part_size_has_limits_between_which_every_cut_is_allowed() -> None:
    for part_size in (2 * MIN - 1, MAX + 1):
        with pytest.raises(UsageError, match="the part size is"):
            plan_plain(MIB, part_size=part_size)
    for part_size in (2 * MIN, MAX):
        check_plan(plan_plain(part_size + 1, part_size=part_size))


@pytest.mark.parametrize(("data", "zeros"), [(0, 5), (20, 24)])
def test_parts_of_a_very_large_disk_are_within_the_limits(data: int, zeros: int) -> None:
    """In TiB: where the zero object, and then a part, would get larger than a part may be."""
    flags = np.repeat([True, False], [data * TIB // (64 * MIB), zeros * TIB // (64 * MIB)])
    check_plan(plan_parts(BlockMap.from_flags((data + zeros) * TIB, 64 * MIB, flags)))


def cut(text: str, most_parts: int = 10_000, **options: Any) -> list[tuple[int, int]]:
    """Plan a disk that is written as in "d3 z64", in MiB; return length and zeros of each part."""
    runs = [(word[0] == "d", int(word[1:])) for word in text.split()]
    flags = np.concatenate([np.full(length, is_data) for is_data, length in runs])
    plan = plan_parts(
        BlockMap.from_flags(len(flags) * MIB, MIB, flags), most_parts=most_parts, **options
    )
    check_plan(plan)
    return [(part.length // MIB, part.zeros // MIB) for part in plan.parts]


def test_data_is_composed_where_that_sends_a_mebibyte_less() -> None:
    assert cut("d64 z64 d4 z64") == [(64 // 2, 0)] * 2 + [(59, 59), (9, 5), (64, 64)]
    flags = np.repeat([True, False, True, False], [128, 128, 9, 119])
    plan = plan_parts(BlockMap.from_flags(192 * MIB, MIB // 2, flags))
    assert [part.length for part in plan.parts[2:]] == [64 * MIB, 5 * MIB, 59 * MIB]
    assert plan.parts[3].zeros == 0


def test_near_the_limit_zeros_and_parts_get_longer() -> None:
    assert cut("d64 z1025 d64", 4) == [(64, 0), (512, 512), (513, 513), (64, 0)]
    assert cut("d64 z1024 d64", 3) == [(64, 0), (1024, 1024), (64, 0)]
    assert cut("d64 z320 d64")[2:-2] == [(64, 64)] * 5
    assert cut("d640", 10) == [(64, 0)] * 10
    assert cut("d640", 20) == [(32, 0)] * 20
    assert cut("z2048", 1) == [(2048, 2048)]
    assert cut("z10240", 2) == [(5120, 5120)] * 2
    assert cut("z4096 d64", 2) == [(4096, 4096), (64, 0)]


def test_zeros_at_the_end_are_in_no_part_behind_them() -> None:
    assert cut("d64 z64", 2, part_size=64 * MIB) == [(64, 0), (64, 64)]
    assert cut("d64 z64", 1, part_size=64 * MIB) == [(128, 0)]


def test_a_disk_may_begin_and_end_with_data_or_with_zeros() -> None:
    assert cut("d32 z32 d32") == [(32, 0), (32, 32), (32, 0)]
    assert cut("z32 d32 z32") == [(32, 32), (32, 0), (32, 32)]
    assert cut("d1") == [(1, 0)]
    assert cut("z1") == [(1, 0)]


def test_the_largest_object_is_taken() -> None:
    assert MAX_OBJECT_SIZE == 48_800_000_000_000  # "48.8 TB" of the OBS API reference
    check_plan(plan_plain(MAX_OBJECT_SIZE))


def test_ten_thousand_parts_are_enough_and_one_more_is_too_many() -> None:
    most = 10_000 * 32 * MIB
    assert len(plan_plain(most).parts) == 10_000
    check_plan(plan_plain(most + 1))


def test_a_plan_in_numbers_a_reader_can_check() -> None:
    # 1 block of data, 7 of zeros, 2 of data, 2 of zeros, 1 of data; 2 MiB each.
    flags = np.array([1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1], dtype=bool)
    plan = plan_parts(BlockMap.from_flags(26 * MIB, 2 * MIB, flags))
    assert [(p.offset / MIB, p.length / MIB, p.is_zero) for p in plan.parts] == [
        (0, 5, False),  # filled up to the least a part can have
        (5, 11, True),
        (16, 10, False),  # the 4 MiB of zeros in it are too few for a part
    ]
    assert str(plan) == (
        "26 MiB (27262976 bytes) in 3 parts: 15 MiB (15728640 bytes) to send in 2,"
        " 11 MiB (11534336 bytes) of zeros to copy in 1"
    )


def test_zeros_that_are_just_enough_for_a_part_are_copied() -> None:
    flags = np.repeat([True, False, True], [6, 5, 6])
    plan = plan_parts(BlockMap.from_flags(17 * MIB, MIB, flags))
    assert [(p.length // MIB, p.is_zero) for p in plan.parts] == [(6, False), (5, True), (6, False)]


def test_little_data_between_zeros_travels_alone() -> None:
    flags = np.zeros(64, dtype=bool)
    flags[[0, 20, 21, 30, 63]] = True  # 30: nine blocks behind, the zeros all go into its part
    plan = plan_parts(BlockMap.from_flags(64 * MIB, MIB, flags))
    assert [(p.offset // MIB, p.length // MIB, p.zeros // MIB) for p in plan.parts] == [
        (0, 5, 0),  # nothing before it that could be copied
        (5, 10, 10),
        (15, 7, 5),
        (22, 9, 8),
        (31, 32, 32),
        (63, 1, 0),  # the last part may be short
    ]
    assert plan.sent == (5 + 2 + 1 + 1) * MIB
    assert plan.lines()[0].split() == ["part", "offset,", "bytes", "length,", "bytes", "kind"]
    assert plan.lines(estimated=True)[3].split()[:6] == ["3", "15", "MiB", "7", "MiB", "data,"]
    assert plan.lines()[3].split() == ["3", "15728640", "7340032", "data,", "5242880", "zeros", "first"]  # fmt: skip


def test_zeros_as_long_as_the_zero_object_are_one_part() -> None:
    flags = np.zeros(16 * 1024, dtype=bool)  # 1 TiB in blocks of 64 MiB: an object of 1 GiB
    flags[[0, 9, 26]] = True
    parts = plan_parts(BlockMap.from_flags(TIB, 64 * MIB, flags)).parts
    lengths = [part.length // MIB for part in parts if part.is_zero]
    assert lengths[:2] == [512, 1024]


@pytest.mark.parametrize("step", [508, 10])
def test_parts_are_counted_as_they_are_cut(step: int) -> None:
    """Of 507 MiB of zeros, 5 go into the part behind them, and 502 are two parts; 512 were one.

    9 MiB go into it as a whole, and are no part of their own.
    """
    flags = np.zeros(1 << 20, dtype=bool)  # 1 TiB
    flags[np.arange(10) * step] = True
    block_map = BlockMap.from_flags(TIB, MIB, flags)
    count = len(plan_parts(block_map).parts)
    for most_parts in range(count, count - 9, -1):
        assert len(plan_parts(block_map, most_parts=most_parts).parts) <= most_parts


def test_a_tebibyte_with_a_gibibyte_of_data_is_planned_within_the_limits() -> None:
    blocks = TIB // (2 * MIB)
    flags = np.zeros(blocks, dtype=bool)
    flags[np.random.default_rng(1).choice(blocks, 512, replace=False)] = True
    plan = plan_parts(BlockMap.from_flags(TIB, 2 * MIB, flags))
    check_plan(plan)
    assert plan.sent < 3 * GIB


def least_sent(flags: list[bool], block_size: int, most_parts: int) -> int:
    """Return the fewest bytes that any cut into parts sends, by trying them all."""
    blocks, never = len(flags), 1 << 62
    best = [[never] * (most_parts + 1) for _ in range(blocks + 1)]
    best[0] = [0] * (most_parts + 1)
    for stop in range(1, blocks + 1):
        for start in range(stop):
            if (stop - start) * block_size > MAX:
                continue
            zeros = 0  # in front; the rest of the part is sent
            while start + zeros < stop and not flags[start + zeros]:
                zeros += 1
            sent = (stop - start - zeros) * block_size
            for parts in range(1, most_parts + 1):
                best[stop][parts] = min(best[stop][parts], best[start][parts - 1] + sent)
    return min(best[blocks])


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=16).filter(lambda runs: sum(runs) <= 80),
    st.integers(2, 14),
    st.booleans(),
)
def test_near_the_limit_what_is_sent_is_as_little_as_can_be(
    lengths: list[int], most_parts: int, state: bool
) -> None:
    """In blocks of 64 MiB, so that what fills a part up to 5 MiB does not count.

    One part can hold the disk: where data is cut at the largest part is not planned by its gaps.
    """
    flags = np.concatenate([np.full(n, state ^ bool(i % 2)) for i, n in enumerate(lengths)])
    block_map = BlockMap.from_flags(len(flags) * 64 * MIB, 64 * MIB, flags)
    plan = plan_parts(block_map, most_parts=most_parts)
    assert len(plan.parts) <= most_parts
    assert plan.sent <= 1.05 * least_sent(flags.tolist(), 64 * MIB, most_parts)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=12).filter(lambda runs: sum(runs) <= 40),
    st.integers(0, 8),
    st.booleans(),
)
def test_where_parts_are_cut_at_5_gib_a_few_gaps_too_many_are_sent(
    lengths: list[int], more: int, state: bool
) -> None:
    """In blocks of 512 MiB, with hardly more parts than the size alone takes."""
    block = 512 * MIB
    flags = np.concatenate([np.full(n, state ^ bool(i % 2)) for i, n in enumerate(lengths)])
    size = len(flags) * block
    most_parts = ceil_div(size, MAX) + more
    plan = plan_parts(BlockMap.from_flags(size, block, flags), most_parts=most_parts)
    assert len(plan.parts) <= most_parts
    assert sum(part.length for part in plan.parts) == size
    assert all(0 <= part.zeros <= part.length <= MAX for part in plan.parts)
    gaps = sorted(n * block for i, n in enumerate(lengths) if not state ^ bool(i % 2))
    too_many = ceil_div(size, MAX) + ceil_div(size, GIB)
    assert plan.sent <= least_sent(flags.tolist(), block, most_parts) + sum(gaps[-too_many:])


@pytest.mark.slow
def test_a_part_with_zeros_in_front_is_no_longer_than_a_part_may_be() -> None:
    """Data of 10 GiB behind a gap that would be absorbed, among too many others."""
    flags = np.zeros(TIB // (512 * KIB), dtype=bool)
    flags[np.arange(11_700) * 178] = True
    for gap in range(90):
        flags[gap * 10_000 : gap * 10_000 + 900] = False
    flags[499_570:500_170] = False
    flags[500_170 : 500_170 + 20 * 1024] = True
    plan = plan_parts(BlockMap.from_flags(TIB, 512 * KIB, flags))
    check_plan(plan)
    assert len(plan.parts) > 9_900


def test_the_fewest_parts_that_a_size_takes_are_enough() -> None:
    for text in ("z20480", "d20480", "z8192 d2048 z10240", "z3584 d512 z6144 d1024 z9216"):
        assert len(cut(text, 4)) <= 4
    with pytest.raises(UsageError, match="in 3 parts"):
        cut("z20480", 3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_tebibyte_with_too_many_runs_is_sent_within_a_twentieth_of_the_least(seed: int) -> None:
    """Runs of all lengths: each that is joined saves one part, so that the least is known."""
    choice = np.random.default_rng(seed)
    lengths = np.maximum(12, choice.geometric(1 / 80, 24_000))  # of 512 KiB; gaps are parts
    lengths[::2] = choice.integers(1, 6, 12_000)
    flags = np.repeat(np.arange(len(lengths)) % 2 == 0, lengths)[: TIB // (512 * KIB)]
    flags = np.append(flags, np.zeros(TIB // (512 * KIB) - len(flags), dtype=bool))
    plan = plan_parts(BlockMap.from_flags(TIB, 512 * KIB, flags))
    check_plan(plan)
    edges = np.flatnonzero(np.diff(flags.astype(np.int8)))
    gaps = np.sort(np.diff(edges)[::2])  # data comes first
    runs = len(gaps) + 1
    least = int(flags.sum()) + int(gaps[: runs - 10_000].sum())
    assert plan.sent <= 1.05 * least * 512 * KIB


def spread(count: int, length: int) -> BlockMap:
    """A disk of 1 TiB with `count` extents of `length` blocks of 512 KiB, evenly spread."""
    blocks = TIB // (512 * KIB)
    flags = np.zeros(blocks, dtype=bool)
    for offset in range(length):
        flags[(np.arange(count) * (blocks // count)) + offset] = True
    return BlockMap.from_flags(TIB, 512 * KIB, flags)


@pytest.mark.slow
def test_there_is_no_cliff_at_ten_thousand_parts() -> None:
    before, behind, far = (plan_parts(spread(n, 1)) for n in (4990, 5010, 9900))
    for plan in (before, behind, far):
        check_plan(plan)
    assert behind.sent - before.sent <= 20 * 512 * KIB + 5 * MIB
    assert far.sent <= 9900 * 512 * KIB + 5 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("assemble", [True, False])
def test_what_is_sent_grows_by_the_gaps_that_had_to_be_joined(assemble: bool) -> None:
    """11,000 extents: 1,000 gaps of 93 MiB are joined; without assembled parts 6,000."""
    plan = plan_parts(spread(11_000, 10), assemble=assemble)
    check_plan(plan)
    gap = TIB // (512 * KIB) // 11_000 * 512 * KIB - 5 * MIB
    joined = 1000 if assemble else 6000
    assert (
        plan.sent <= 11_000 * 5 * MIB + (joined + (25 if assemble else 70)) * gap
    )  # what is joined is cut into parts, too


@pytest.mark.parametrize("assemble", [True, False])
@pytest.mark.parametrize("most_parts", range(1, 10))
def test_one_part_too_many_costs_one_gap(most_parts: int, assemble: bool) -> None:
    """Five runs of data and four gaps, in blocks of 64 MiB; a joined gap saves two parts."""
    flags = np.array([True, False] * 4 + [True])
    block_map = BlockMap.from_flags(9 * 64 * MIB, 64 * MIB, flags)
    plan = plan_parts(block_map, part_size=5 * GIB, most_parts=most_parts, assemble=assemble)
    assert len(plan.parts) <= most_parts
    joined = max(0, 5 - most_parts) if assemble else -(-(9 - most_parts) // 2)
    assert plan.sent == (5 + joined) * 64 * MIB


def test_the_worst_map_is_planned_in_little_memory() -> None:
    """Every other block holds data: all gaps are too short, and nothing is done per block."""
    flags = np.zeros(TIB // (512 * KIB), dtype=bool)
    flags[::2] = True
    plan = plan_parts(BlockMap.from_flags(TIB, 512 * KIB, flags))
    check_plan(plan)
    assert plan.sent == TIB


def test_a_plan_is_told_from_another_by_its_digest() -> None:
    assert plan_plain(MIB).digest == plan_plain(MIB).digest != plan_plain(MIB + 1).digest
    zeros = BlockMap.from_flags(64 * MIB, MIB, np.zeros(64, dtype=bool))
    assert plan_parts(zeros).digest != plan_parts(zeros, copy_zeros=False).digest
    copied, sent = (plan_parts(zeros, part_size=64 * MIB, copy_zeros=c) for c in (True, False))
    assert [(p.offset, p.length) for p in copied.parts] == [
        (p.offset, p.length) for p in sent.parts
    ]
    first, *rest = copied.parts
    others = [
        replace(copied, parts=(first._replace(**{name: 1}), *rest))
        for name in ("offset", "length", "zeros")
    ]
    assert len({plan.digest for plan in (copied, replace(copied, size=1), *others)}) == 5
    assert copied.digest != sent.digest  # or one upload would go on with the other's parts
    assert plan_parts(zeros).as_dict()["parts"][0]["zeros"] == 64 * MIB


@given(st.integers(1, MAX))
def test_growing_reaches_the_size_by_copies_of_what_is_there(size: int) -> None:
    current, steps = plan_growth(size)
    assert current <= MIN
    for step in steps:
        assert sum(step.copies) == step.size
        assert all(length == current for length in step.copies[:-1])
        assert 0 < step.copies[-1] <= current
        assert current >= MIN
        current = step.size
    assert current == size
