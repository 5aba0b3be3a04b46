"""IMS851: a whole system without a first program."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imsprep.guest.paths import INITS
from imsprep.report import Severity
from tests.support.guest.elf_files import LINKER, elf
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import UUID, Data, Link, cpio, debian, drivers, linux_guest

FOLDERS = dict.fromkeys(("/dev/x", "/proc/x", "/run/x", "/sys/x"), b"")
PROGRAMS = {**FOLDERS, "/usr/bin/ls": b"x", "/usr/bin/mount": b"x", "/usr/bin/env": b"x"}
GRUB = "/boot/grub/grub.cfg"


def said(more: dict[str, Any]) -> tuple[list[Severity], list[str]]:
    files = {**{path: text for path, text in debian().items() if path != "/bin/sh"}, **more}
    files = {path: text for path, text in files.items() if text is not None}
    findings, skipped = check_guest(linux_guest(files))
    return ([f.severity for f in findings if f.rule == "IMS851"],
            [s.rule for s in skipped if s.rule == "IMS851"])  # fmt: skip


def test_a_system_without_any_first_program_is_found() -> None:
    assert said(PROGRAMS) == ([Severity.ERROR], [])


@pytest.mark.parametrize("path", INITS)
def test_any_of_them_is_enough(path: str) -> None:
    assert said({**PROGRAMS, path: b"x"}) == ([], [])


def test_initramfs_tools_does_not_start_systemd_by_its_own_name() -> None:
    initrd = "/boot/initrd.img-4.19.0-27-amd64"
    tools = {initrd: cpio({**drivers("4.19.0-27-amd64"), "scripts/functions": b"x"})}
    systemd = {**PROGRAMS, "/usr/lib/systemd/systemd": b"x"}
    assert said({**systemd, **tools}) == ([Severity.ERROR], [])
    assert said({**systemd, **tools, "/sbin/init": b"x"}) == ([], [])


def test_what_is_not_a_whole_system_or_names_its_own_is_not_judged() -> None:
    assert said({"/usr/bin/ls": b"x"}) == ([], [])
    grub = debian()[GRUB]
    assert isinstance(grub, str)
    own = {GRUB: grub.replace(" ro ", " ro init=/opt/init ")}
    assert said({**PROGRAMS, **own}) == ([], ["IMS851"])


TOOLS = {
    "/boot/initrd.img-4.19.0-27-amd64": cpio(
        {**drivers("4.19.0-27-amd64"), "scripts/functions": b"x"}
    )
}
GOOD, BAD = b"x", b"#!/usr/bin/gone\n"


@pytest.mark.parametrize(("more", "tools", "found"), [
    ({"/sbin/init": BAD, "/bin/sh": GOOD}, True, True),
    ({"/sbin/init": BAD, "/usr/lib/systemd/systemd": GOOD}, True, True),
    ({"/sbin/init": BAD, "/usr/lib/systemd/systemd": GOOD}, False, False),
    ({"/sbin/init": BAD, "/usr/lib/systemd/systemd": BAD}, False, True),
    ({"/sbin/init": Data(GOOD), "/bin/sh": GOOD}, True, True),
    ({"/sbin/init": Data(GOOD), "/etc/init": GOOD}, True, False),
    ({"/sbin/init": Link("/lib/gone")}, True, True),
    ({"/bin/sh": GOOD}, True, False),
])  # fmt: skip
def test_a_first_program_that_cannot_be_started_is_found(
    more: dict[str, Any], tools: bool, found: bool
) -> None:
    severities, skipped = said({**PROGRAMS, **more, **(TOOLS if tools else {})})
    assert (severities, skipped) == ([Severity.ERROR] if found else [], [])


def test_what_is_there_but_cannot_be_started_is_not_called_absent() -> None:
    files = {**debian(), **PROGRAMS, **TOOLS, "/sbin/init": Data(GOOD)}
    del files["/bin/sh"]
    findings, _ = check_guest(linux_guest(files))
    (message,) = (f.message for f in findings if f.rule == "IMS851")
    assert "none of /etc/init, /bin/init, /bin/sh, and /sbin/init is not exec" in message


SKELETON = {"/etc/os-release": "ID=nixos\nVERSION_ID=24.11\n", "/etc/debian_version": None}
NIX = {**SKELETON, "/nix/var/nix/profiles/system": Link("system-2-link")}
ALONE = {"/boot/initrd.img-4.19.0-27-amd64": None}
ARCH = {
    "/boot/initrd.img-4.19.0-27-amd64": cpio({**drivers("4.19.0-27-amd64"), "init_functions": b"x"})
}
APART = "UUID=11111111-2222-4333-8444-555555555555 / ext4 defaults 0 1\nLABEL=x /opt ext4 defaults 0 2\n"


@pytest.mark.parametrize(("more", "found", "skipped"), [
    (SKELETON, False, True), ({**ALONE, "/usr/bin/ls": None}, False, False), (NIX, True, False), (ARCH, True, False), (ALONE, True, False), (TOOLS, False, False),
    ({}, False, True), ({**NIX, "/opt/x/init": b"x"}, False, False), ({"/opt/x/init": b"x"}, False, False),
    ({**ALONE, "/opt/x/init": b"#!/gone\n"}, True, False), ({**NIX, "/etc/fstab": APART}, False, True),
    ({**NIX, "/etc/fstab": APART, "/opt/x/init": b"x"}, False, False),
])  # fmt: skip
def test_an_init_that_is_asked_for_has_to_be_there_where_nothing_else_is_tried(
    more: dict[str, Any], found: bool, skipped: bool
) -> None:
    grub = str(debian()[GRUB]).replace(" ro ", " ro init=/opt/x/init ")
    if more.get("/boot/initrd.img-4.19.0-27-amd64", b"") is None:
        grub = "".join(line for line in grub.splitlines(True) if "initrd" not in line)
    severities, reasons = said({**PROGRAMS, "/sbin/init": b"x", GRUB: grub, **more})
    assert (severities, reasons) == ([Severity.ERROR] * found, ["IMS851"] * skipped)


@pytest.mark.parametrize(("shell", "tools"), [(True, False), (False, False), (True, True)])
def test_a_first_program_without_its_library_ends_at_once(shell: bool, tools: bool) -> None:
    """The kernel has started it by then, so that nothing else is tried."""
    others = {f"/lib/x86_64-linux-gnu/libx{n}.so.1": b"x" for n in range(10)}
    files = {
        **others,
        "/sbin/init": elf("libc.so.6", linker=LINKER),
        LINKER: b"x",
        **({"/bin/sh": b"x"} if shell else {}),
    }
    assert said({**PROGRAMS, **files, **(TOOLS if tools else {})}) == ([Severity.ERROR], [])
    libc = {"/lib/x86_64-linux-gnu/libc.so.6": elf()}
    assert said({**PROGRAMS, **files, **libc, **(TOOLS if tools else {})}) == ([], [])


LIBC, SYSTEMD = "/lib/x86_64-linux-gnu/libc.so.6", "/lib/systemd/systemd"
PROGRAM = elf("libcore.so", "libc.so.6", linker=LINKER)
STARTS = {LINKER: b"x", LIBC: elf(), "/sbin/init": Link(SYSTEMD), SYSTEMD: PROGRAM, "/bin/sh": b"x",
          "/usr/lib/libcore.so": elf()}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "severities", "skipped"),
    [
        ({}, [], []),
        ({"/usr/lib/libcore.so": None}, [Severity.ERROR], []),
        ({"/usr/lib/libcore.so": None, "/opt/x/libcore.so": elf()}, [], []),
        ({"/usr/lib/libcore.so": None, "/etc/init": b"x"}, [Severity.ERROR], []),
        # Started by its own name or as init: not known which.
        ({"/usr/lib/libcore.so": None, "/sbin/init": b"x"}, [], []),
        ({"/usr/lib/libcore.so": None, "/sbin/init": Link("/gone")}, [], []),
        ({"/usr/lib/libcore.so": None, "/sbin/init": Link("/gone"), "/bin/sh": None}, [Severity.ERROR], []),
        ({"/sbin/init": b"#!/bin/bash\n", "/bin/bash": elf("libtinfo.so.6", linker=LINKER),
          SYSTEMD: None}, [Severity.ERROR], []),
        ({LINKER: None}, [], []), ({LINKER: None, "/bin/sh": None}, [Severity.ERROR], []),
        ({SYSTEMD: PROGRAM[:-40]}, [], ["IMS851"]), ({"/usr/lib/libcore.so": PROGRAM[:300]}, [], ["IMS851"]),
        ({"/usr/lib/libcore.so": None, "/etc/fstab": f"UUID={UUID} / ext4\nUUID=2 /usr ext4\n"}, [], ["IMS851"]),
    ],
)  # fmt: skip
def test_a_first_program_whose_library_is_nowhere_is_found_whoever_made_the_initramfs(
    more: dict[str, Any], severities: list[Severity], skipped: list[str]
) -> None:
    assert said({**PROGRAMS, **STARTS, **more}) == (severities, skipped)


def fix_of(more: dict[str, Any]) -> tuple[str, str]:
    files = {**debian(), **PROGRAMS, **STARTS, **more, "/usr/lib/libcore.so": None}
    guest = linux_guest({path: text for path, text in files.items() if text is not None})
    (finding,) = (f for f in check_guest(guest)[0] if f.rule == "IMS851")
    return finding.message, finding.fix or ""


def test_what_brings_a_library_back_depends_on_what_still_starts() -> None:
    message, fix = fix_of({})
    assert "/sbin/init cannot load libcore.so, which is nowhere in the image" in message
    assert "`dpkg -S libcore.so` names it" in fix
    assert 'virt-customize -a IMAGE --run-command "apt-get install -y --reinstall PACKAGE"' in fix
    rocky = {"/etc/os-release": "ID=rocky\nNAME=Rocky\n", "/etc/debian_version": None}
    assert (
        "chroot into it from a rescue system. In the guest: install the package of libcore.so"
        in fix_of(rocky)[1]
    )
    fix = fix_of({"/bin/sh": elf("libgone.so", linker=LINKER)})[1]
    assert "on another machine and copy libcore.so" in fix


def test_a_folder_that_the_boot_mounts_on_is_missed_and_its_command_makes_it(
    tmp_path: Path,
) -> None:
    files = {**debian(), **PROGRAMS, **TOOLS}
    for path in ("/dev/x", "/run/x"):
        del files[path]
    (finding,) = (f for f in check_guest(linux_guest(files))[0] if f.rule == "IMS853")
    assert "has no /dev, /run" in finding.message
    command = re.search(r"In the guest: `(.*?)`", finding.fix or "")
    assert command is not None
    subprocess.run(["sh", "-ec", command[1].replace(" /", f" {tmp_path}/")], check=True)
    made = {f"/{path.name}/made": b"" for path in tmp_path.iterdir()}
    assert not any(f.rule == "IMS853" for f in check_guest(linux_guest({**files, **made}))[0])


@pytest.mark.parametrize("left", ["/usr/bin/ls", next(iter(TOOLS))])
def test_of_another_kind_of_system_no_folder_is_missed(left: str) -> None:
    files = {**debian(), **PROGRAMS, **TOOLS}
    del files["/dev/x"], files[left]
    assert not any(f.rule == "IMS853" for f in check_guest(linux_guest(files))[0])


VERSION = "4.19.0-27-amd64"
INITRD = f"/boot/initrd.img-{VERSION}"
DRACUT = {"etc/initrd-release": b"", "usr/lib/systemd/systemd": b"x"}
NO_RELEASE = {"/etc/os-release": None}


def rules_of(more: dict[str, Any]) -> list[str]:
    files = {**debian(), **PROGRAMS, **more}
    guest = linux_guest({path: content for path, content in files.items() if content is not None})
    return [f.rule for f in check_guest(guest)[0] if f.rule in ("IMS856", "IMS857")]


@pytest.mark.parametrize(("inside", "more", "found"), [
    (DRACUT, NO_RELEASE, True),
    (DRACUT, {}, False),
    (DRACUT, {**NO_RELEASE, "/usr/lib/os-release": "ID=debian\n"}, False),
    (DRACUT, {"/etc/os-release": Link("../usr/lib/os-release")}, True),
    (DRACUT, {**NO_RELEASE, "/usr/bin/ls": None}, False),
    (DRACUT, {**NO_RELEASE, "/etc/debian_version": None}, False),
    ({"etc/initrd-release": b""}, NO_RELEASE, False),
    ({"scripts/functions": b"x", "usr/lib/systemd/systemd": b"x"}, NO_RELEASE, False),
])  # fmt: skip
def test_systemd_in_the_initramfs_hands_over_to_what_has_an_os_release(
    inside: dict[str, bytes], more: dict[str, Any], found: bool
) -> None:
    image = {INITRD: cpio({**drivers(VERSION), **inside})}
    assert rules_of({**image, **more}) == ["IMS856"] * found


CONFIG = "/etc/selinux/config"
ENFORCED = {CONFIG: "# of the guide\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
            "/lib/systemd/systemd": b"x"}  # fmt: skip


@pytest.mark.parametrize(("line", "more", "found"), [
    ("security=selinux", {}, True),
    ("security=selinux selinux=1", {}, True),
    ("lsm=lockdown,selinux", {}, True),
    ("", {"/etc/os-release": "ID=rocky\nNAME=Rocky\n", "/etc/debian_version": None}, True),
    ("", {}, False),
    ("security=apparmor", {}, False),
    ("lsm=lockdown,apparmor security=selinux", {}, False),
    ("security=selinux selinux=0", {}, False),
    ("security=selinux enforcing=0", {}, False),
    ("security=selinux", {"/etc/selinux/targeted/policy/policy.33": b"x"}, False),
    ("security=selinux", {"/etc/selinux/mls/policy/policy.33": b"x"}, True),
    ("security=selinux", {CONFIG: "SELINUX=permissive\nSELINUXTYPE=targeted\n"}, False),
    ("security=selinux", {CONFIG: None}, False),
    ("security=selinux", {"/lib/systemd/systemd": None}, False),
    ("security=apparmor", {"/etc/os-release": "ID=rocky\nNAME=Rocky\n",
                           "/etc/debian_version": None}, False),
])  # fmt: skip
def test_a_policy_that_is_to_be_enforced_has_to_be_there(
    line: str, more: dict[str, Any], found: bool
) -> None:
    grub = debian()[GRUB]
    assert isinstance(grub, str)
    files = {**ENFORCED, GRUB: grub.replace(" ro ", f" ro {line} "), **more}
    assert rules_of(files) == ["IMS857"] * found
