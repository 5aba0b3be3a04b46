"""GRUB's core image: what real and crafted first sectors lead to."""

from __future__ import annotations

import contextlib
import random
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.chain.devices import UnknownStepError
from imsprep.guest.chain.grub.core_image import DamagedCoreError, NoCoreError, read_core
from imsprep.guest.chain.grub.objects import Objects, ext_features
from tests.support.guest.grub_cores import disk, objects
from tests.support.running import need

SCRIPT = "search.fs_uuid 1111 root\nset prefix=($root)/boot/grub\n"
GRUB = Path("/usr/lib/grub/i386-pc")


def core_of(data: bytes) -> Objects:
    return read_core(lambda offset, length: data[offset : offset + length], data[:512])


@pytest.mark.parametrize("sector", [1, 34])
def test_prefix_and_script_are_read_from_the_packed_core(sector: int) -> None:
    found = core_of(disk(objects("/boot/grub", SCRIPT, {"normal": b""}), sector))
    assert (found.prefix, found.config, list(found.modules)) == ("/boot/grub", SCRIPT, ["normal"])


@need("grub-mkimage")
@pytest.mark.skipif(not (GRUB / "kernel.img").exists(), reason="not installed: grub-pc-bin")
def test_what_grub_mkimage_makes_is_read(tmp_path: Path) -> None:
    script, made = tmp_path / "load.cfg", tmp_path / "core.img"
    script.write_text(SCRIPT)
    subprocess.run(
        ["grub-mkimage", "-O", "i386-pc", "-p", "(,gpt2)/y", "-c", script, "-o", made,
         "biosdisk", "part_gpt", "ext2"],
        check=True, capture_output=True,
    )  # fmt: skip
    core, boot = bytearray(made.read_bytes()), bytearray((GRUB / "boot.img").read_bytes())
    struct.pack_into("<Q", core, 500, 2)
    struct.pack_into("<Q", boot, 0x5C, 1)
    found = core_of(bytes(boot) + bytes(core))
    assert (found.prefix, found.config) == ("(,gpt2)/y", SCRIPT)
    assert {"biosdisk", "part_gpt", "ext2"} <= found.modules.keys()
    assert ext_features(found.modules["ext2"]) is not None


def test_nothing_where_the_boot_program_goes_on_is_proved() -> None:
    whole = disk(objects("/boot/grub"), 40)
    with pytest.raises(NoCoreError, match="sector 40, which holds zeros"):
        core_of(whole[:512] + bytes(len(whole)))
    with pytest.raises(NoCoreError, match="core image of GRUB after sector 40 holds zeros"):
        core_of(whole[: 41 * 512] + bytes(len(whole)))


def test_a_disk_that_ends_before_the_core_image_may_have_been_cut() -> None:
    with pytest.raises(DamagedCoreError, match=r"sector 40, .*, is beyond the end of the disk"):
        core_of(disk(objects("/boot/grub"), 40)[:4096])


LONG = bytes(range(256)) * 8 + random.Random(1).randbytes(8000)  # hardly packs
BODY = 1024  # where the core image goes on behind its first sector


def damaged(at: int, new: bytes, code: int = 0) -> bytes:
    data = bytearray(disk(objects("/boot/grub"), kernel=b"kernel mimg" + LONG, code=code))
    data[BODY + at : BODY + at + len(new)] = new
    return bytes(data)


@pytest.mark.parametrize(("at", "sectors", "code", "said"), [
    (0, 1, 4096, "after sector 1 begins with zeros"),
    (0, 10, 4096, "after sector 1 begins with zeros"),
    (2048, 1, 0, "has 1 sector of zeros, which GRUB cannot repair"),
    (2048, 5, 4096, "has 5 sectors of zeros, which GRUB cannot repair"),
])  # fmt: skip
def test_zeros_that_grub_cannot_repair_are_proof(
    at: int, sectors: int, code: int, said: str
) -> None:
    with pytest.raises(NoCoreError, match=said):
        core_of(damaged(at, bytes(sectors * 512), code))


@pytest.mark.parametrize(("at", "new", "code"), [
    (2048, bytes(4 * 512), 4096),  # as much as the code corrects
    (2048, b"\xff" * 512, 0), (2048, b"\xff" * 512, 4096), (0, b"\xcc" * 512, 0),
    (0, b"\xcc" * 512, 4096), (32, b"\xcc" * 6, 0), (-512, b"\xcc" * 512, 0),
])  # fmt: skip
def test_other_damage_is_unknown(at: int, new: bytes, code: int) -> None:
    with pytest.raises(DamagedCoreError):
        core_of(damaged(at, new, code))


def test_what_is_not_known_is_unknown() -> None:
    whole = disk(objects("/boot/grub"))
    with pytest.raises(UnknownStepError, match="past the end of the disk"):
        core_of(whole[: 2 * 512])
    changes = {"another loader": (0x180, b"LILO"), "an older GRUB": (0x5A, b"\x12\x34"),
               "another disk": (0x64, b"\x81"), "another sector": (512 + 0x120, bytes(32)),
               "another packer": (1024 + 32, b"\0"), "damaged": (1024 + 70, b"\xff" * 8),
               "another size": (1024 + 12, b"\xff\xff")}  # fmt: skip
    for at, new in changes.values():
        data = bytearray(whole)
        data[at : at + len(new)] = new
        with pytest.raises(UnknownStepError):
            core_of(bytes(data))


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=40))
def test_no_bytes_make_it_fail(at: int, new: bytes) -> None:
    data = bytearray(disk(objects("/x", SCRIPT)))
    data[at : at + len(new)] = new
    for cut in (bytes(data), bytes(data[: at + 1])):
        with contextlib.suppress(NoCoreError, UnknownStepError):
            assert core_of(cut) is not None
