"""The boot loader: what GRUB reads."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imsprep.report import Severity
from tests.support.guest.disks import ext4_disk, on_mbr
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import (
    ROOT,
    debian,
    linux_guest,
)
from tests.support.running import Outcome, need

GRUB = "/boot/grub/grub.cfg"
MODULE = "/boot/grub/i386-pc/ext2.mod"
NORMAL = {"/boot/grub/i386-pc/normal.mod": b"\x002.06-13\0"}
OLD, NEW = 0x103D6, 0x163D6  # what the ext2.c of GRUB 2.06 reads, and that of 2.12


def reads(mask: int) -> dict[str, Any]:
    return {MODULE: b"\xa9" + (~mask & 0xFFFFFFFF).to_bytes(4, "little")}


@pytest.mark.parametrize(("more", "features", "severity", "said"), [
    (reads(OLD), ("64bit", "metadata_csum_seed"), Severity.ERROR, "metadata_csum_seed, which the ext4"),
    (reads(NEW), ("64bit", "metadata_csum_seed", "large_dir"), None, ""),
    (reads(NEW), ("inline_data",), Severity.ERROR, "does not read inline_data"),
    ({}, ("metadata_csum_seed",), Severity.WARNING, "GRUB 2.06-13 does not know"),
    ({}, ("64bit",), None, ""),
])  # fmt: skip
def test_what_grubs_module_refuses_is_an_error_and_its_version_a_warning(
    more: dict[str, Any], features: tuple[str, ...], severity: Severity | None, said: str
) -> None:
    volume = dataclasses.replace(ROOT, features=features)
    findings, skipped = check_guest(linux_guest({**debian(), **NORMAL, **more}, volumes=(volume,)))
    found = [(f.severity, f.message) for f in findings if f.rule == "IMS840"]
    assert [s for s, _ in found] == ([severity] if severity is not None else [])
    assert all(said in message for _, message in found)
    assert "IMS840" not in {s.rule for s in skipped}


@pytest.mark.slow
@need("mkfs.ext4", "tune2fs", "e2fsck")
def test_the_command_against_the_seed_silences_the_rule_and_breaks_nothing(
    imsprep: Callable[..., Outcome], tmp_path: Path
) -> None:
    disk = ext4_disk(tmp_path, {**debian(), **NORMAL, **reads(OLD)},
                     "-O", "metadata_csum,metadata_csum_seed")  # fmt: skip

    def errors() -> dict[str, str]:
        said = json.loads(imsprep("check", disk, "--guest", "--json").out)["images"][0]["findings"]
        return {f["rule"]: f["fix"] for f in said if f["severity"] == "error"}

    before = errors()
    command = re.search(r"`(tune2fs .*?) DEVICE`", before.pop("IMS840"))
    assert command is not None
    subprocess.run([*command[1].split(), tmp_path / "fs.img"], check=True)
    subprocess.run(["e2fsck", "-fn", tmp_path / "fs.img"], check=True)
    on_mbr(disk, tmp_path / "fs.img")
    assert errors() == before


@pytest.mark.parametrize("features", [("large_dir",), ("large_dir", "metadata_csum_seed")])
def test_no_command_is_offered_for_a_feature_that_stays(features: tuple[str, ...]) -> None:
    volume = dataclasses.replace(ROOT, features=features)
    findings, _ = check_guest(linux_guest({**debian(), **reads(OLD)}, volumes=(volume,)))
    fixes = [f.fix or "" for f in findings if f.rule == "IMS840"]
    assert fixes
    assert not any("`" in fix for fix in fixes)


def test_a_kernel_for_arm_is_none_for_the_loader_of_a_bios() -> None:
    kernel = {"/boot/vmlinuz-4.19.0-27-amd64": b"MZ".ljust(56, b"\0") + b"ARM\x64".ljust(64, b"\0")}
    found = {f.rule: f.message for f in check_guest(linux_guest({**debian(), **kernel}))[0]}
    assert found["IMS807"].endswith("which is a kernel for 64-bit Arm")


def test_an_empty_configuration_is_written_again_and_the_loader_stays() -> None:
    (fix,) = (
        f.fix or ""
        for f in check_guest(linux_guest({**debian(), GRUB: ""}))[0]
        if f.rule == "IMS807"
    )
    assert fix.startswith("The system does not start as it is")
    assert "update-grub" in fix
    assert "install the loader" not in fix


def test_an_entry_in_a_file_of_its_own_names_files_on_that_files_volume() -> None:
    version = "4.19.0-27-amd64"
    entry = {
        GRUB: "blscfg\n",
        "/boot/loader/entries/a.conf": f"linux /vmlinuz-{version}\noptions root=UUID={ROOT.uuid}\n",
    }
    found = {f.rule: f.message for f in check_guest(linux_guest({**debian(), **entry}))[0]}
    assert f"/vmlinuz-{version}, which is not on partition 1" in found["IMS807"]
    right = {path: text.replace("linux /", "linux /boot/") for path, text in entry.items()}
    assert "IMS807" not in {f.rule for f in check_guest(linux_guest({**debian(), **right}))[0]}


@pytest.mark.parametrize(("said", "features", "found"), [
    (b"SYSLINUX 6.03 EDD 2014-10-06", ("64bit",), True), (b"EXTLINUX 4.05 2011", ("64bit",), True),
    (b"SYSLINUX 6.04 EDD 20191223", ("64bit", "metadata_csum_seed"), False),
    (b"SYSLINUX 6.03 EDD", (), False), (b"no version", ("64bit",), False),
])  # fmt: skip
def test_an_old_extlinux_does_not_read_64bit(
    said: bytes, features: tuple[str, ...], found: bool
) -> None:
    version = "4.19.0-27-amd64"
    config = (f"default x\nlabel x\n linux /boot/vmlinuz-{version}\n initrd /boot/initrd.img-{version}\n"
              f" append root=UUID={ROOT.uuid} ro\n")  # fmt: skip
    files = {path: text for path, text in debian().items() if path != GRUB}
    files |= {"/boot/extlinux/extlinux.conf": config, "/boot/extlinux/ldlinux.sys": said}
    volume = dataclasses.replace(ROOT, features=features)
    findings, _ = check_guest(linux_guest(files, volumes=(volume,)))
    assert [f.severity for f in findings if f.rule == "IMS840"] == [Severity.WARNING] * found
