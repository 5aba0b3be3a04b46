"""IMS2xx, boot: whether the disk has what the firmware that was asked for can start."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, rule
from imsprep.checks.subject.boot_mode import FIELD, has_fat, is_uefi_only, other_esp, uefi_starts
from imsprep.checks.subject.disk import PROPERTIES, disk_of
from imsprep.report import Severity


@rule(
    "IMS209", Severity.WARNING, "Nothing to boot was found on the system disk",
    why="A server made from it stays at the firmware's screen. The import itself may succeed.",
    fix="Install a boot loader; for a data disk request type DataImage.",
    source=f"{PROPERTIES}: one disk with all to boot; what is looked for is inferred",
)  # fmt: skip
def nothing_to_boot(facts: Facts) -> Iterator[Evidence]:
    """Look for an EFI system partition or code that a BIOS can start."""
    disk, starts = disk_of(facts), uefi_starts(facts)
    if facts.is_system_disk and not starts and not disk.can_bios_boot:
        table = disk.table.upper() if disk.table else "no partition table"
        yield Evidence(
            f"{table}, no boot code in the first sector, no EFI system partition",
            expected="a boot loader", found="none",
            severity=Severity.ERROR if _is_to_boot(facts) and starts is False else None,
        )  # fmt: skip


def _is_to_boot(facts: Facts) -> bool:
    """Return whether a system was found on the disk and the request says how to start it."""
    system = facts.guest.system if facts.guest is not None else None
    return system is not None and facts.request.hw_firmware_type is not None


@rule(
    "IMS210", Severity.ERROR, "The disk does not boot with the firmware asked for",
    why="A server whose firmware does not find its loader stays at the firmware's screen.",
    fix="Request the other firmware (hw_firmware_type), or install the loader for this one.",
    source=f'{PROPERTIES}: "Boot mode" must match; OTC API reference, 2025-12-17: hw_firmware_type',
)  # fmt: skip
def wrong_firmware(facts: Facts) -> Iterator[Evidence]:
    """Compare what is there with bios or uefi; arm means uefi."""
    disk = disk_of(facts)
    starts = uefi_starts(facts)
    if not facts.is_system_disk or not (starts or disk.can_bios_boot):
        return  # IMS209 speaks of a disk with nothing at all
    request = facts.request
    wanted = "uefi" if request.architecture == "arm" else request.hw_firmware_type
    if wanted == "uefi" and not starts:
        yield Evidence(
            "UEFI is asked for and there is no EFI system partition", expected="an ESP",
            found="boot code for a BIOS", severity=None if starts is False else Severity.WARNING,
        )  # fmt: skip
    elif wanted == "uefi" and (other := other_esp(facts)) is not None:
        yield Evidence(
            f"UEFI is asked for, and the EFI system partition holds {other}, not FAT",
            expected="FAT", found=other, severity=Severity.WARNING if has_fat(facts) else None,
            why="UEFI starts from a FAT, and for a BIOS there is no boot code: neither starts it.",
            fix="Make a FAT in that partition, and install the loader there for UEFI.",
        )  # fmt: skip
    elif wanted == "bios" and not disk.can_bios_boot:
        yield Evidence(
            "BIOS is asked for and there is no boot code in the first sector",
            expected="boot code for a BIOS", found="an EFI system partition",
        )  # fmt: skip
    elif wanted == "bios" and disk.table == "gpt" and not disk.has_bios_boot_partition:
        yield Evidence(
            "BIOS is asked for and the GPT has no BIOS boot partition, which GRUB needs",
            expected="a BIOS boot partition", found="none", severity=Severity.WARNING,
            fix="Run sgdisk --new=0:0:+1M --typecode=0:ef02 IMAGE, then grub-install in the"
            " system.",
        )  # fmt: skip


@rule(
    "IMS217", Severity.WARNING, "The disk starts by UEFI only, and no firmware is asked for",
    why="Where a request names no firmware, a server of the x86 architecture has a BIOS (inferred),"
    " and this disk would leave it at the firmware's screen. An import by imsprep takes UEFI from"
    " the disk; another one has to ask for it.",
    fix="Request hw_firmware_type uefi; an import by imsprep does so by itself.",
    source=f'{PROPERTIES}: "Boot mode": generally BIOS, must match; the default of'
    " hw_firmware_type is inferred; that Huawei Cloud has the field: its SDK 3.1.219 and Terraform"
    " provider, 2026-08-21, not its API page",
)  # fmt: skip
def uefi_only(facts: Facts) -> Iterator[Evidence]:
    """Look for a disk that UEFI alone starts, where nothing asks for that.

    An import asks for it by itself where the site's request has a field for it. So a check of a
    file, without a whole request to judge, has nothing to warn of there.
    """
    disk, request = disk_of(facts), facts.request
    asked = request.hw_firmware_type is not None or request.architecture == "arm"
    if not facts.is_system_disk or asked or disk.can_bios_boot:
        return
    if disk.has_esp and (other := other_esp(facts)) is not None:
        yield Evidence(
            "there is no boot code in the first sector, and the EFI system partition holds"
            f" {other}, not FAT",
            expected="FAT", found=other, title="The EFI system partition holds no FAT",
            why="UEFI starts from a FAT, and for a BIOS there is no boot code: neither starts it.",
            fix="Make a FAT in that partition, and install the loader there for UEFI.",
        )  # fmt: skip
    elif is_uefi_only(facts) and facts.site.takes(FIELD):
        if facts.importing:
            return
        yield Evidence(
            "there is an EFI system partition, and no boot code in the first sector",
            expected="hw_firmware_type uefi", found="no firmware asked for",
            severity=Severity.NOTE if request.missing else None,
        )  # fmt: skip
    elif is_uefi_only(facts):
        yield Evidence(
            "there is an EFI system partition, and no boot code in the first sector",
            expected="boot mode UEFI", found="a request that has no field for it",
            title="The disk starts by UEFI only, which the site's request cannot ask for",
            fix="Set the image's boot mode to UEFI after the import: the request of the site"
            f" {facts.site.key} has no field for it.",
        )  # fmt: skip
