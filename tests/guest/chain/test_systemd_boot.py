"""systemd-boot: its entries, and unified kernel images among them."""

from __future__ import annotations

from typing import Any

from tests.support.guest.efi_programs import pe, unified
from tests.support.guest.loaders import ESP, ROOT, uefi
from tests.support.guest.trees import UUID, cpio, drivers, linux_guest

SYSTEMD_BOOT = pe({".sdmagic": b"systemd-boot"})


def test_a_unified_kernel_image_is_its_own_entry() -> None:
    image = unified(f"root=UUID={UUID} ro", cpio(drivers("6.1.0")))
    for files in ({"/EFI/BOOT/BOOTX64.EFI": image},
                  {"/EFI/BOOT/BOOTX64.EFI": SYSTEMD_BOOT, "/EFI/Linux/linux.efi": image}):  # fmt: skip
        entry = uefi(files, {}).entry
        assert entry is not None
        assert (entry.title, entry.value("root"), entry.version) == (
            "Some Linux 1",
            f"UUID={UUID}",
            "6.1.0",
        )
    both = linux_guest(
        {"/boot/efi/EFI/BOOT/BOOTX64.EFI": image, "/etc/fstab": ""},
        volumes=(ESP, ROOT), boot_code=False, table="gpt",
    )  # fmt: skip
    assert "virtio_blk" in both.boot.images[0].drivers


def test_systemd_boot_takes_its_default_and_else_the_newest() -> None:
    files: dict[str, Any] = {"/EFI/BOOT/BOOTX64.EFI": SYSTEMD_BOOT, "/k": b"MZ"}
    for version in ("6.9", "6.10"):
        files[f"/loader/entries/l-{version}.conf"] = f"title {version}\nlinux /k\noptions a\n"
    entry = uefi(files).entry
    assert entry is not None
    assert entry.title == "6.10"
    files["/loader/loader.conf"] = "timeout 3\ndefault l-6.9*\n"
    entry = uefi(files).entry
    assert entry is not None
    assert entry.title == "6.9"


def test_systemd_boot_sorts_unified_images_among_its_entries() -> None:
    files: dict[str, Any] = {
        "/EFI/BOOT/BOOTX64.EFI": SYSTEMD_BOOT, "/k": b"MZ",
        "/loader/entries/z.conf": "title plain\nlinux /k\noptions a\n",
        "/EFI/Linux/b-1.efi": unified("b", b"", release='ID=b\nVERSION_ID=1\nPRETTY_NAME="b 1"\n'),
        "/EFI/Linux/b-2.efi": unified("b", b"", release='ID=b\nVERSION_ID=2\nPRETTY_NAME="b 2"\n'),
    }  # fmt: skip
    for conf, title in (("", "b 2"), ("default z*\n", "plain"), ("default b-1.efi\n", "b 1")):
        entry = uefi({**files, "/loader/loader.conf": conf}).entry
        assert entry is not None
        assert entry.title == title


def test_a_menu_that_waits_for_a_key_is_said() -> None:
    files = {
        "/EFI/BOOT/BOOTX64.EFI": SYSTEMD_BOOT,
        "/k": b"MZ",
        "/loader/entries/a.conf": "title a\nlinux /k\n",
    }
    for conf, waits in (("timeout 5\n", False), (" timeout  menu-force\n", True)):
        route = uefi({**files, "/loader/loader.conf": conf})
        assert route.entry is not None
        assert (route.waits == "partition 1:/loader/loader.conf says timeout menu-force") is waits
