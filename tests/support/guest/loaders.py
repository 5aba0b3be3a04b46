"""A disk of an ESP and a root, and what a firmware finds on it: small trees in place of file systems."""

from __future__ import annotations

import dataclasses
from typing import Any

from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.routes import find_routes
from imsprep.guest.chain.values import BIOS, UEFI, Boot, Route
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest import grub_cores
from tests.support.guest.trees import UUID, Caseless, MemoryFileSystem, cpio, drivers

ESP = Volume(
    "partition 1", 1, 1, "FAT", "1A2B-3C4D", part_type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
)
ROOT = Volume("partition 2", 2, 1, "ext4", UUID)
GONE = "99999999-2222-4333-8444-555555555555"
KERNEL = {"/boot/vmlinuz-1": b"MZ", "/boot/initrd-1": cpio(drivers("1"))}
MENU = f"menuentry 'one' {{\n linux /boot/vmlinuz-1 root=UUID={UUID}\n initrd /boot/initrd-1\n}}\n"
STUB = "search.fs_uuid %s root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"


def routes(esp: dict[str, Any], root: dict[str, Any] | None = None, sector: bytes = b"") -> Boot:
    trees = {
        "partition 1": [Tree({"/": Caseless(MemoryFileSystem(esp).root())})],
        "partition 2": [
            Tree(
                {
                    "/": MemoryFileSystem(
                        root if root is not None else {**KERNEL, "/boot/grub/grub.cfg": MENU}
                    )
                }
            )
        ],
    }
    return find_routes(Devices((ESP, ROOT), trees), sector)


def bios(
    prefix: str, script: str | None = None, root: dict[str, Any] | None = None, *,
    built_in: tuple[str, ...] = ("normal", "linux"), kind: str = "ext4", ext2: bytes = b"",
) -> Route:  # fmt: skip
    """The way of a GRUB whose core image has this prefix, script and modules built in."""
    modules = {**dict.fromkeys(built_in, b""), "ext2": ext2}
    first = grub_cores.disk(grub_cores.objects(prefix, script, modules))
    files = {**KERNEL, "/boot/grub/grub.cfg": MENU} if root is None else root
    volume = dataclasses.replace(ROOT, kind=kind)
    devices = Devices((ESP, volume), {"partition 2": [Tree({"/": MemoryFileSystem(files)})]})
    found = find_routes(devices, first[:512], lambda at, size: first[at : at + size]).route(BIOS)
    assert found is not None
    return found


def uefi(esp: dict[str, Any], root: dict[str, Any] | None = None) -> Route:
    found = routes(esp, root).route(UEFI)
    assert found is not None
    return found
