"""Determine with which firmware an image can start: from partitions, boot program and loaders."""

from __future__ import annotations

from imsprep.guest.model import FILE, Guest
from imsprep.guest.paths import LOADERS
from imsprep.image.volumes.partitions import BIOS_BOOT, ESP, MBR_ESP
from imsprep.image.volumes.signatures import FAT

ESP_TYPES = (ESP, MBR_ESP)
# What firmware starts that has no entry of its own: UEFI specification 2.10, 3.5.1.1.
FALLBACK_X86, FALLBACK_ARM = "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTAA64.EFI"


def has_esp(guest: Guest) -> bool:
    """Return whether there is an EFI system partition with a FAT file system."""
    return any(v.part_type in ESP_TYPES and v.kind == FAT for v in guest.volumes)


def uefi_loaders(guest: Guest) -> list[str]:
    """Return the EFI programs that firmware could start."""
    if not has_esp(guest):
        return []
    return [path for path, entry in guest.matching(*LOADERS) if entry.kind == FILE]


def bios_loader(guest: Guest) -> bool:
    """Return whether BIOS finds a program: in the first sector, and on GPT a place for its rest."""
    if not guest.boot_code:
        return False
    # GRUB needs a BIOS boot partition on GPT; extlinux does without.
    return (
        guest.table != "gpt"
        or any(v.part_type == BIOS_BOOT for v in guest.volumes)
        or any(True for _ in guest.matching("/boot/extlinux/*", "/boot/extlinux.conf"))
    )
