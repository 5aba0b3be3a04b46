"""Libraries that a program cannot load, and those that its linker finds."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.linux.libraries import missing, read_elf
from imsprep.guest.tree import Tree
from tests.support.guest.elf_files import AARCH64, I386, LINKER, elf
from tests.support.guest.trees import Link, MemoryFileSystem

INIT, LIBC, OWN = "/sbin/init", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/systemd"
SYSTEMD = elf("libsystemd-shared-252.so", "libc.so.6", linker=LINKER, folders=OWN)
WHOLE: dict[str, Any] = {
    **{f"/lib/x86_64-linux-gnu/libx{n}.so.1": elf() for n in range(10)},
    INIT: SYSTEMD, LIBC: elf("ld-linux-x86-64.so.2", linker=LINKER),
    f"{OWN}/libsystemd-shared-252.so": elf("libmount.so.1", "libc.so.6"),
    "/usr/lib64/libmount.so.1": elf("libc.so.6"),
}  # fmt: skip
I386_LIBRARIES = {f"/lib/libx{n}.so.1": elf() for n in range(10)}
MUSL = "/lib/ld-musl-x86_64.so.1"


def lacks(files: dict[str, Any]) -> str | None:
    kept = {path: content for path, content in files.items() if content is not None}
    return missing(Tree({"/": MemoryFileSystem(kept)}), INIT)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({LIBC: None}, "cannot load libc.so.6, which is not there"),
        ({LIBC: elf(machine=AARCH64)}, "cannot load libc.so.6, which is only there for aarch64"),
        ({LIBC: elf(machine=I386)}, "cannot load libc.so.6, which is only there for i386"),
        ({LIBC: b""}, "cannot load libc.so.6, which is empty"),
        ({LIBC: bytes(5000)}, "cannot load libc.so.6, which is not a library"),
        ({LIBC: Link("libc-2.36.so")}, "cannot load libc.so.6, which is not there"),
        ({f"{OWN}/libsystemd-shared-252.so": None, f"{OWN}/libsystemd-shared-255.so": elf()},
         "cannot load libsystemd-shared-252.so, which is not there"),
        ({"/usr/lib64/libmount.so.1": None},
         "cannot load libmount.so.1 (for libsystemd-shared-252.so), which is not there"),
        ({INIT: elf("libc.so.6", machine=I386, linker="/lib/ld-linux.so.2"), "/lib/libc.so.6": elf(), **I386_LIBRARIES},
         "cannot load libc.so.6, which is only there for x86_64"),
        ({INIT: elf("libc.so", "libubox.so", linker=MUSL)}, "cannot load libubox.so, which is not there"),
    ],
)  # fmt: skip
def test_a_library_that_cannot_be_loaded_is_named(more: dict[str, Any], said: str) -> None:
    assert lacks({**WHOLE, **more}) == said


NOWHERE = {LIBC: None, "/opt/x/libc.so.6": elf()}


@pytest.mark.parametrize(
    "more",
    [
        {}, {**NOWHERE, "/etc/ld.so.conf": "/opt/x # own\n"},
        {**NOWHERE, "/etc/ld.so.conf": "include ld.so.conf.d/*.conf\n", "/etc/ld.so.conf.d/a.conf": "/opt/x\n"},
        {**NOWHERE, "/etc/ld.so.cache": b"glibc-ld.so.cache1.1\0\0/opt/x/libc.so.6\0"},
        {**NOWHERE, INIT: elf("libc.so.6", linker=LINKER, folders="$ORIGIN/../opt/x")},
        {**NOWHERE, INIT: elf("libc.so.6", linker=LINKER, folders="/opt/x", old=True)},
        {**NOWHERE, INIT: elf("libc.so.6", linker="/opt/x/ld-linux-x86-64.so.2")},
        {**NOWHERE, INIT: elf("/opt/x/libc.so.6", linker=LINKER)},
        {**NOWHERE, INIT: Link("/opt/bin/init"), "/opt/bin/init": elf("libc.so.6", linker=LINKER, folders="$ORIGIN/../x")},
        {INIT: elf("libc.so", "libpthread.so.0", linker=MUSL)},
        {INIT: elf("libgone.so.1", linker="/lib/ld-uClibc.so.0")}, {INIT: elf("libgone.so.1")},
    ],
)  # fmt: skip
def test_a_library_in_any_of_its_places_is_there(more: dict[str, Any]) -> None:
    assert lacks({**WHOLE, **more}) is None


@pytest.mark.parametrize("left", ["libx0.so.1", "ld-linux-x86-64.so.2"])
def test_a_tree_that_was_left_without_its_libraries_is_not_judged(left: str) -> None:
    few = {LINKER: elf(), INIT: SYSTEMD, f"/lib/x86_64-linux-gnu/{left}": elf()}
    assert lacks(few) is None


@pytest.mark.parametrize("linker", [LINKER, MUSL])
def test_where_every_folder_of_libraries_is_gone_the_library_is_missing(linker: str) -> None:
    gone = {linker: elf(), INIT: elf("libcap.so.2", linker=linker), "/usr/lib/klibc-x.so": elf()}
    assert lacks(gone) == "cannot load libcap.so.2, which is not there"


def test_a_real_program_names_its_libraries() -> None:
    with open(sys.executable, "rb") as file:
        data = file.read()
    found = read_elf(Tree({"/": MemoryFileSystem({INIT: data})}), INIT)
    if found is None or found.interpreter is None:
        pytest.skip("Python is no ELF program with a linker here")
    assert any(name.startswith("lib") and ".so" in name for name in found.needed)


@given(st.binary(max_size=120), st.integers(0, 300))
def test_any_bytes_are_read_without_a_crash(data: bytes, at: int) -> None:
    changed = SYSTEMD[:at] + data + SYSTEMD[at + len(data) :]
    lacks({INIT: b"\x7fELF\x02\x01" + data})
    lacks({INIT: changed})
