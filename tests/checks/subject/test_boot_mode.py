"""The boot mode: as requested, from the disk where UEFI alone starts it, and else left open."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imsprep.checks import registry
from imsprep.checks.facts import Facts
from imsprep.checks.subject.boot_mode import BootMode, boot_mode, starts_by_uefi
from imsprep.cloud.sites import SITES
from imsprep.image.volumes.partitions import BIOS_BOOT
from imsprep.image.volumes.signatures import FAT, Volume
from imsprep.ims.request import RequestFields
from imsprep.report import Severity
from tests.support.checks.rules import disk, image, part

UEFI_ONLY = disk(boot_code=False)
EXT4 = (part(volume=Volume("ext4", False, False)),)
DISKS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "uefi": (UEFI_ONLY, ("uefi",)),
    "hybrid": (disk(), ("bios", "uefi")),
    "bios": (disk(partitions=(part(kind=BIOS_BOOT),)), ("bios",)),
    "nothing": (disk(boot_code=False, partitions=()), ()),
    "an ESP with ext4": (disk(boot_code=False, partitions=EXT4), ()),
    "a FAT of another type": (
        disk(boot_code=False, partitions=(part(kind="0x0c", volume=Volume(FAT, False, False)),)),
        (),
    ),
    "unreadable": (None, ()),
}  # fmt: skip


def facts(kind: str, site: str = "otc", **fields: Any) -> Facts:
    return image(disk=DISKS[kind][0], site=SITES[site], request=RequestFields(**fields))


@pytest.mark.parametrize("name", DISKS)
def test_only_a_disk_that_uefi_alone_starts_tells_the_boot_mode(name: str) -> None:
    mode = boot_mode(facts(name))
    assert mode is not None
    assert mode.disk == DISKS[name][1]
    assert (mode.firmware, mode.origin) == (("uefi", "disk") if name == "uefi" else (None, None))


@pytest.mark.parametrize("name", DISKS)
@pytest.mark.parametrize("asked", ["bios", "uefi"])
def test_what_was_asked_for_stands(name: str, asked: str) -> None:
    mode = boot_mode(facts(name, hw_firmware_type=asked))
    assert mode is not None
    assert (mode.firmware, mode.origin) == (asked, "request")


@pytest.mark.parametrize("name", DISKS)
def test_an_arm_server_has_uefi_and_a_data_disk_no_boot_mode(name: str) -> None:
    mode = boot_mode(facts(name, architecture="arm"))
    assert mode is not None
    assert (mode.firmware, mode.origin) == ("uefi", "architecture")
    assert boot_mode(facts(name, type="DataImage")) is None
    assert not starts_by_uefi(facts(name, type="DataImage"))


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (BootMode("uefi", "disk", ("uefi",)), "UEFI, from the disk"),
        (BootMode("bios", "request", ()), "BIOS, as requested"),
        (BootMode("uefi", "architecture", ()), "UEFI, as every Arm server"),
        (BootMode("uefi", "descriptor", ()), "UEFI, from the machine's descriptor"),
        (BootMode(None, None, ("bios", "uefi")), "the disk starts by BIOS or UEFI"),
        (BootMode(None, None, ()), "what starts the disk is unknown"),
        (BootMode(None, None, ("uefi",), "otc-swiss"), "set it after the import"),
    ],
)
def test_it_is_said_in_words(mode: BootMode, words: str) -> None:
    assert words in str(mode)
    assert mode.as_dict() == {"firmware": mode[0], "from": mode[1], "disk": list(mode[2])}


def test_the_default_of_a_request_is_said_to_be_inferred() -> None:
    assert str(boot_mode(facts("hybrid"))).endswith("without a request it is BIOS (inferred)")


WHOLE = {"name": "web01", "os_version": "CentOS 7.6 64bit", "min_disk": 40}


@pytest.mark.parametrize(
    ("site", "alone"),
    [
        ("otc", Severity.NOTE),
        ("huawei", Severity.NOTE),
        ("huawei-intl", Severity.NOTE),
        ("otc-swiss", Severity.WARNING),
    ],
)
def test_a_whole_request_that_does_not_ask_for_it_is_a_warning(site: str, alone: Severity) -> None:
    (finding,) = registry.run(facts("uefi", site, **WHOLE)).of("IMS217")
    assert finding.severity is Severity.WARNING
    for left_out in WHOLE:  # an import adds the firmware as it adds what is missing
        some = {name: value for name, value in WHOLE.items() if name != left_out}
        (finding,) = registry.run(facts("uefi", site, **some)).of("IMS217")
        assert finding.severity is alone


@pytest.mark.parametrize(
    ("site", "asks"), [("otc", True), ("huawei", True), ("huawei-intl", True), ("otc-swiss", False)]
)
def test_an_import_that_asks_for_it_by_itself_has_nothing_to_say(site: str, asks: bool) -> None:
    importing = dataclasses.replace(facts("uefi", site), importing=True)
    mode = boot_mode(importing)
    assert mode is not None
    assert (mode.firmware == "uefi") is asks
    assert bool(registry.run(importing).of("IMS217")) is not asks


def test_an_esp_that_no_firmware_reads_is_no_reason_to_ask_for_uefi() -> None:
    (finding,) = registry.run(facts("an ESP with ext4")).of("IMS217")
    assert finding.severity is Severity.WARNING
    assert "holds ext4, not FAT" in finding.message


def test_no_firmware_is_left_that_passes_no_check() -> None:
    """On every site that can start the disk by UEFI, asking for it is no warning."""
    for site in ("otc", "huawei", "huawei-intl"):
        found = registry.run(facts("uefi", site, hw_firmware_type="uefi")).findings
        about = [f for f in found if f.rule in ("IMS210", "IMS217", "IMS602")]
        assert all(f.severity is Severity.NOTE for f in about)
