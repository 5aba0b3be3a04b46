"""From the first sector to a menu: GRUB through its core image, others by where they look."""

from __future__ import annotations

import pytest

from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.routes import find_routes
from imsprep.guest.chain.values import BIOS
from imsprep.guest.tree import Tree
from tests.support.guest import grub_cores
from tests.support.guest.loaders import ESP, GONE, KERNEL, MENU, ROOT, bios, routes
from tests.support.guest.trees import UUID, MemoryFileSystem

SEARCH = "search.fs_uuid %s root\nset prefix=($root)/boot/grub\n"
CORE = "GRUB's core image"


@pytest.mark.parametrize(("prefix", "script"), [
    ("/boot/grub", SEARCH % UUID), ("(,gpt2)/boot/grub", None), ("(hd0,msdos2)/boot/grub", ""),
])  # fmt: skip
def test_a_core_image_comes_to_the_entry(prefix: str, script: str | None) -> None:
    route = bios(prefix, script)
    assert route.entry is not None, route
    assert route.steps == (CORE, "partition 2:/boot/grub/grub.cfg")


@pytest.mark.parametrize(("prefix", "script", "said"), [
    ("/boot/grub", SEARCH % GONE, f"{CORE} line 1 searches UUID {GONE}"),
    ("(,gpt9)/boot/grub", None, f"{CORE} goes on with (hd0,gpt9)/boot/grub/grub.cfg"),
    ("(,gpt2)/grub", None, "(hd0,gpt2)/grub/grub.cfg, which is not there"),
    ("/boot/grub", None, "(hd0)/boot/grub/grub.cfg, which is not there"),
    ("(lvmid/ab/cd)/boot/grub", None, f"{CORE} goes on with (lvmid/ab/cd)/boot/grub/grub.cfg"),
])  # fmt: skip
def test_a_core_image_that_leads_nowhere_says_where(
    prefix: str, script: str | None, said: str
) -> None:
    route = bios(prefix, script)
    assert route.entry is None
    assert said in (route.broken or "")


def test_nothing_behind_the_boot_program_is_broken() -> None:
    first = grub_cores.disk(grub_cores.objects("/boot/grub"))[:512]
    route = find_routes(Devices((ESP, ROOT), {}), first, lambda _, size: bytes(size)).route(BIOS)
    assert route is not None
    assert route.broken == "the boot program goes on at sector 1, which holds zeros"


@pytest.mark.parametrize(("new", "broken", "unknown"), [
    (bytes(512), "the core image of GRUB after sector 1 holds zeros", None),
    (b"\xcc" * 512, None, "GRUB's core image does not begin as one that is whole"),
])  # fmt: skip
def test_a_damaged_core_image_is_not_passed_over(
    new: bytes, broken: str | None, unknown: str | None
) -> None:
    first = grub_cores.disk(grub_cores.objects("/boot/grub"))
    first = first[:1024] + new + first[1536:]
    tree = Tree({"/": MemoryFileSystem({**KERNEL, "/boot/grub/grub.cfg": MENU})})
    found = find_routes(
        Devices((ESP, ROOT), {"partition 2": [tree]}), first[:512],
        lambda at, size: first[at : at + size],
    ).route(BIOS)  # fmt: skip
    assert found is not None
    assert (found.entry, found.broken, found.unknown) == (None, broken, unknown)


def test_an_empty_configuration_stops_grub() -> None:
    route = routes(
        {}, {"/boot/grub/grub.cfg": "# made by hand\n\n"}, b"GRUB".ljust(512, b"\0")
    ).route(BIOS)
    assert route is not None
    assert route.broken == "partition 2:/boot/grub/grub.cfg is empty"


@pytest.mark.parametrize(("code", "loader"), [(b"GRUB", "GRUB"), (b"\xfa", "extlinux")])
def test_the_first_sector_says_which_configuration_counts(code: bytes, loader: str) -> None:
    files = {
        **KERNEL,
        "/boot/grub/grub.cfg": MENU,
        "/boot/extlinux/extlinux.conf": "default a\nlabel a\n linux /boot/vmlinuz-1\n",
    }
    route = routes({}, files, code.ljust(512, b"\0")).route(BIOS)
    assert route is not None
    assert route.loader == loader


def test_a_loader_that_is_not_supported_makes_no_finding() -> None:
    route = routes({}, {}, b"LILO".ljust(512, b"\0")).route(BIOS)
    assert route is not None
    assert (route.broken, route.unknown) == (None, "LILO is not supported")


def test_modules_without_a_configuration_are_named() -> None:
    there = {"/boot/grub/i386-pc/normal.mod": b"MZ"}
    route = routes({}, there, b"GRUB".ljust(512, b"\0")).route(BIOS)
    assert route is not None
    assert route.broken == "partition 2:/boot/grub has GRUB's modules and no grub.cfg"
