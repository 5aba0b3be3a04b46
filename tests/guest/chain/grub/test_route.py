"""Where a GRUB gets to by what is built into it, and where that is not known."""

from __future__ import annotations

from tests.support.guest.efi_programs import grub
from tests.support.guest.loaders import GONE, bios, uefi

SEARCH = "search.fs_uuid %s root\nset prefix=($root)/boot/grub\n"


def test_a_core_image_that_is_not_proved_to_stop_is_not_broken() -> None:
    # The device is not followed; a command is not known; btrfs may be seen from a subvolume.
    for route in (
        bios("(crypto0)/boot/grub"),
        bios("/boot/grub", f"cryptomount -u 1\n{SEARCH % GONE}"),
        bios("(,gpt2)/other", kind="btrfs"),
    ):
        assert route.broken is None
        assert route.entry is not None


def test_a_uefi_grub_whose_partition_is_gone_is_broken() -> None:
    route = uefi({"/EFI/BOOT/BOOTX64.EFI": grub("(,gpt9)/boot/grub")})
    assert "(hd0,gpt9)/boot/grub/grub.cfg" in (route.broken or "")
