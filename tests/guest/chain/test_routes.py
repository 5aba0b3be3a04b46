"""Both firmwares of one disk, and what they leave open."""

from __future__ import annotations

from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.routes import find_routes
from imsprep.guest.chain.values import BIOS, UEFI
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest.efi_programs import grub
from tests.support.guest.loaders import ESP, GONE, STUB, routes
from tests.support.guest.trees import UUID, MemoryFileSystem


def test_a_linux_without_a_loader_has_no_way() -> None:
    assert routes({}).routes == ()
    assert routes({}, sector=b"GRUB".ljust(512, b"\0")).route(BIOS) is not None


def test_a_volume_that_is_not_read_makes_it_unknown_and_not_broken() -> None:
    closed = Volume("partition 2", 2, 1, "btrfs", UUID, unread="no reader")
    esp = MemoryFileSystem(
        {"/EFI/BOOT/BOOTX64.EFI": grub("/EFI/debian"), "/EFI/debian/grub.cfg": STUB % UUID}
    )
    boot = find_routes(Devices((ESP, closed), {"partition 1": [Tree({"/": esp})]}), b"")
    route = boot.route(UEFI)
    assert route is not None
    assert route.broken is None
    assert "no reader" in (route.unknown or "")


def test_of_several_ways_the_one_that_works_is_taken() -> None:
    esp = {
        "/EFI/a/grubx64.efi": grub("/EFI/a"), "/EFI/a/grub.cfg": STUB % GONE,
        "/EFI/b/grubx64.efi": grub("/EFI/b"), "/EFI/b/grub.cfg": STUB % UUID,
    }  # fmt: skip
    found = routes(esp).route(UEFI)
    assert found is not None
    assert found.entry is not None
    assert found.steps[0] == "partition 1:/EFI/b/grubx64.efi"
    assert found.volumes == ("partition 2", "partition 1")
    esp["/EFI/b/grub.cfg"] = STUB % GONE
    none = routes(esp).route(UEFI)
    assert none is not None
    assert none.entry is None
    assert GONE in (none.broken or "")
