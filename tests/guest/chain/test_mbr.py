"""Where a boot program that starts the active partition stops: Syslinux's own programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imsprep.guest.chain.mbr import why_it_stops
from imsprep.units import MIB, SECTOR
from tests.support.running import need

FOLDERS = (Path("/usr/lib/EXTLINUX"), Path("/usr/lib/syslinux/mbr"))
FIRST = 2048  # sector of the first partition


def program(name: str) -> bytes:
    found = next((f / name for f in FOLDERS if (f / name).exists()), None)
    if found is None:
        pytest.skip(f"not installed: {name} of Syslinux (syslinux-common)")
    return found.read_bytes()[:440]


def disk(folder: Path, name: str, layout: str, active: int = 0) -> bytearray:
    """A disk with partitions by sfdisk, and a program of Syslinux that starts the active one."""
    code, path = program(name), folder / "disk.raw"
    path.write_bytes(bytes(8 * MIB))
    subprocess.run(["sfdisk", "-q", path], input=layout, text=True, check=True)
    for number in range(active):
        subprocess.run(["sfdisk", "-q", path, "--part-attrs", str(number + 1), "LegacyBIOSBootable"],
                       check=True)  # fmt: skip
    data = bytearray(path.read_bytes())
    data[: len(code)] = code
    return data


def verdict(data: bytearray) -> str | None:
    return why_it_stops(bytes(data[:SECTOR]), lambda at, size: bytes(data[at : at + size]))


def bootable(data: bytearray, sector: int) -> bytearray:
    data[sector * SECTOR + 510 : (sector + 1) * SECTOR] = b"\x55\xaa"
    return data


MBR = "label: dos\nstart=2048, size=2048, type=83{}\nstart=4096, size=2048, type={}{}\n"


@pytest.mark.slow
@need("sfdisk")
def test_one_partition_of_an_mbr_has_to_be_active(tmp_path: Path) -> None:
    one = bootable(disk(tmp_path, "mbr.bin", MBR.format(", bootable", "83", "")), FIRST)
    assert verdict(one) is None
    none = disk(tmp_path, "mbr.bin", MBR.format("", "83", ""))
    assert (verdict(none) or "").startswith("no partition is marked active")
    two = disk(tmp_path, "mbr.bin", MBR.format(", bootable", "83", ", bootable"))
    assert (verdict(two) or "").startswith("2 partitions are marked active")
    extended = disk(tmp_path, "mbr.bin", MBR.format("", "5", ""))
    assert verdict(extended) is None, "a logical partition may be the active one"


@need("sfdisk")
def test_the_active_partition_has_to_begin_with_a_boot_program(tmp_path: Path) -> None:
    data = disk(tmp_path, "mbr.bin", MBR.format(", bootable", "83", ""))
    assert "begins at sector 2048, has no boot program" in (verdict(data) or "")
    data[FIRST * SECTOR : FIRST * SECTOR + 4] = b"XFSB"
    assert "no boot program" in (verdict(data) or "")
    assert verdict(bootable(data, FIRST + 4)) is None, "an XFS has it behind its superblock"
    assert verdict(data[: FIRST * SECTOR]) is None, "what was cut off may have one"


@pytest.mark.slow
@need("sfdisk")
def test_one_partition_of_a_gpt_has_to_be_active(tmp_path: Path) -> None:
    layout = "label: gpt\nstart=2048, size=2048\nstart=4096, size=2048\n"
    assert verdict(bootable(disk(tmp_path, "gptmbr.bin", layout, 1), FIRST)) is None
    for count, said in ((0, "no partition is"), (2, "2 partitions are")):
        assert (verdict(disk(tmp_path, "gptmbr.bin", layout, count)) or "").startswith(said)


def test_other_boot_programs_are_not_judged() -> None:
    text = b"Missing operating system\0Error loading operating system\0"
    assert verdict(bytearray(text.ljust(510, b"\0") + b"\x55\xaa")) is None
    assert verdict(bytearray(program("altmbr.bin")[:439].ljust(512, b"\1"))) is None
    assert verdict(bytearray(b"Multiple active partitions. Missing OS")) is None
