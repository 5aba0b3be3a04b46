"""IMS2xx, boot: whether the disk has what the firmware that was asked for can start."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, rule
from imsprep.checks.subject.disk import PROPERTIES, disk_of
from imsprep.image.volumes.signatures import FAT, RAID
from imsprep.report import Severity


@rule(
    "IMS209", Severity.WARNING, "Nothing to boot was found on the system disk",
    why="A server made from it stays at the firmware's screen. The import itself may succeed.",
    fix="Install a boot loader; for a data disk request type DataImage.",
    source=f"{PROPERTIES}: one disk with all to boot; what is looked for is inferred",
)  # fmt: skip
def nothing_to_boot(facts: Facts) -> Iterator[Evidence]:
    """Look for an EFI system partition or code that a BIOS can start."""
    disk, starts = disk_of(facts), _uefi_starts(facts)
    if facts.is_system_disk and not starts and not disk.can_bios_boot:
        table = disk.table.upper() if disk.table else "no partition table"
        yield Evidence(
            f"{table}, no boot code in the first sector, no EFI system partition",
            expected="a boot loader", found="none",
            severity=Severity.ERROR if _is_to_boot(facts) and starts is False else None,
        )  # fmt: skip


def _uefi_starts(facts: Facts) -> bool | None:
    """Return whether UEFI finds a partition to start from; None: a FAT of another type may be one.

    Firmware also starts what lies on a FAT that does not have the type of an EFI system partition
    (tried with EDK II); whether a program is there is known where the image was looked into.
    """
    disk, guest = disk_of(facts), facts.guest
    if disk.has_esp:
        return True
    route = guest.boot.route("uefi") if guest is not None else None
    if route is not None and route.steps:
        return True
    return None if _has_fat(facts) else False


def _has_fat(facts: Facts) -> bool:
    partitions = disk_of(facts).partitions
    return any(p.volume is not None and p.volume.kind == FAT for p in partitions)


def _other_esp(facts: Facts) -> str | None:
    """Return what the EFI system partitions hold, where it is known of each that it is no FAT."""
    guest = facts.guest
    route = guest.boot.route("uefi") if guest is not None else None
    kinds = [
        p.volume.kind if p.volume is not None else None
        for p in disk_of(facts).partitions
        if p.is_esp
    ]
    # Of a mirror without a header in front, firmware reads the FAT.
    if {None, FAT, RAID} & set(kinds) or (route is not None and route.steps):
        return None
    return kinds[0] if kinds else None


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
    starts = _uefi_starts(facts)
    if not facts.is_system_disk or not (starts or disk.can_bios_boot):
        return  # IMS209 speaks of a disk with nothing at all
    request = facts.request
    wanted = "uefi" if request.architecture == "arm" else request.hw_firmware_type
    if wanted == "uefi" and not starts:
        yield Evidence(
            "UEFI is asked for and there is no EFI system partition", expected="an ESP",
            found="boot code for a BIOS", severity=None if starts is False else Severity.WARNING,
        )  # fmt: skip
    elif wanted == "uefi" and (other := _other_esp(facts)) is not None:
        yield Evidence(
            f"UEFI is asked for, and the EFI system partition holds {other}, not FAT",
            expected="FAT", found=other, severity=Severity.WARNING if _has_fat(facts) else None,
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
    "IMS217", Severity.WARNING, "The disk boots by UEFI only, and no firmware was asked for",
    why="Servers of the x86 architecture start with a BIOS unless the image says otherwise; this"
    " one would stay at the firmware's screen.",
    fix="Request hw_firmware_type uefi (imsprep import IMAGE --firmware uefi) where the site has it"
    " (otc); elsewhere set the image's boot mode to UEFI after the import.",
    source=f'{PROPERTIES}: "Boot mode": generally BIOS, must match',
)  # fmt: skip
def uefi_only(facts: Facts) -> Iterator[Evidence]:
    """Look for a disk with an ESP and no BIOS boot code, where neither was asked for."""
    disk, request = disk_of(facts), facts.request
    asked = request.hw_firmware_type is not None or request.architecture == "arm"
    if facts.is_system_disk and disk.has_esp and not disk.can_bios_boot and not asked:
        yield Evidence(
            "there is an EFI system partition, and no boot code in the first sector",
            expected="hw_firmware_type uefi", found="no firmware asked for",
            fix="Request hw_firmware_type uefi: imsprep import IMAGE --firmware uefi"
            if "hw_firmware_type" in facts.site.fields
            else "Set the image's boot mode to UEFI after the import: the request of the site"
            f" {facts.site.key} has no field for it.",
        )  # fmt: skip
