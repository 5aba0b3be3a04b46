"""The entry that starts by default, on the way of the firmware that the server has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imsprep.checks.facts import Facts
from imsprep.checks.rule import NOT_INSPECTED, UnknownError
from imsprep.checks.subject.boot_entry import (
    Started,
    arguments,
    cut,
    entries_of,
    firmware,
    of_value,
    origin,
    place,
    route_of,
    started,
    value,
)
from imsprep.guest.chain.values import BIOS, UEFI, Boot, BootEntry, Initramfs, Route
from imsprep.guest.model import Guest, Kernel, Volume
from imsprep.ims.request import RequestFields

ONE = BootEntry("/boot/grub/grub.cfg", 3, "one", "/boot/vmlinuz-1", ("/boot/initrd-1",),
                ("root=/dev/vda1", "root=UUID=1"))  # fmt: skip
OTHER = replace(ONE, line=0, title="other", kernel="/boot/vmlinuz-2", initrds=())
GRUB = Route(BIOS, "GRUB", entries=(OTHER, ONE), default=1)
IMAGE = Initramfs("/boot/initrd-1", versions=("1.0",), arguments=("root=LABEL=old", "rd.lvm.lv=a"))
GUEST = Guest(
    system="linux", boot_code=True, volumes=(Volume("partition 1", 1, 1, "ext4"),), boot=Boot((GRUB,), (IMAGE,)),
    kernels=(Kernel("2.0", "/boot/vmlinuz-2", None), Kernel("1.0", "/boot/vmlinuz-1", None)),
)  # fmt: skip


def facts(guest: Guest | None = GUEST, **request: Any) -> Facts:
    return Facts("disk.raw", 1 << 30, request=RequestFields(**request), guest=guest)


def with_route(**changes: Any) -> Facts:
    return facts(replace(GUEST, boot=Boot((replace(GRUB, **changes),), (IMAGE,))))


@pytest.mark.parametrize(("guest", "request_", "wanted"), [
    (GUEST, {}, BIOS),
    (replace(GUEST, boot_code=False), {}, UEFI),
    (GUEST, {"hw_firmware_type": "uefi"}, UEFI),
    (replace(GUEST, boot_code=False), {"hw_firmware_type": "bios"}, BIOS),
    (GUEST, {"hw_firmware_type": "bios", "architecture": "arm"}, UEFI),
    (replace(GUEST, machine="aarch64"), {}, UEFI),
])  # fmt: skip
def test_the_firmware_is_what_is_asked_for_or_what_the_image_is_made_for(
    guest: Guest, request_: dict[str, str], wanted: str
) -> None:
    assert firmware(facts(guest, **request_), guest) == wanted


def test_the_default_entry_comes_with_its_initramfs_and_kernel() -> None:
    assert started(facts()) == Started(GUEST, GRUB, ONE, IMAGE, GUEST.kernels[1])


def test_a_kernel_is_the_one_that_entry_or_initramfs_name_before_that_of_the_path() -> None:
    by_entry = replace(ONE, version="2.0")
    assert started(with_route(entries=(by_entry,), default=0)).kernel == GUEST.kernels[0]
    by_path = replace(ONE, initrds=())
    found = started(with_route(entries=(by_path,), default=0))
    assert (found.image, found.kernel) == (None, GUEST.kernels[1])
    elsewhere = replace(by_path, kernel="/elsewhere")
    assert started(with_route(entries=(elsewhere,), default=0)).kernel is None


@pytest.mark.parametrize(("known", "said"), [
    (facts(None), NOT_INSPECTED),
    (facts(replace(GUEST, system="windows")), "the image holds Windows, not Linux"),
    (facts(hw_firmware_type="uefi"), "no loader was found that UEFI would start"),
    (facts(replace(GUEST, boot=Boot(unread="a loop"), unread=("partition 2: LUKS",))),
     "a loop; partition 2: LUKS"),
    (with_route(unknown="a condition"), "GRUB: a condition"),
    (with_route(default=None), "the loader has no menu (IMS807)"),
    (with_route(entries=(replace(ONE, unknown="$k"),), default=0), "one: $k"),
])  # fmt: skip
def test_what_was_not_followed_says_why(known: Facts, said: str) -> None:
    with pytest.raises(UnknownError) as told:
        started(known)
    assert str(told.value) == said


def test_every_entry_of_the_way_is_known_or_none() -> None:
    assert route_of(facts()) == (GUEST, GRUB)
    assert entries_of(facts()) == (OTHER, ONE)
    assert entries_of(with_route(default=None)) == (OTHER, ONE)
    assert entries_of(facts(hw_firmware_type="uefi")) == ()


def test_the_command_line_begins_with_what_the_initramfs_has_of_its_own() -> None:
    found = started(facts())
    assert arguments(found) == ("root=LABEL=old", "rd.lvm.lv=a", "root=/dev/vda1", "root=UUID=1")
    assert (value(found, "root"), value(found, "rd.lvm.lv"), value(found, "rd.lvm")) == (
        "UUID=1", "a", None,
    )  # fmt: skip
    assert arguments(found._replace(image=None)) == ONE.arguments


def test_it_is_named_where_an_argument_stands() -> None:
    found = started(facts())
    assert place(ONE) == "/boot/grub/grub.cfg line 3"
    assert place(OTHER) == "/boot/grub/grub.cfg"
    assert origin(found, "root=/dev/vda1") == "/boot/grub/grub.cfg line 3"
    assert origin(found, "root=LABEL=old") == "/boot/initrd-1 (its own command line)"
    assert of_value(found, "root") == "/boot/grub/grub.cfg line 3"
    assert of_value(found, "rd.lvm.lv") == "/boot/initrd-1 (its own command line)"
    assert origin(found._replace(image=None), "quiet") == "/boot/grub/grub.cfg line 3"


def test_what_an_image_says_of_itself_is_shortened() -> None:
    assert cut("a" * 120) == "a" * 120
    assert cut("a" * 121) == "a" * 120 + "…"
