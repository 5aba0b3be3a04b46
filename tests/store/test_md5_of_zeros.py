"""The MD5 of zeros: the known ones are right, and prefixes are what hashing gives."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imsprep.store.md5_of_zeros import KNOWN, hash_of_zeros, zero_md5, zero_md5s
from imsprep.upload.plan import ZERO_LENGTHS, plan_growth
from tests.support.running import need

MIB = 1 << 20


@need("md5sum")
@pytest.mark.parametrize("length", [5, 64, 80, 128])
def test_a_known_sum_is_what_another_program_computes(length: int) -> None:
    count = length * MIB
    found = subprocess.run(
        f"head -c {count} /dev/zero | md5sum", shell=True, check=True, capture_output=True
    )
    assert found.stdout.decode().split()[0] == KNOWN[length]


@pytest.mark.slow
def test_each_known_sum_is_that_of_so_many_zeros() -> None:
    digest, hashed = hashlib.md5(), 0
    for length in sorted(KNOWN):
        for _ in range(hashed, length):
            digest.update(bytes(MIB))
        hashed = length
        assert digest.hexdigest() == KNOWN[length], length


@pytest.mark.slow
@given(st.integers(0, 40 * MIB), st.binary(max_size=20))
@settings(max_examples=20)
@example(16 * MIB - 1, b"x")
@example(16 * MIB, b"")
@example(37 * MIB + 5, b"x")
def test_what_follows_zeros_is_hashed_behind_them(length: int, data: bytes) -> None:
    digest = hash_of_zeros(length)
    digest.update(data)
    assert digest.hexdigest() == hashlib.md5(bytes(length) + data).hexdigest()
    assert zero_md5(length) == hashlib.md5(bytes(length)).hexdigest()


def test_several_lengths_are_told_at_once() -> None:
    assert zero_md5s([5 * MIB, 1, 1]) == {1: hashlib.md5(b"\0").hexdigest(), 5 * MIB: KNOWN[5]}


def test_of_each_long_part_of_zeros_and_each_step_of_growing_the_sum_is_known() -> None:
    """Or gigabytes would be hashed, for a minute, before anything is sent."""
    wanted = {length for length in ZERO_LENGTHS if length >= 64 * MIB}
    for length in ZERO_LENGTHS:
        seed, steps = plan_growth(length)
        if length >= 64 * MIB:
            wanted |= {seed, *(step.copies[0] for step in steps)}
    assert {length * MIB for length in KNOWN} == wanted
