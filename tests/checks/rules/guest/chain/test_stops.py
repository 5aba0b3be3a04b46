"""IMS848: arguments that open a shell, and menus that wait for a key."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.guest.efi_programs import pe
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import EFI_AND_ROOT, UUID, Link, debian, linux_guest

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


def test_an_entry_behind_a_password_waits_for_it() -> None:
    users = 'set superusers="root"\npassword_pbkdf2 root grub.pbkdf2.sha512.1.AA.BB\n'
    assert "asks for a password" in said(menu(head=users))["IMS848"]
    open_ = menu(head=users).replace("menuentry 'Debian GNU/Linux'", "menuentry 'x' --unrestricted")
    assert said(open_) == {}


@pytest.mark.parametrize("target", ["rescue", "emergency", "multi-user"])
def test_a_default_target_for_rescue_is_found_and_its_command_mends_it(
    target: str, tmp_path: Path
) -> None:
    link = "/etc/systemd/system/default.target"
    guest = linux_guest({**debian(), link: Link(f"/lib/systemd/system/{target}.target")})
    fixes = [f.fix or "" for f in check_guest(guest)[0] if f.rule == "IMS848"]
    assert len(fixes) == (0 if target == "multi-user" else 1)
    for fix in fixes:
        made = tmp_path / "default.target"
        made.symlink_to(f"/lib/systemd/system/{target}.target")
        command = re.match(r"In the guest: `(.*?)`;", fix)
        assert command is not None
        subprocess.run(["sh", "-ec", command[1].replace(link, str(made))], check=True)
        again = linux_guest({**debian(), link: Link(str(made.readlink()))})
        assert check_guest(again)[0] == []


@pytest.mark.parametrize(("files", "found"), [
    ({"x": Link("/lib/systemd/system/gone.target"), "/lib/systemd/systemd": b"x"}, True),
    ({"x": Link("/lib/systemd/system/gone.target")}, False),
    ({"x": Link("/dev/null")}, True),
    ({"x": Link("/dev/null"), "/dev/null": b""}, True),
    ({"x": Link("../../../lib/systemd/system/a.target"), "/lib/systemd/system/a.target": b""}, False),
])  # fmt: skip
def test_a_default_target_that_leads_nowhere_is_found(
    files: dict[str, bytes | Link], found: bool
) -> None:
    link = "/etc/systemd/system/default.target"
    tree = {link if path == "x" else path: content for path, content in files.items()}
    findings, _ = check_guest(linux_guest({**debian(), **tree}))
    assert [f.rule for f in findings if f.rule == "IMS848"] == (["IMS848"] if found else [])
    gap = linux_guest({**debian(), **tree}, gaps={"/lib/**": "not read"})
    dangles = "/lib/systemd/systemd" in tree
    assert ("IMS848" in {s.rule for s in check_guest(gap)[1]}) is dangles


UNITS = "/lib/systemd/system"
BY_SYSTEMD = {"/sbin/init": Link("/lib/systemd/systemd"), "/lib/systemd/systemd": b"x",
              f"{UNITS}/rescue.target": b"x", f"{UNITS}/graphical.target": b"x"}  # fmt: skip
NO_DEFAULT = "systemd has no default.target, and goes to rescue.target"
DEAD = f"{UNITS}/default.target leads to gone.target, which is not a target"


@pytest.mark.parametrize(("files", "argument", "said"), [
    ({}, "", NO_DEFAULT),
    ({}, "init=/lib/systemd/systemd", NO_DEFAULT),
    ({f"{UNITS}/default.target": Link("gone.target")}, "", DEAD),
    ({f"{UNITS}/default.target": Link("graphical.target")}, "", None),
    ({f"{UNITS}/default.target": b"[Unit]"}, "", None),
    ({"/usr/lib/systemd/system/default.target": Link("graphical.target"),
      "/usr/lib/systemd/system/graphical.target": b"x"}, "", None),
    ({f"{UNITS}/default.target": Link("own.target"), "/etc/systemd/system/own.target": b"x"}, "", None),
    ({f"{UNITS}/default.target": Link("gone.target"),
      "/etc/systemd/system/default.target": Link(f"{UNITS}/graphical.target")}, "", None),
    ({}, "3", None), ({}, "systemd.unit=graphical.target", None),
    ({}, "init=/sbin/openrc-init", None),
    ({"/sbin/init": b"x"}, "", None),  # another first program, next to systemd
    ({f"{UNITS}/rescue.target": None}, "", None),  # units that are somewhere else
])  # fmt: skip
def test_systemd_without_its_default_target_goes_to_rescue(
    files: dict[str, bytes | Link | None], argument: str, said: str | None
) -> None:
    tree = {**debian(), **BY_SYSTEMD, GRUB: menu(argument), **files}
    tree = {path: content for path, content in tree.items() if content is not None}
    findings, skipped = check_guest(linux_guest(tree))
    assert [f.message for f in findings if f.rule == "IMS848"] == ([said] if said else [])
    assert "IMS848" not in {s.rule for s in skipped}
    gap = linux_guest(tree, gaps={"/etc/systemd/system/default.target": "not read"})
    assert ("IMS848" in {s.rule for s in check_guest(gap)[1]}) is (said is not None)


@pytest.mark.parametrize(("name", "there", "found"), [
    ("gone.target", "/lib/systemd/systemd", True),
    ("gone.target", "/x", False),  # not a system with systemd as a whole
    ("gone.service", "/lib/systemd/systemd", False),  # of other kinds nothing is known
    ("own.target", "/lib/systemd/systemd", False),
])  # fmt: skip
def test_a_unit_on_the_command_line_has_to_be_there(name: str, there: str, found: bool) -> None:
    files = {**debian(), GRUB: menu(f"systemd.unit={name}"), there: b"x",
             "/etc/systemd/system/own.target": b"x"}  # fmt: skip
    findings, _ = check_guest(linux_guest(files))
    assert [f.message for f in findings if f.rule == "IMS848"] == (
        [f"{GRUB} line 3 says systemd.unit={name}, which is not in the image"] if found else []
    )
