"""What grub-mkimage built in: prefix, script, modules, and what a module reads of ext4."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.chain.grub.objects import ext_features, find_objects, read_objects
from tests.support.guest.grub_cores import module, objects

OLD = 0x103D6  # what the ext2.c of GRUB 2.04 and 2.06 supports or ignores
NEW = OLD | 0x2000 | 0x4000


def code(*reads: int) -> bytes:
    """Code that tests the features against what is not read."""
    return b"".join(b"\xa9" + struct.pack("<I", ~mask & 0xFFFFFFFF) for mask in reads)


def test_prefix_script_and_modules_are_found_at_the_end_of_a_kernel() -> None:
    made = objects("(,gpt2)/boot/grub", "set x=1\n", {"ext2": code(OLD), "normal": b""})
    found = find_objects(b"code with mimg" + bytes(2) + made)
    assert found is not None
    assert (found.prefix, found.config) == ("(,gpt2)/boot/grub", "set x=1\n")
    assert found.modules == {"ext2": module("ext2", code(OLD)), "normal": module("normal")}
    assert find_objects(made + b"more") is None
    assert read_objects(made[1:], bits=32) is None


@pytest.mark.parametrize(("reads", "names"), [(OLD, ()), (NEW, ("metadata_csum_seed", "large_dir"))])  # fmt: skip
def test_the_mask_in_the_code_says_what_is_read(reads: int, names: tuple[str, ...]) -> None:
    found = ext_features(b"\x90" + code(reads))
    assert set(found or ()) - {"meta_bg", "64bit", "mmp", "encrypt"} == set(names)


def test_no_mask_and_two_masks_say_nothing() -> None:
    calls = bytes.fromhex("e8fcffffff e8fdffffff 6a09e8fcffffff")  # code as modules are full of
    assert ext_features(calls) is None
    assert ext_features(code(OLD, NEW)) is None
    assert ext_features(calls + code(NEW) + code(NEW)) is not None


@given(st.binary(max_size=80), st.integers(0, 400), st.integers(0, 255))
def test_no_bytes_make_it_fail(tail: bytes, at: int, value: int) -> None:
    data = bytearray(objects("/x", "y", {"ext2": code(OLD)}) + tail)
    data[at % len(data)] = value
    for cut in (bytes(data), bytes(data[: at + 1]), tail):
        read_objects(cut, bits=32)
        read_objects(cut, bits=64)
        find_objects(cut)
        ext_features(cut)
