"""Entries of the Boot Loader Specification: read, sorted, and found by a default."""

from __future__ import annotations

from imsprep.guest.chain.bls import Bls, by_systemd_boot, default_of, read_entry

TEXT = """# made by kernel-install
title\tFedora Linux (6.5)
version 6.5.6
linux /vmlinuz-6.5.6
initrd /a.img
initrd /b.img
options root=UUID=1 ro
options quiet
"""


def entry(name: str, more: str = "") -> Bls:
    found = read_entry("partition 1", f"/loader/entries/{name}", f"linux /k\n{more}")
    assert found is not None
    return found


def test_a_file_is_read_with_the_line_of_its_options() -> None:
    found = read_entry("partition 1", "/loader/entries/m-6.5.6.conf", TEXT)
    assert found is not None
    assert (found.title, found.version, found.id) == ("Fedora Linux (6.5)", "6.5.6", "m-6.5.6")
    assert (found.kernel, found.initrds) == ("/vmlinuz-6.5.6", ("/a.img", "/b.img"))
    assert (found.options, found.line) == ("root=UUID=1 ro quiet", 8)


def test_a_file_that_names_no_kernel_is_no_entry() -> None:
    assert read_entry("partition 1", "/x.conf", "title nothing\n") is None


def test_the_order_is_that_of_systemd_boot() -> None:
    names = ["a-1.9.conf", "a-1.10.conf", "a-1.11+0-3.conf"]
    plain = [entry(name) for name in names]
    keyed = [entry("z.conf", "sort-key debian\nversion 1\n"),
             entry("y.conf", "sort-key debian\nversion 2\n")]  # fmt: skip
    found = by_systemd_boot([*plain, *keyed])
    assert [e.id for e in found] == ["y", "z", "a-1.10", "a-1.9", "a-1.11"]
    assert [e.given_up for e in found] == [False, False, False, False, True]


def test_a_default_is_a_pattern_of_names_without_boot_counters() -> None:
    entries = [entry("a-1+3.conf"), entry("b-2.conf")]
    for pattern, name in (("b-*", "b-2"), ("A-1.conf", "a-1"), ("a-1+3.conf", "a-1")):
        found = default_of(entries, pattern)
        assert found is not None, pattern
        assert found.id == name
    assert default_of(entries, "c*") is None
