"""What the firmware starts from: a FAT of another type than that of an EFI system partition."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.units import MIB
from tests.support.guest.efi_programs import pe
from tests.support.running import Outcome, need


def disk(folder: Path, kind: str, *, program: bool = True, fat: bool = True) -> Path:
    """A GPT with one partition of a type, and in it a FAT with a first program for UEFI."""
    made, inner, loader = folder / "disk.raw", folder / "fat.img", folder / "loader"
    for path, size in ((made, 64 * MIB), (inner, 40 * MIB)):
        with path.open("wb") as file:
            file.truncate(size)
    subprocess.run(["sgdisk", "-n", f"1:2048:{41 * 2048 - 1}", "-t", f"1:{kind}", made], check=True,
                   capture_output=True)  # fmt: skip
    loader.write_bytes(pe({".data": b"UEFI SHIM\n$Version: 15 $"}))
    if fat:
        subprocess.run(["mkfs.vfat", inner], check=True, capture_output=True)
        if program:
            subprocess.run(["mmd", "-i", inner, "::/EFI", "::/EFI/BOOT"], check=True)
            subprocess.run(["mcopy", "-i", inner, loader, "::/EFI/BOOT/BOOTX64.EFI"], check=True)
    with made.open("r+b") as file:
        file.seek(MIB)
        file.write(inner.read_bytes())
    return made


@pytest.mark.slow
@need("sgdisk", "mkfs.vfat", "mmd", "mcopy")
@pytest.mark.parametrize(("kind", "program", "fat", "look", "rules"), [
    ("ef00", True, True, True, []),
    ("8300", True, True, True, []),
    ("8300", False, True, True, ["IMS209"]),
    ("8300", True, True, False, ["IMS209"]),
    ("8300", True, False, False, ["IMS209"]),
])  # fmt: skip
def test_a_fat_of_another_type_may_be_started(
    imsprep: Callable[..., Outcome], tmp_path: Path, kind: str, program: bool, fat: bool,
    look: bool, rules: list[str],
) -> None:  # fmt: skip
    image = disk(tmp_path, kind, program=program, fat=fat)
    asked = ("--firmware", "uefi", *(("--guest",) if look else ()))
    found = json.loads(imsprep("check", image, *asked, "--json").out)["images"][0]["findings"]
    place = [f for f in found if f["rule"] in ("IMS209", "IMS210")]
    assert [f["rule"] for f in place] == rules
    assert all(f["severity"] == "warning" for f in place)


@pytest.mark.slow
@need("sgdisk", "mkfs.vfat", "mkfs.ext4")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_efi_system_partition_without_a_fat_is_no_place_to_start_from(
    imsprep: Callable[..., Outcome], tmp_path: Path, elsewhere: bool
) -> None:
    """The firmware may start from a FAT of another type."""
    image = disk(tmp_path, "ef00", program=False)
    options = ("-q", "-F", "-E", f"offset={MIB}", image, "40M")
    subprocess.run(["mkfs.ext4", *options], check=True, capture_output=True)
    if elsewhere:
        subprocess.run(["sgdisk", "-n", "2:0:0", "-t", "2:0700", image], check=True,
                       capture_output=True)  # fmt: skip
        place = ("--offset", str(41 * MIB // 512), "-F", "16", image, str(20 * 1024))
        subprocess.run(["mkfs.vfat", *place], check=True, capture_output=True)
    asked = ("--firmware", "uefi", "--json")
    (said,) = (f for f in json.loads(imsprep("check", image, *asked).out)["images"][0]["findings"]
               if f["rule"] == "IMS210")  # fmt: skip
    severity = "warning" if elsewhere else "error"
    assert (said["severity"], said["expected"], said["found"]) == (severity, "FAT", "ext4")
