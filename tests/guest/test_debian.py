"""A real Debian on each layout, whole, as ZVHD2, and with faults that lie outside its root's files.

The images come from `make guest-images`; IMSPREP_GUEST_IMAGES says where they are if not in
build/guest-images. Without them these tests are skipped.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.guest_images import MIB
from imsprep.image.volumes.partitions import read_disk
from tests.support.guest.real_debian import DEBIAN_FAULTS, IMAGES, faulty, need_built
from tests.support.running import Outcome, need

pytestmark = pytest.mark.slow
ASKED = ("--os-version", "Debian GNU/Linux 10.0.0 64bit", "--json")


@pytest.fixture
def check(imsprep: Callable[..., Outcome]) -> Callable[..., dict[str, dict[str, Any]]]:
    """Check an image by the command line; the findings on the guest by their rule."""

    def run(image: Path, *options: str) -> dict[str, dict[str, Any]]:
        report = imsprep("check", "--guest", image, *ASKED, *options).json["images"][0]
        return {f["rule"]: f for f in report["findings"] if f["rule"] >= "IMS8"}

    return run


def every(imsprep: Callable[..., Outcome], path: Path) -> tuple[list[Any], list[Any]]:
    """All findings on the guest and all of its rules that were skipped, with their reasons.

    Without the fixes: they name the image where their commands take it.
    """
    report = imsprep("check", "--guest", path, *ASKED).json["images"][0]
    for finding in report["findings"]:
        del finding["fix"]
    return tuple([v for v in report[k] if v["rule"] >= "IMS8"] for k in ("findings", "skipped"))


def image(name: str) -> Path:
    path = IMAGES / f"{name}.raw"
    need_built(path)
    if "btrfs" in name:
        pytest.importorskip("dissect.btrfs")
    return path


def copy(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    return target


def starts(path: Path) -> list[int]:
    """Where the partitions begin, bytes."""
    with path.open("rb") as file:
        disk = read_disk(
            lambda at, length: (file.seek(at), file.read(length))[1], path.stat().st_size
        )
    return [part.start for part in disk.partitions]


@pytest.mark.parametrize(
    "name", ["debian-ext4-bios", "debian-xfs-uefi", "debian-btrfs-zstd", "debian-lvm-uefi"]
)
def test_a_zvhd2_gives_the_same_report_as_the_raw_image(
    name: str, tmp_path: Path, imsprep: Callable[..., Outcome], check: Callable[..., Any]
) -> None:
    raw, packed = image(name), tmp_path / "disk.zvhd2"
    assert imsprep("convert", raw, packed, "--quiet").code == 0
    assert every(imsprep, packed) == every(imsprep, raw)


@need("debugfs")
def test_a_faulty_debian_gives_the_same_report_as_zvhd2(
    tmp_path: Path, imsprep: Callable[..., Outcome], check: Callable[..., Any]
) -> None:
    changes: dict[str, Any] = {}
    expected = set()
    for name in (
        "fstab by name",
        "no virtio_blk",
        "static address",
        "authorized keys",
        "machine-id",
        "VMware tools",
    ):
        changes |= DEBIAN_FAULTS[name][0]
        expected.add(DEBIAN_FAULTS[name][1])
    raw, packed = faulty(changes, tmp_path), tmp_path / "bad.zvhd2"
    assert imsprep("convert", raw, packed, "--quiet").code == 0
    assert every(imsprep, packed) == every(imsprep, raw)
    assert expected <= set(check(raw))


# What differs from a well-prepared Debian 12, on each layout, by what is asked of it.
@pytest.mark.parametrize(
    ("name", "options", "rules"),
    [
        ("debian-ext4-uefi", ("--firmware", "uefi"), {"IMS801": "warning", "IMS802": "note"}),
        ("debian-ext4-uefi", ("--firmware", "uefi", "--architecture", "arm"),
         {"IMS801": "warning", "IMS802": "note", "IMS803": "error", "IMS804": "error"}),
        ("debian-lvm-uefi", ("--os-version", "CentOS 7.6 64bit"), {"IMS801": "error", "IMS802": "note"}),
    ],
)  # fmt: skip
def test_what_is_asked_is_compared_with_a_real_system(
    name: str, options: tuple[str, ...], rules: dict[str, str], check: Callable[..., Any]
) -> None:
    findings = check(image(name), *options)
    assert {rule: f["severity"] for rule, f in findings.items()} == rules


@pytest.mark.parametrize(
    ("name", "firmware"),
    [("debian-ext4-uefi", "bios"), ("debian-ext4-bios", "uefi"), ("debian-xfs-bios", "uefi"), ("debian-lvm-uefi", "bios")],
)  # fmt: skip
def test_the_other_boot_mode_is_an_error(
    name: str, firmware: str, imsprep: Callable[..., Outcome]
) -> None:
    report = imsprep("check", "--guest", image(name), *ASKED, "--firmware", firmware).json
    errors = {f["rule"] for f in report["images"][0]["findings"] if f["severity"] == "error"}
    assert errors & {"IMS210", "IMS804"}, "no place for the loader, or no loader there"


@need("mdel", "mdeltree")
@pytest.mark.parametrize("command", [("mdel", "::/EFI/BOOT/BOOTX64.EFI"), ("mdeltree", "::/EFI")])
def test_a_boot_loader_that_is_missing_is_found(
    tmp_path: Path, command: tuple[str, str], check: Callable[..., Any]
) -> None:
    disk = copy(image("debian-ext4-uefi"), tmp_path / "disk.raw")
    name, path = command
    subprocess.run([name, "-i", f"{disk}@@{starts(disk)[0]}", path], check=True)
    assert check(disk, "--firmware", "uefi")["IMS804"]["severity"] == "error"


@need("mcopy")
@pytest.mark.parametrize("there", [True, False])
def test_grub_finds_a_logical_volume_by_its_identifiers(
    there: bool, tmp_path: Path, check: Callable[..., Any]
) -> None:
    disk = copy(image("debian-lvm-uefi"), tmp_path / "disk.raw")
    esp, first, _ = starts(disk)
    with disk.open("rb") as file:
        file.seek(first)
        metadata = file.read(MIB).decode("latin-1")  # of vgcreate and lvcreate
    group, logical = (
        re.findall(rf'{name} {{\nid = "([\w-]{{38}})"', metadata)[-1] for name in ("vg0", "root")
    )
    stub = tmp_path / "grub.cfg"
    stub.write_text(
        f"set root='lvmid/{group if there else logical}/{logical}'\n"
        "set prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
    )
    subprocess.run(
        ["mcopy", "-o", "-i", f"{disk}@@{esp}", stub, "::/EFI/debian/grub.cfg"], check=True
    )
    errors = {r for r, f in check(disk, "--firmware", "uefi").items() if f["severity"] == "error"}
    assert errors == (set() if there else {"IMS807"})


@need("debugfs")
def test_an_unclean_root_is_found(tmp_path: Path, check: Callable[..., Any]) -> None:
    disk = copy(image("debian-ext4-bios"), tmp_path / "disk.raw")
    root = tmp_path / "fs.img"
    start = starts(disk)[-1]
    subprocess.run(["dd", f"if={disk}", f"of={root}", "bs=1M", f"skip={start // MIB}", "conv=sparse", "status=none"], check=True)  # fmt: skip
    subprocess.run(
        ["debugfs", "-w", "-R", "feature needs_recovery", root], check=True, capture_output=True
    )
    subprocess.run(["dd", f"if={root}", f"of={disk}", "bs=1M", f"seek={start // MIB}", "conv=notrunc", "status=none"], check=True)  # fmt: skip
    assert "was not unmounted cleanly" in check(disk)["IMS806"]["message"]


def test_a_disk_without_its_root_stops_at_the_loader(
    tmp_path: Path, check: Callable[..., Any]
) -> None:
    source = image("debian-ext4-uefi")
    disk = copy(source, tmp_path / "disk.raw")
    with disk.open("r+b") as file:
        file.seek(starts(source)[1])
        file.write(bytes(MIB))
    assert set(check(disk)) == {"IMS807"}, "GRUB lies in the EFI system partition; its root is gone"
