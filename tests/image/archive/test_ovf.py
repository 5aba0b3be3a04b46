"""An OVF descriptor as values; what is hostile or of several machines is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import FormatError
from imsprep.image.archive.ovf import LIMIT, parse
from imsprep.units import GIB, KIB, MIB
from tests.support.image.ova import OVF

TEXT = OVF.format(size1=100, size2=200, capacity=16 * MIB)


def test_a_machine_is_read_with_its_disks_in_the_order_of_their_places() -> None:
    found = parse(TEXT.encode())
    assert (found.name, found.system_id, found.firmware) == (
        "web server 01",
        "debian10_64Guest",
        "uefi",
    )
    assert found.system == "Debian GNU/Linux 10 (64-bit)"
    assert (found.cpus, found.memory) == (2, 2 * GIB)
    system, data = found.disks
    assert (system.id, system.file, system.file_size, system.capacity) == (
        "system", "web-disk1.vmdk", 100, 16 * MIB,
    )  # fmt: skip
    assert (data.id, data.capacity, data.needs_parent) == ("data", 8 * MIB, False)


@pytest.mark.parametrize(
    ("units", "factor"),
    [("byte", 1), ("", 1), ("byte * 2^10", KIB), ("Byte*2 ^ 30", GIB), ("MegaBytes", MIB)],
)
def test_a_capacity_is_in_its_units(units: str, factor: int) -> None:
    text = TEXT.replace('byte * 2^20"/>', f'{units}"/>')
    assert parse(text.encode()).disks[1].capacity == 8 * factor


@pytest.mark.parametrize(
    ("was", "is_now", "said"),
    [
        ('ovf:capacity="8"', 'ovf:capacity="eight"', "'eight', not a number"),
        ('ovf:capacity="8"', 'ovf:capacity="1234567890123456789"', "not a number"),
        ('byte * 2^20"/>', 'sectors"/>', "'sectors', which is not known"),
        ('ovf:fileRef="file2"', 'ovf:fileRef="file3"', "in a file that it does not list"),
        ("Envelope", "Letter", "no Envelope"),
        ("VirtualSystem", "System", "0 virtual machines"),
        ("</VirtualSystem>", "</VirtualSystem><VirtualSystem/>", "2 virtual machines"),
        ("</Envelope>", "", "is not XML"),
        ("<Envelope", "<!DOCTYPE x><Envelope", "a document type"),
    ],
)
def test_what_is_no_descriptor_of_one_machine_says_why(was: str, is_now: str, said: str) -> None:
    assert was in TEXT
    with pytest.raises(FormatError, match=said):
        parse(TEXT.replace(was, is_now).encode())


def test_entities_and_endless_descriptors_are_refused() -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>'
    with pytest.raises(FormatError, match="entity"):
        parse(bomb.encode())
    with pytest.raises(FormatError, match="more than 100000 elements"):
        parse(b"<Envelope>" + b"<a/>" * 100_000 + b"</Envelope>")
    with pytest.raises(FormatError, match="bytes, more than"):
        parse(b" " * (LIMIT + 1))


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse(data)
