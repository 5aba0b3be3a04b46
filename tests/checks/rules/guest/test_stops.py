"""IMS848: arguments that open a shell, and menus that wait for a key."""

from __future__ import annotations

import pytest

from tests.support.efi_programs import pe
from tests.support.guest_rules import check_guest
from tests.support.guest_trees import EFI_AND_ROOT, UUID, debian, linux_guest

GRUB = "/boot/grub/grub.cfg"


def said(grub: str) -> dict[str, str]:
    findings, _ = check_guest(linux_guest({**debian(), GRUB: grub}))
    return {f.rule: f.message for f in findings}


def menu(more: str = "", head: str = "") -> str:
    text = debian()[GRUB]
    assert isinstance(text, str)
    return head + text.replace(" ro ", f" ro {more} ")


@pytest.mark.parametrize(
    "argument",
    ["single", "emergency", "1", "rd.break", "rd.break=pre-mount", "break=mount", "init=/bin/bash",
     "init=/usr/bin/sh", "systemd.unit=rescue.target", "systemd.unit=emergency.target"],
)  # fmt: skip
def test_an_argument_of_a_rescue_that_was_left_is_found(argument: str) -> None:
    assert argument in said(menu(argument))["IMS848"]


@pytest.mark.parametrize(
    "argument",
    ["systemd.unit=multi-user.target", "init=/sbin/init", "quiet", "panic=1", "breakpoint=x", "rd.shell"],
)  # fmt: skip
def test_an_argument_that_only_looks_like_one_is_not(argument: str) -> None:
    assert said(menu(argument)) == {}


def test_a_menu_of_grub_without_an_end_waits() -> None:
    assert f"{GRUB} sets timeout=-1" in said(menu(head="set timeout=-1\n"))["IMS848"]
    assert said(menu(head="set timeout=5\n")) == {}


def test_a_menu_of_systemd_boot_without_an_end_waits() -> None:
    esp = {
        "/boot/efi/EFI/BOOT/BOOTX64.EFI": pe({".sdmagic": b"systemd-boot"}),
        "/boot/efi/loader/entries/a.conf": f"title a\nlinux /k\noptions root=UUID={UUID}\n",
        "/boot/efi/k": b"MZ",
    }
    for timeout, waits in (("menu-force", True), ("3", False)):
        files = {**debian(), **esp, "/boot/efi/loader/loader.conf": f"timeout {timeout}\n"}
        guest = linux_guest(files, **EFI_AND_ROOT)
        assert any(f.rule == "IMS848" for f in check_guest(guest)[0]) is waits
