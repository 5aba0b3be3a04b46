"""GRUB's folder of modules: what is missing, and what of it the GRUB that starts reads."""

from __future__ import annotations

from imsprep.guest.chain.values import BIOS
from tests.support.guest.efi_programs import grub
from tests.support.guest.loaders import KERNEL, MENU, STUB, bios, routes, uefi
from tests.support.guest.trees import UUID


def test_a_core_image_without_its_modules_says_which() -> None:
    files = {**KERNEL, "/boot/grub/grub.cfg": MENU}
    for built_in, there, said in (
        ((), (), "normal.mod"), (("normal",), (), "linux.mod"),
        ((), ("normal",), "linux.mod"), ((), ("normal", "linux"), None), (("normal",), ("linux16",), None),
    ):  # fmt: skip
        more = {f"/boot/grub/i386-pc/{name}.mod": b"" for name in there}
        route = bios("(,gpt2)/boot/grub", None, {**files, **more}, built_in=built_in)
        assert (said in route.broken) if said and route.broken else said is None, route
        assert (route.entry is None) is (said is not None)


def test_what_grub_reads_of_ext4_is_that_of_the_module_that_starts() -> None:
    old = b"\xa9" + (~0x103D6 & 0xFFFFFFFF).to_bytes(4, "little")
    new = b"\xa9" + (~0x163D6 & 0xFFFFFFFF).to_bytes(4, "little")
    files = {**KERNEL, "/boot/grub/grub.cfg": MENU, "/boot/grub/i386-pc/ext2.mod": new}
    assert "metadata_csum_seed" not in (
        bios("(,gpt2)/boot/grub", None, files, ext2=old).reads or ()
    )
    assert bios("(,gpt2)/boot/grub", None, files).reads is None
    guessed = routes({}, files, sector=b"GRUB".ljust(512, b"\0")).route(BIOS)
    assert guessed is not None
    assert "metadata_csum_seed" in (guessed.reads or ())


def test_a_uefi_grub_without_a_command_that_loads_linux_is_broken() -> None:
    files = {**KERNEL, "/boot/grub/grub.cfg": MENU}
    for built_in, there, broken in (
        (("normal",), (), True), (("normal", "linux"), (), False), ((), (), False),
        (("normal",), ("linux",), False), (("normal", "linuxefi"), (), False),
    ):  # fmt: skip
        esp = {"/EFI/BOOT/BOOTX64.EFI": grub("/EFI/debian", modules=built_in),
               "/EFI/debian/grub.cfg": STUB % UUID}  # fmt: skip
        more = {f"/boot/grub/x86_64-efi/{name}.mod": b"" for name in there}
        route = uefi(esp, {**files, **more})
        assert (route.entry is None) is broken, (built_in, there)
        assert ("/boot/grub/x86_64-efi/linux.mod" in (route.broken or "")) is broken
