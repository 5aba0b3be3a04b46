"""EFI programs: kinds, prefixes and sections; and what is none of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.chain.efi import GRUB, OTHER, SHIM, SYSTEMD_BOOT, UKI, damage_of, read_program
from tests.support.guest.efi_programs import grub, pe, unified
from tests.support.running import need


def test_a_grub_tells_its_prefix_and_its_script() -> None:
    found = read_program(grub("/EFI/debian"))
    assert (found.kind, found.objects.prefix, found.objects.config) == (GRUB, "/EFI/debian", None)
    found = read_program(grub("(,gpt2)/boot/grub", "search.fs_uuid ab root\n"))
    assert (found.objects.prefix, found.objects.config) == (
        "(,gpt2)/boot/grub",
        "search.fs_uuid ab root\n",
    )


@need("grub-mkimage")
def test_what_grub_mkimage_makes_is_read(tmp_path: Path) -> None:
    script, made = tmp_path / "load.cfg", tmp_path / "grub.efi"
    script.write_text("set prefix=($root)/x\n")
    subprocess.run(
        ["grub-mkimage", "-O", "x86_64-efi", "-p", "/boot/y", "-c", script, "-o", made, "normal"],
        check=True, capture_output=True,
    )  # fmt: skip
    found = read_program(made.read_bytes())
    assert (found.kind, found.objects.prefix, found.objects.config) == (
        GRUB,
        "/boot/y",
        "set prefix=($root)/x\n",
    )


def test_a_unified_kernel_image_tells_command_line_and_initramfs() -> None:
    data = unified("root=UUID=1 ro", b"070701")
    found = read_program(data)
    assert (found.kind, found.cmdline, found.version) == (UKI, "root=UUID=1 ro", "6.1.0")
    assert found.initrd is not None
    offset, size = found.initrd
    assert data[offset : offset + size] == b"070701"


def test_other_loaders_are_told_by_their_marks() -> None:
    assert (
        read_program(pe({".sdmagic": b"#### LoaderInfo: systemd-boot 255 ####"})).kind
        == SYSTEMD_BOOT
    )
    assert read_program(pe({".data": b"UEFI SHIM\n$Version: 15 $"})).kind == SHIM
    assert read_program(b"MZ loader").kind == OTHER


def test_a_program_that_no_firmware_loads_says_why() -> None:
    whole = grub("/EFI/debian")
    assert damage_of(whole, len(whole)) is None
    assert damage_of(whole[:2000], len(whole)) is None, "only its head was read"
    assert (damage_of(whole[:1100], 1100) or "").startswith("is cut off: it has 1100 bytes of 1")
    assert damage_of(b"", 0) == "is empty"
    assert damage_of(bytes(9), 9000) == "holds only zeros"
    assert damage_of(b"\x7fELF", 9000) == "is not an EFI program"
    assert damage_of(b"MZ loader", 9) is None, "a form that is not known"


@given(st.binary(max_size=300), st.integers(0, 1500), st.integers(0, 255))
def test_no_bytes_make_it_fail(tail: bytes, at: int, value: int) -> None:
    data = bytearray(grub("/EFI/x", "script") + tail)
    data[at] = value
    for cut in (bytes(data), bytes(data[: at + 1]), tail):
        assert read_program(cut).kind
