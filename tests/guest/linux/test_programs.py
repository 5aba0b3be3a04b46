"""Programs that the kernel cannot start, and those that it can."""

from __future__ import annotations

import contextlib
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.linux.programs import why_not_started
from imsprep.guest.tree import Tree
from tests.support.guest.trees import Data, Link, MemoryFileSystem

INIT, LINKER = "/sbin/init", "/lib64/ld.so"


def elf(interpreter: str, *, bits: int = 64, order: str = "<") -> bytes:
    """An ELF program with a note in front of the header that names its interpreter."""
    name = interpreter.encode() + b"\0"
    head = bytearray(400)
    head[:6] = b"\x7fELF" + bytes((2 if bits == 64 else 1, 1 if order == "<" else 2))
    if bits == 64:
        struct.pack_into(f"{order}Q", head, 32, 64)
        struct.pack_into(f"{order}HH", head, 54, 56, 2)
        struct.pack_into(f"{order}I", head, 64, 4)
        struct.pack_into(f"{order}I4xQ16xQ", head, 64 + 56, 3, 300, len(name))
    else:
        struct.pack_into(f"{order}I", head, 28, 52)
        struct.pack_into(f"{order}HH", head, 42, 32, 2)
        struct.pack_into(f"{order}I", head, 52, 4)
        struct.pack_into(f"{order}II8xI", head, 52 + 32, 3, 300, len(name))
    head[300 : 300 + len(name)] = name
    return bytes(head)


def fault(files: dict[str, Any]) -> str | None:
    return why_not_started(Tree({"/": MemoryFileSystem(files)}), INIT)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a link to nothing": ({INIT: Link("/lib/gone")}, "leads nowhere"),
    "a folder": ({f"{INIT}/x": b""}, "is not a file"),
    "a file without the right": ({INIT: Data(b"\x7fELF")}, "is not executable"),
    "an empty file": ({INIT: b""}, "is empty"),
    "zeros": ({INIT: bytes(5000)}, "holds only zeros"),
    "a script": ({INIT: b"#! /opt/gone -x\n"}, "needs /opt/gone, which is not there"),
    "a script of a script": (
        {INIT: b"#!/a\n", "/a": b"#!/b\n", "/b": Data(b"x")}, "needs /a, which needs /b, which is not executable"),
    **{f"ELF of {bits} bits, {order}": (
        {INIT: elf(LINKER, bits=bits, order=order)}, f"needs {LINKER}, which is not there")
       for bits in (32, 64) for order in "<>"},
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_started_says_why(name: str) -> None:
    files, said = FAULTS[name]
    assert fault(files) == said


@pytest.mark.parametrize(
    "files",
    [{INIT: elf(LINKER), LINKER: elf("")}, {INIT: b"\x7fELF"}, {INIT: b"x"}, {INIT: b"#!\n"},
     {INIT: Link("/lib/systemd"), "/lib/systemd": b"#!/bin/sh\n", "/bin/sh": b"x"},
     {INIT: b"#!/a\n", "/a": b"#!/a\n"}],
)  # fmt: skip
def test_what_may_be_started_is_no_fault(files: dict[str, Any]) -> None:
    assert fault(files) is None


def test_the_interpreter_of_a_real_program_is_looked_for() -> None:
    data = Path(sys.executable).read_bytes()
    if data[:4] != b"\x7fELF":
        pytest.skip("Python is no ELF program here")
    assert (fault({INIT: data}) or "").startswith("needs /")


@given(st.binary(max_size=120))
def test_any_header_is_read_without_a_crash(data: bytes) -> None:
    for order in (b"\x02\x01", b"\x01\x02"):
        with contextlib.suppress(UnreadableError):
            fault({INIT: b"\x7fELF" + order + data})


def test_whether_a_program_has_an_interpreter_is_not_known_where_its_headers_lead_astray() -> None:
    with pytest.raises(UnreadableError):
        fault({INIT: elf(LINKER)[:32] + struct.pack("<Q", 5000) + elf(LINKER)[40:]})


def test_an_interpreter_that_is_not_there_may_be_on_a_usr_that_was_not_read() -> None:
    files = {INIT: elf(LINKER), "/etc/fstab": "UUID=1 /usr ext4\n"}
    with pytest.raises(UnreadableError, match="fstab mounts UUID=1 on /usr"):
        fault(files)
