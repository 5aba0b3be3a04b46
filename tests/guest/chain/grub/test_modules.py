"""Whether GRUB's modules fit the program that loads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.chain.grub.modules import missing_symbol, read_module
from tests.support.guest.grub_cores import module

KERNEL = b"..\0grub_printf\0grub_xcalloc\0"
FILES = {
    "normal": module("normal", needs=["grub_printf", "grub_net", "grub_term"], modules=["net"]),
    "net": module("net", needs=["grub_xcalloc"], brings=["grub_net"]),
    "linux": module("linux", needs=["grub_printf"], modules=["normal"]),
}
BUILT_IN = {"terminal": module("terminal", brings=["grub_term"])}
WANTED = ("normal", "linux")


def test_what_every_module_needs_is_in_the_kernel_or_in_another_one() -> None:
    assert missing_symbol(KERNEL, BUILT_IN, WANTED, FILES.get) is None


def test_a_symbol_that_nothing_has_is_named_with_its_module() -> None:
    older = KERNEL.replace(b"xcalloc", b"zalloc")
    assert missing_symbol(older, BUILT_IN, WANTED, FILES.get) == ("net", "grub_xcalloc")
    assert missing_symbol(KERNEL, {}, WANTED, FILES.get) == ("normal", "grub_term")
    assert missing_symbol(older, {**BUILT_IN, **FILES}, WANTED, FILES.get) is None, "all built in"


def test_a_name_may_be_the_end_of_another_one() -> None:
    """A linker puts both into one text."""
    assert missing_symbol(b"\0my_grub_printf\0grub_xcalloc\0", BUILT_IN, WANTED, FILES.get) is None


@pytest.mark.parametrize("file", [None, b"", b"\x7fELF", FILES["net"][:200]])
def test_where_a_module_is_not_read_nothing_is_missing(file: bytes | None) -> None:
    files = {**FILES, "net": file}
    assert missing_symbol(b"", BUILT_IN, WANTED, files.get) is None


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_file_is_read_without_a_crash(data: bytes, at: int) -> None:
    read_module(b"\x7fELF\1\1" + data)
    whole = FILES["normal"]
    read_module(whole[:at] + data + whole[at + len(data) :])


GRUB = Path("/usr/lib/grub/i386-pc")


@pytest.mark.skipif(not (GRUB / "normal.mod").exists(), reason="no modules of GRUB for BIOS here")
def test_the_modules_of_a_grub_fit_its_own_kernel_and_no_other() -> None:
    def load(name: str) -> bytes | None:
        path = GRUB / f"{name}.mod"
        return path.read_bytes() if path.exists() else None

    kernel = (GRUB / "kernel.img").read_bytes()
    assert missing_symbol(kernel, {}, WANTED, load) is None
    module, symbol = missing_symbol(
        kernel.replace(b"grub_calloc", b"grub_zalloc"), {}, WANTED, load
    ) or ("", "")
    assert symbol == "grub_calloc"
    assert module
